/**
 * `mpackd repack --repo OWNER/SLUG`: packs a repo's small mpacks into few.
 *
 * @module
 */

import type { Command } from "commander";
import { type Config, limitsOf } from "../../../config/config.ts";
import { planRepack, repack, type RepackSummary } from "../../../maintenance/repack/repack.ts";
import type { CommandContext } from "../../command.ts";
import { parseBytes } from "../../flags.ts";
import { print, printJson, tell } from "../../output.ts";
import {
  counted,
  formatBytes,
  formatCount,
  formatMs,
  LiveLine,
  type Step,
} from "../../terminal.ts";
import { openRepo } from "../../shards/open_repo.ts";
import { openDatabase, openResources } from "../../resources.ts";

const GIB = 1024 * 1024 * 1024;

interface RepackFlags {
  readonly repo: string;
  readonly packBytes?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addRepackCommand(program: Command, context: CommandContext): void {
  program.command("repack")
    .summary("pack a repo's small mpacks into few")
    .description(
      "Copy what a repo's small mpacks hold into few new ones, in the order in which a clone reads " +
        "it, and let the rows point there. Every object and record is checked on the way; deltas " +
        "of snapshots become full ones. Safe beside pushes and reads, and safe to kill at any time. " +
        "The old mpacks go with gc, after its grace time.",
    )
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--pack-bytes <bytes>", "the most bytes of a new mpack (default: 1 GiB)")
    .option("--dry-run", "only say what would be packed")
    .option("--json", "print the result as one JSON document")
    .action((flags: RepackFlags) =>
      context.run(flags, async (signal) => {
        if (flags.dryRun) return await preview(flags, context);
        const summary = await runRepack(flags, context, signal);
        if (flags.json) await printJson(summary);
        else await print(textOf(summary));
      })
    );
}

async function runRepack(
  flags: RepackFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<RepackSummary> {
  const config = context.config();
  const packBytes = packBytesOf(flags, config);
  await using resources = await openResources(config, { isWriting: true });
  const { db, store, repoId } = await openRepo(resources, flags.repo);
  const line = new LiveLine();
  let step: Step = { label: "repack" };
  return await line.during(() => step, () =>
    repack({
      db,
      store,
      config,
      limits: limitsOf(config),
      repoId,
      maxContentBytes: config.maxContentBytes,
      packBytes,
      signal,
      onPack(packs) {
        line.clear();
        if (!flags.json) tell(`Packing ${counted(packs, "mpack")} into one`);
      },
      onProgress: ({ phase, ...progress }) =>
        step = { label: `repack: ${phase}`, ...(phase === "plan" ? {} : progress) },
    }));
}

function packBytesOf({ packBytes }: RepackFlags, { maxPackBytes }: Config): number {
  const wanted = packBytes === undefined ? GIB : parseBytes("--pack-bytes", packBytes);
  return Math.min(wanted, maxPackBytes);
}

async function preview(flags: RepackFlags, context: CommandContext): Promise<void> {
  const config = context.config(), packBytes = packBytesOf(flags, config);
  await using opened = await openDatabase(config, { maxConnections: 1 });
  const { db, repoId } = await openRepo(opened, flags.repo);
  const plan = await planRepack({ db, repoId, packBytes });
  if (flags.json) return await printJson(plan);
  await print(
    plan.packs_before === 0
      ? NOTHING
      : `Would pack ${counted(plan.packs_before, "mpack")} of ${formatBytes(plan.bytes)} into ` +
        `${formatCount(plan.packs_after)}; nothing was changed`,
  );
}

const NOTHING = "Nothing to pack: the repo has few mpacks, or large ones";

function textOf({ packs_before, packs_after, bytes, rows, elapsed_ms }: RepackSummary): string {
  if (packs_before === 0) return NOTHING;
  return `Packed ${counted(packs_before, "mpack")} into ${formatCount(packs_after)}, ` +
    `${formatBytes(bytes)} with ${
      counted(rows, "commit, snapshot or object", "commits, snapshots and objects")
    }, in ${formatMs(elapsed_ms)}`;
}
