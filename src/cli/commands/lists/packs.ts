/**
 * `mpackd packs --repo OWNER/SLUG`: lists the mpacks of a repo.
 *
 * @module
 */

import type { Command } from "commander";
import { listPacks, type PackSummary } from "../../../db/console_repos.ts";
import type { CommandContext } from "../../command.ts";
import { parseCount } from "../../flags.ts";
import { shortId, timeText } from "../../history/commit_text.ts";
import { openRefs } from "../../history/open_history.ts";
import { print, tell, untilClosed } from "../../output.ts";
import { formatBytes, formatCount } from "../../terminal.ts";

const PACKS_PER_STATEMENT = 1_000;

interface PacksFlags {
  readonly repo: string;
  readonly limit?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addPacksCommand(program: Command, context: CommandContext): void {
  program.command("packs")
    .summary("list the mpacks of a repo")
    .description(
      "List the mpacks of a repo, the last indexed first. Other commands take the digits shown in " +
        "place of the key.",
    )
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--limit <n>", "the most mpacks to list. Default: all")
    .option("--json", "print each mpack as one line of JSON")
    .action((flags: PacksFlags) =>
      context.run(flags, () => untilClosed(() => runPacks(flags, context)))
    );
}

async function runPacks(flags: PacksFlags, context: CommandContext): Promise<void> {
  let left = flags.limit === undefined ? Infinity : parseCount("--limit", flags.limit, { min: 1 });
  await using refs = await openRefs(context, flags.repo);
  const { db, repoId } = refs;
  let before: number | undefined;
  while (left > 0) {
    const limit = Math.min(left, PACKS_PER_STATEMENT);
    const page = await listPacks(db, repoId, { before, limit });
    if (before === undefined && page.length === 0) tell(`${flags.repo} has no mpacks`);
    if (before === undefined && page.length > 0 && !flags.json) await print(HEADS);
    const lines = page.map(flags.json ? jsonLine : textLine);
    if (lines.length > 0) await print(lines.join("\n"));
    left -= page.length;
    if (page.length < limit) return;
    before = page[page.length - 1].mpackId;
  }
}

const HEADS = "mpack              size     objects   commits  indexed";

function textLine(pack: PackSummary): string {
  const { mpackKey, sizeBytes, objects, commits, indexedAt } = pack;
  return [
    shortId(mpackKey),
    formatBytes(sizeBytes).padStart(9),
    formatCount(objects).padStart(10),
    formatCount(commits).padStart(8),
    indexedAt === null ? "" : timeText(indexedAt.toISOString()),
  ].join("  ").trimEnd();
}

function jsonLine(pack: PackSummary): string {
  return JSON.stringify({
    mpack_key: pack.mpackKey,
    size_bytes: pack.sizeBytes,
    objects: pack.objects,
    commits: pack.commits,
    snapshots: pack.snapshots,
    tags: pack.tags,
    indexed_at: pack.indexedAt,
  });
}
