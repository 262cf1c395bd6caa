/**
 * `mpackd shard move`: moves a shard to another server while it is used.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../../config/config.ts";
import { quotaDefaultsOf } from "../../../config/quotas.ts";
import { parseRepoName } from "../../../db/repos.ts";
import { findRepoToMove } from "../../../db/shards/repo_moves.ts";
import { ConfigError } from "../../../errors.ts";
import { abortMove } from "../../../maintenance/shards/move_back.ts";
import type { MoveSummary } from "../../../maintenance/shards/move_options.ts";
import {
  abortRepoMove,
  moveRepo,
  type MoveRepoOptions,
  type RepoMoveProgress,
} from "../../../maintenance/shards/move_repo.ts";
import { moveShard } from "../../../maintenance/shards/move_shard.ts";
import type { CommandContext } from "../../command.ts";
import { parseChoice, parseDuration } from "../../flags.ts";
import { print, printJson } from "../../output.ts";
import { MoveTeller } from "../../shards/move_progress.ts";
import { openCatalog } from "../../shards/open_move.ts";
import { counted, formatBytes, formatMs, LiveLine } from "../../terminal.ts";

/** Requests that began before the repo was turned over have read all by then. */
const GRACE = "30s";

interface MoveFlags {
  readonly to?: string;
  readonly repo?: string;
  readonly grace: string;
  readonly sourceUrl?: string;
  readonly compare: string;
  readonly wait: string;
  readonly dryRun?: boolean;
  readonly abort?: boolean;
  readonly withoutTarget?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addShardMoveCommand(shard: Command, context: CommandContext): void {
  shard.command("move")
    .summary("move a shard to another server")
    .description(
      "Move a shard to another database while it is used, by PostgreSQL's logical replication. " +
        "Readers notice nothing, writers wait for seconds. Interrupted at any moment, the same " +
        "command goes on; --abort goes back and leaves nothing. The old schema stays, and cannot " +
        'be written, until "shard remove --old". With --repo: move one repo to another shard on any ' +
        "server. Its rows move, its blobs stay; its pushes wait meanwhile.",
    )
    .argument("[name]", "the shard; none with --repo")
    .option("--to <url>", "the database to move it to; what it lacks is DATABASE_URL's")
    .option(
      "--repo <owner/slug>",
      'move only this repo; then --to is a shard\'s name, or "catalog"',
    )
    .option("--grace <duration>", "with --repo: how long the old rows stay for readers", GRACE)
    .option("--source-url <url>", "the shard's database as the target's server sees it")
    .option(
      "--compare <what>",
      "full: counts and checksums of all rows; counts: only their number",
      "full",
    )
    .option("--wait <duration>", "how long running jobs may go on before they are put back", "30s")
    .option("--dry-run", "only look whether it can be moved")
    .option("--abort", "go back to where the shard was, and remove what the move has made")
    .option("--without-target", "with --abort: the target is lost, so leave it alone")
    .option("--json", "print the result as one JSON document")
    .action((name: string | undefined, flags: MoveFlags) =>
      context.run(flags, async (signal) => {
        const config = context.config();
        await using opened = await openCatalog(config);
        if (flags.repo !== undefined) {
          if (name !== undefined) {
            throw new ConfigError("Cannot move both a shard and a repo: name one of them");
          }
          return await moveOneRepo({ ...opened, signal }, flags.repo, flags, config);
        }
        if (name === undefined) {
          throw new ConfigError("Cannot move: name a shard, or a repo with --repo");
        }
        using teller = new MoveTeller({ isQuiet: flags.json ?? false });
        const options = {
          ...opened,
          shard: name,
          signal,
          onProgress: teller.show.bind(teller),
        };
        if (flags.abort && flags.dryRun) {
          throw new ConfigError("Cannot use --dry-run with --abort");
        }
        if (flags.abort) {
          await abortMove({ ...options, isWithoutTarget: flags.withoutTarget });
          if (flags.json) await printJson({ shard: name, aborted: true });
          else await print(`Aborted the move of shard ${name}: it is where it was`);
          return;
        }
        if (flags.to === undefined) {
          throw new ConfigError(`Cannot move shard ${name}: say where to with --to URL`);
        }
        const summary = await moveShard({
          ...options,
          newUrl: flags.to,
          sourceUrl: flags.sourceUrl,
          check: parseChoice("--compare", flags.compare, ["full", "counts"]),
          waitMs: parseDuration("--wait", flags.wait),
          isDryRun: flags.dryRun,
        });
        if (flags.json) await printJson(summary);
        else await print(textOf(summary));
      })
    );
}

async function moveOneRepo(
  opened: Pick<MoveRepoOptions, "catalog" | "connect" | "completeUrl" | "signal">,
  text: string,
  flags: MoveFlags,
  config: Config,
): Promise<void> {
  const repo = await findRepoToMove(opened.catalog, parseRepoName(text));
  if (repo === undefined) {
    throw new ConfigError(`Cannot find repo ${text} on ${opened.catalog.label}`, {
      code: "repo-not-found",
    });
  }
  if (flags.sourceUrl !== undefined || flags.withoutTarget) {
    throw new ConfigError(
      "Cannot use --source-url or --without-target with --repo: they are about a shard",
    );
  }
  const line = new LiveLine();
  const options = {
    ...opened,
    repo,
    onProgress: ({ step, table, rows }: RepoMoveProgress) => {
      line.show({ label: step, bytes: 0, sizeBytes: 0, note: table && `${table} ${rows}` });
    },
  };
  if (flags.abort) {
    await abortRepoMove(options);
    if (flags.json) await printJson({ repo: text, aborted: true });
    else await print(`Aborted the move of ${text}: it is where it was`);
    return;
  }
  if (flags.to === undefined) {
    throw new ConfigError(`Cannot move ${text}: say to which shard with --to NAME`);
  }
  const summary = await moveRepo({
    ...options,
    to: flags.to,
    waitMs: parseDuration("--wait", flags.wait),
    graceMs: parseDuration("--grace", flags.grace),
    hasOwnerLimit: Object.keys(quotaDefaultsOf(config).owner).length > 0,
    isDryRun: flags.dryRun,
  });
  line.clear();
  if (flags.json) await printJson({ repo: text, ...summary });
  else if (summary.dry_run && summary.from !== summary.to) {
    await print(`${text} can be moved from ${summary.from} to ${summary.to}`);
  } else if (!summary.moved) await print(`${text} is in ${summary.to} already`);
  else {
    await print(
      `Moved ${text} from ${summary.from} to ${summary.to}: ${counted(summary.rows, "row")} in ` +
        formatMs(summary.elapsed_ms),
    );
  }
}

function textOf(summary: MoveSummary): string {
  const { shard, tables } = summary, size = formatBytes(summary.bytes);
  if (summary.dry_run) {
    return `Shard ${shard} can be moved: ${counted(tables, "table")} of ${size}, indexes included`;
  }
  if (!summary.moved) return `Shard ${shard} is there already`;
  const putBack = summary.jobs_put_back === 0
    ? ""
    : `, ${counted(summary.jobs_put_back, "running job")} put back`;
  return `Moved shard ${shard}: ${counted(summary.rows, "row")} of ${counted(tables, "table")}, ` +
    `${size}, in ${formatMs(summary.elapsed_ms)}; writers waited ` +
    `${formatMs(summary.fenced_ms)}${putBack}\n` +
    `The old schema stays until "mpackd shard remove ${shard} --old"`;
}
