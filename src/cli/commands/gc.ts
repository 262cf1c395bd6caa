/**
 * `main.ts gc`: collects what nobody needs any more.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { collectGarbage, type GcSummary } from "../../maintenance/gc/gc.ts";
import { parseDuration } from "../flags.ts";
import type { CommandContext } from "../command.ts";
import { formatBytes, formatCount, formatMs } from "../terminal.ts";
import { openBlobStore, openDatabase } from "../resources.ts";

interface GcFlags {
  readonly dryRun?: boolean;
  readonly grace?: string;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addGcCommand(program: Command, context: CommandContext): void {
  program.command("gc")
    .summary("collect what nobody needs any more")
    .description(
      "Remove staged rows of dead jobs, blobs that no pack's row and no ref names, packs without\n" +
        "history that no ref points into, deleted repos, and half-written blobs; all but the first\n" +
        "only after a grace time. Safe beside uploads and jobs, and to be killed at any moment.\n" +
        "Blobs whose keys the templates of the settings do not make are never touched.",
    )
    .option("--dry-run", "only say what would be collected")
    .option("--grace <duration>", "how old it must be: 7d, 12h, … (default: MPACK_GC_GRACE_MS)")
    .option("--verbose", "name each repo, pack and blob, as --dry-run does")
    .option("--json", "print what was collected as one JSON document")
    .action((flags: GcFlags) =>
      context.run(flags, async (signal) => {
        const summary = await runGc(flags, context.config(), signal);
        console.log(flags.json ? JSON.stringify(summary) : textOf(summary));
      })
    );
}

/** Does what the command does and returns the summary. */
export async function runGc(
  flags: GcFlags,
  config: Config,
  signal: AbortSignal,
): Promise<GcSummary> {
  const { dryRun: isDryRun, grace } = flags;
  const graceMs = grace === undefined ? config.gcGraceMs : parseDuration("--grace", grace);
  const isNaming = !flags.json && (isDryRun || flags.verbose);
  await using opened = await openDatabase(config);
  return await collectGarbage({
    db: opened.db,
    store: await openBlobStore(config, { isWriting: !isDryRun }),
    config,
    graceMs,
    isDryRun,
    signal,
    onCollected: isNaming ? (kind, name) => console.log(`${kind} ${name}`) : undefined,
  });
}

function textOf(summary: GcSummary): string {
  const { dry_run, repos, refs, packs, blobs, blob_bytes, postponed } = summary;
  const counts: [number, string][] = [
    [summary.staged_batches, "staged batches of dead jobs"],
    [summary.audits, "interrupted audits"],
    [repos, "deleted repos"],
    [refs, "refs of theirs"],
    [packs, "packs"],
    [blobs, `blobs of ${formatBytes(blob_bytes)}`],
    [summary.half_written, "half-written blobs"],
  ];
  const found = counts.filter(([count]) => count > 0)
    .map(([count, what]) => `  ${formatCount(count).padStart(9)}  ${what}`);
  return [
    `${dry_run ? "Would collect" : "Collected"}${found.length === 0 ? " nothing" : ""} in ${
      formatMs(summary.elapsed_ms)
    }`,
    ...found,
    ...(postponed > 0 ? [`  ${formatCount(postponed).padStart(9)}  left to the next run`] : []),
  ].join("\n");
}
