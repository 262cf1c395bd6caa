/**
 * `mpackd stats`: counts mpacks, objects, refs and bytes.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import type { Database } from "../../db/client/database.ts";
import { parseRepoName, type Repo, resolveRepo } from "../../db/repos.ts";
import { WARN_PERCENT } from "../../db/quotas/quota.ts";
import { listUsage, mergeUsage } from "../../db/quotas/quotas.ts";
import {
  readSpace,
  readStats,
  readWaitingForGc,
  type Stats,
  type TableSpace,
  type WaitingForGc,
} from "../../db/stats.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import type { CommandContext } from "../command.ts";
import { quotaJson, quotaText } from "../operate/quota_text.ts";
import { print, printJson } from "../output.ts";
import { counted, formatBytes, formatCount, LiveLine } from "../terminal.ts";
import { openDatabase } from "../resources.ts";
import { askAll, SHARD_OPTION, unreachableJson } from "../shards/all_shards.ts";

interface StatsFlags {
  readonly repo?: string;
  readonly shard?: string;
  readonly json?: boolean;
}

/** Counting hundreds of millions of rows takes minutes. */
const COUNT_DEADLINE_MS = 10 * 60_000;

/** Adds the command. */
export function addStatsCommand(program: Command, context: CommandContext): void {
  program.command("stats")
    .summary("count mpacks, objects, refs and bytes")
    .description(
      "Count mpacks, objects, refs and bytes, and how much of them is repeated; without --repo also " +
        "what waits for gc, and what tables and indexes take.",
    )
    .option("--repo <owner/slug>", "only this repo. Default: all, without the deleted ones")
    .option(...SHARD_OPTION)
    .option("--json", "print the counts as one JSON document")
    .action((flags: StatsFlags) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const repo = flags.repo === undefined
          ? undefined
          : await resolveRepo(opened.db, parseRepoName(flags.repo));
        const shard = repo === undefined ? flags.shard : repo.home?.shard ?? CATALOG;
        const line = new LiveLine(), options = { shard, deadlineMs: COUNT_DEADLINE_MS };
        const { answers, unreachable } = await line.during(
          () => ({ label: "stats", note: "counting all rows" }),
          () => askAll(opened, options, (db) => readPlace(db, repo, context.config())),
        );
        const stats = sumUp(answers.map((place) => place.stats));
        const full = mergeUsage(answers.map((place) => place.full));
        // Both are about the database as a whole.
        const more = repo === undefined
          ? {
            waiting_for_gc: sumUp(answers.map((place) => place.waiting!)),
            tables: mergeTables(answers.map((place) => place.tables!)),
          }
          : undefined;
        if (flags.json) {
          return await printJson({
            ...stats,
            tenants_at_limits: full.map(quotaJson),
            ...more,
            ...unreachableJson(unreachable),
          });
        }
        await print(textOf(stats));
        for (const tenant of full) await print(`${"at limit".padEnd(10)}${quotaText(tenant)}`);
        if (more) await print(spaceText(more.waiting_for_gc, more.tables));
      })
    );
}

/** Counts what one shard has. */
async function readPlace(db: Database, repo: Repo | undefined, config: Config) {
  return {
    stats: await readStats(db, { repoId: repo?.repoId }),
    full: await listUsage(db, {
      defaults: quotaDefaultsOf(config),
      minPercent: WARN_PERCENT,
      ...(repo && { tenant: { kind: "repo", name: repo.repoId } }),
    }),
    waiting: repo === undefined ? await readWaitingForGc(db) : undefined,
    tables: repo === undefined ? await readSpace(db) : undefined,
  };
}

/** Adds counts of the same names. */
function sumUp<Counts extends object>(all: readonly Counts[]): Counts {
  const sums: Record<string, number> = {};
  for (const counts of all) {
    for (const [name, count] of Object.entries(counts as Record<string, number>)) {
      sums[name] = (sums[name] ?? 0) + count;
    }
  }
  return sums as Counts;
}

function mergeTables(lists: readonly (readonly TableSpace[])[]): TableSpace[] {
  const byName = new Map<string, TableSpace>();
  for (const { name, table_bytes, index_bytes } of lists.flat()) {
    const known = byName.get(name) ?? { table_bytes: 0, index_bytes: 0 };
    byName.set(name, {
      name,
      table_bytes: known.table_bytes + table_bytes,
      index_bytes: known.index_bytes + index_bytes,
    });
  }
  const bytes = (table: TableSpace) => table.table_bytes + table.index_bytes;
  return [...byName.values()].sort((a, b) => bytes(b) - bytes(a) || (a.name < b.name ? -1 : 1));
}

function textOf(stats: Stats): string {
  const count = (value: number) => formatCount(value).padStart(15);
  const row = (name: string, value: number, sizeBytes?: number, what = "") =>
    `${name.padEnd(10)}${count(value)}${
      sizeBytes === undefined ? "" : `  ${formatBytes(sizeBytes).padStart(9)}`
    }${what === "" ? "" : `  ${what}`}`;
  const percent = (part: number, whole: number) =>
    whole === 0 ? "0%" : `${(100 * part / whole).toFixed(1)}%`;
  const { refs, objects, ref_bytes, object_bytes, pack_objects, repeated_objects } = stats;
  return [
    row("repos", stats.repos),
    row("mpacks", stats.packs, stats.pack_bytes),
    row("commits", stats.commits),
    row("snapshots", stats.snapshots),
    row("tags", stats.tags),
    row("refs", refs, ref_bytes, `${formatCount(stats.damaged_refs)} damaged`),
    row("objects", objects, object_bytes, "each once"),
    row(
      "repeated",
      repeated_objects,
      undefined,
      `${percent(repeated_objects, pack_objects)} of ` +
        "the objects in mpacks were already in the repo",
    ),
    row(
      "shared",
      refs - objects,
      ref_bytes - object_bytes,
      `${percent(refs - objects, refs)} of ` +
        "the refs are to objects that another repo has, too",
    ),
    `${"other".padEnd(27)}${formatBytes(stats.other_bytes).padStart(9)}  ` +
    "in mpacks, not pointed at by refs",
  ].join("\n");
}

/** The largest tables that are shown one by one. */
const SHOWN_TABLES = 5;

function spaceText(waiting: WaitingForGc, tables: readonly TableSpace[]): string {
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const line = (name: string, table: number, index: number) =>
    `  ${name.padEnd(28)}${formatBytes(table).padStart(9)}  indexes ${
      formatBytes(index).padStart(9)
    }`;
  return [
    `waits for gc: ${counted(waiting.packs, "mpack")} of deleted repos, ` +
    `${formatBytes(waiting.pack_bytes)}; ${
      counted(waiting.staged_batches, "staged batch", "staged batches")
    } ` +
    '("mpackd gc --dry-run" also looks for what no branch reaches)',
    "database:",
    line(
      "all tables",
      sum(tables.map((t) => t.table_bytes)),
      sum(tables.map((t) => t.index_bytes)),
    ),
    ...tables.slice(0, SHOWN_TABLES).map((t) => line(t.name, t.table_bytes, t.index_bytes)),
  ].join("\n");
}
