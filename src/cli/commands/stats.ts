/**
 * `main.ts stats`: packs, objects, refs, bytes, and how much of it twice.
 *
 * @module
 */

import type { Command } from "commander";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { readStats, type Stats } from "../../db/stats.ts";
import type { CommandContext } from "../command.ts";
import { formatBytes, formatCount } from "../terminal.ts";
import { openDatabase } from "../resources.ts";

interface StatsFlags {
  readonly repo?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addStatsCommand(program: Command, context: CommandContext): void {
  program.command("stats")
    .summary("count packs, objects, refs and bytes")
    .description("Count packs, objects, refs and bytes, and how much of it is there twice.")
    .option("--repo <owner/slug>", "only this repo; default: all that were not deleted")
    .option("--json", "print the counts as one JSON document")
    .action((flags: StatsFlags) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const { db } = opened;
        const repo = flags.repo === undefined
          ? undefined
          : await resolveRepo(db, parseRepoName(flags.repo), { create: false });
        const stats = await readStats(db, { repoId: repo?.repoId });
        console.log(flags.json ? JSON.stringify(stats) : textOf(stats));
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
    row("packs", stats.packs, stats.pack_bytes),
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
        "the objects in packs were in the repo already",
    ),
    row(
      "shared",
      refs - objects,
      ref_bytes - object_bytes,
      `${percent(refs - objects, refs)} of ` +
        "the refs are to objects that another repo has too",
    ),
    row("other", stats.packs, stats.other_bytes, "in packs beside what refs point at"),
  ].join("\n");
}
