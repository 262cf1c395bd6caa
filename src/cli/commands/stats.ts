/**
 * `mpackd stats`: counts mpacks, objects, refs and bytes.
 *
 * @module
 */

import type { Command } from "commander";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { WARN_PERCENT } from "../../db/quotas/quota.ts";
import { listUsage } from "../../db/quotas/quotas.ts";
import {
  readSpace,
  readStats,
  readWaitingForGc,
  type Stats,
  type TableSpace,
  type WaitingForGc,
} from "../../db/stats.ts";
import type { CommandContext } from "../command.ts";
import { quotaJson, quotaText } from "../operate/quota_text.ts";
import { print, printJson } from "../output.ts";
import { counted, formatBytes, formatCount, LiveLine } from "../terminal.ts";
import { openDatabase } from "../resources.ts";

interface StatsFlags {
  readonly repo?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addStatsCommand(program: Command, context: CommandContext): void {
  program.command("stats")
    .summary("count mpacks, objects, refs and bytes")
    .description(
      "Count mpacks, objects, refs and bytes, and how much of them is repeated; without --repo also " +
        "what waits for gc, and what tables and indexes take.",
    )
    .option("--repo <owner/slug>", "only this repo. Default: all, without the deleted ones")
    .option("--json", "print the counts as one JSON document")
    .action((flags: StatsFlags) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const { db } = opened;
        const repo = flags.repo === undefined
          ? undefined
          : await resolveRepo(db, parseRepoName(flags.repo));
        const line = new LiveLine();
        const stats = await line.during(
          () => ({ label: "stats", note: "counting all rows" }),
          () => readStats(db, { repoId: repo?.repoId }),
        );
        const full = await listUsage(db, {
          defaults: quotaDefaultsOf(context.config()),
          minPercent: WARN_PERCENT,
          ...(repo && { tenant: { kind: "repo", name: repo.repoId } }),
        });
        // Both are about the database as a whole.
        const more = repo === undefined
          ? await line.during(() => ({ label: "stats", note: "garbage and tables" }), async () => ({
            waiting_for_gc: await readWaitingForGc(db),
            tables: await readSpace(db),
          }))
          : undefined;
        if (flags.json) {
          return await printJson({ ...stats, tenants_at_limits: full.map(quotaJson), ...more });
        }
        await print(textOf(stats));
        for (const tenant of full) await print(`${"at limit".padEnd(10)}${quotaText(tenant)}`);
        if (more) await print(spaceText(more.waiting_for_gc, more.tables));
      })
    );
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
