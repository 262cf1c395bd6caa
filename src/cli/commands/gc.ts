/**
 * `mpackd gc`: collects garbage.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { type Collected, collectGarbage, type GcSummary } from "../../maintenance/gc/gc.ts";
import type { Database } from "../../db/client/database.ts";
import { forgetRemoved } from "../../db/shards/catalog.ts";
import type { ShardToOpen } from "../../db/shards/shard_pools.ts";
import type { CommandContext } from "../command.ts";
import { parseDuration } from "../flags.ts";
import { print, printJson } from "../output.ts";
import { openResources } from "../resources.ts";
import { inEachShard, SHARD_OPTION } from "../shards/all_shards.ts";
import { counted, formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";

interface GcFlags {
  readonly shard?: string;
  readonly dryRun?: boolean;
  readonly grace?: string;
  readonly force?: boolean;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addGcCommand(program: Command, context: CommandContext): void {
  program.command("gc")
    .summary("collect garbage")
    .description(
      "Remove commits, snapshots and objects that no branch or tag reaches, mpacks that no row " +
        "points into, blobs that no row needs, the rows of deleted repos, half-written blobs, and " +
        "staged rows of jobs that have ended. All but the last only after a grace time. Safe beside uploads and jobs, and safe to kill at any time. " +
        "Blobs whose keys do not fit the templates of the settings are never touched.",
    )
    .option("--dry-run", "only print what would be collected")
    .option("--grace <duration>", "the least age: 7d, 12h, … (default: MPACK_GC_GRACE_MS)")
    .option("--force", "delete however much of the store is garbage (see MPACK_GC_MAX_PERCENT)")
    .option("--verbose", "name each repo, mpack and blob, as --dry-run does")
    .option(...SHARD_OPTION)
    .option("--json", "print the counts as one JSON document")
    .action((flags: GcFlags) =>
      context.run(flags, async (signal) => {
        const summary = await runGc(flags, context.config(), signal);
        if (flags.json) await printJson(summary);
        else await print(textOf(summary, context.config()));
      })
    );
}

async function runGc(flags: GcFlags, config: Config, signal: AbortSignal): Promise<GcSummary> {
  const { dryRun: isDryRun = false, grace } = flags;
  const graceMs = grace === undefined ? config.gcGraceMs : parseDuration("--grace", grace);
  const isNaming = !flags.json && (isDryRun || flags.verbose);
  await using resources = await openResources(config, { isWriting: !isDryRun });
  const line = new LiveLine();
  let note = "";
  const onCollected = async (kind: Collected, name: string) => {
    line.clear();
    await print(`${kind} ${name}`);
  };
  const all = await resources.shards.all();
  const dbs = await Promise.all(all.map((shard) => shard.open()));
  const collect = async (db: Database, { name, shard }: ShardToOpen) => {
    const summary = await collectGarbage({
      db,
      ...(all.length === 1 ? {} : { others: dbs.filter((other) => other !== db) }),
      store: shard === undefined ? resources.store : await resources.storeOf(shard, db),
      config,
      graceMs,
      maxPercent: flags.force ? undefined : config.gcMaxPercent,
      isDryRun,
      signal,
      onCollected: isNaming ? onCollected : undefined,
      onStep: (step) => note = all.length === 1 ? step : `${name}: ${step}`,
    });
    if (shard !== undefined && !isDryRun) await forgetRemoved(resources.db, db, name);
    return summary;
  };
  const summaries = await line.during(
    () => ({ label: "gc", note }),
    () => inEachShard(resources, flags, collect),
  );
  return summaries.reduce(addSummaries);
}

/** Adds the counts of two shards. */
function addSummaries(a: GcSummary, b: GcSummary): GcSummary {
  const sums = Object.entries(a).map(([name, value]) => [
    name,
    typeof value === "boolean" ? value : value + Number(b[name as keyof GcSummary]),
  ]);
  return Object.fromEntries(sums);
}

const COUNT_WIDTH = 9;

function textOf(summary: GcSummary, { gcMaxPercent }: Config): string {
  const { dry_run, postponed, unknown_blobs, blob_bytes, store_bytes } = summary;
  const percent = store_bytes === 0 ? 0 : 100 * blob_bytes / store_bytes;
  const counts: [number, one: string, many: string][] = [
    [summary.staged_batches, "staged batch", "staged batches"],
    [summary.audits, "interrupted audit", "interrupted audits"],
    [summary.repos, "deleted repo", "deleted repos"],
    [summary.refs, "ref of a deleted repo", "refs of deleted repos"],
    [summary.commits, "commit that no branch reaches", "commits that no branch reaches"],
    [summary.snapshots, "snapshot that no branch reaches", "snapshots that no branch reaches"],
    [summary.history_refs, "object that no branch reaches", "objects that no branch reaches"],
    [summary.mpacks, "mpack", "mpacks"],
    [summary.blobs, ...ofBytes("blob", summary.blob_bytes)],
    [summary.half_written, "half-written blob", "half-written blobs"],
  ];
  const found = counts.filter(([count]) => count > 0).map(([...each]) => lineOf(...each));
  return [
    `${dry_run ? "Would collect" : "Collected"}${found.length === 0 ? " nothing" : ""} in ${
      formatMs(summary.elapsed_ms)
    }`,
    ...found,
    ...(unknown_blobs > 0
      ? [
        lineOf(
          unknown_blobs,
          "blob of an unknown repo is",
          "blobs of unknown repos are",
          "left alone",
        ),
      ]
      : []),
    ...(dry_run && percent > gcMaxPercent
      ? [`The blobs are ${percent.toFixed(1)}% of the store's bytes: gc refuses without --force`]
      : []),
    ...(postponed > 0 ? [`  ${formatCount(postponed).padStart(9)}  left to the next run`] : []),
  ].join("\n");
}

function ofBytes(one: string, bytes: number): [one: string, many: string] {
  const size = formatBytes(bytes);
  return [`${one} of ${size}`, `${one}s of ${size}`];
}

/** A count below the others. */
function lineOf(count: number, one: string, many: string, rest = ""): string {
  const indent = " ".repeat(Math.max(0, COUNT_WIDTH - formatCount(count).length));
  return `  ${indent}${counted(count, one, many)} ${rest}`.trimEnd();
}
