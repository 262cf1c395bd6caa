/**
 * `mpackd shard list`.
 *
 * @module
 */

import type { Command } from "commander";
import { countRepos } from "../../../db/shards/catalog.ts";
import { askShards } from "../../../db/shards/ask_shards.ts";
import { tableBytes } from "../../../db/shards/room.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson, tell } from "../../output.ts";
import { openDatabase } from "../../resources.ts";
import { formatBytes, formatCount } from "../../terminal.ts";

/** One line of the list. In snake_case: it is printed as JSON. */
interface Listed {
  readonly name: string;
  readonly state: string;
  readonly repos: number;
  /** Null: it does not answer. */
  readonly table_bytes: number | null;
  readonly database: string | null;
  readonly version: number | null;
  readonly has_own_store: boolean;
  readonly has_replica: boolean;
}

/** Adds the command to `shard`. */
export function addListCommand(shard: Command, context: CommandContext): void {
  shard.command("list")
    .summary("list the catalog and its shards")
    .description(
      "List the catalog and its shards: their state, repos and size. One that does not answer is " +
        "listed without a size.",
    )
    .option("--json", "print them as one JSON document")
    .action((flags: { readonly json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 2 });
        const all = await opened.shards.all(), repos = await countRepos(opened.db);
        const { answers, unreachable, failed } = await askShards(all, async (db) => ({
          bytes: await tableBytes(db),
          label: db.label,
        }));
        const found = new Map(answers.map(({ name, answer }) => [name, answer]));
        const listed = all.map(({ name, shard }): Listed => ({
          name,
          state: shard?.state ?? "open",
          repos: repos.get(shard?.name ?? null) ?? 0,
          table_bytes: found.get(name)?.bytes ?? null,
          database: found.get(name)?.label ?? null,
          version: shard?.version ?? null,
          has_own_store: shard?.storeUrl != null,
          has_replica: shard?.replicaUrl != null,
        }));
        if (flags.json) return await printJson({ shards: listed, unreachable });
        await print(tableOf(listed));
        for (const { name, error } of failed) tell(`${name}: ${error.message}`, "warning");
      })
    );
}

function tableOf(shards: readonly Listed[]): string {
  const rows = [
    ["NAME", "STATE", "REPOS", "TABLES", "DATABASE"],
    ...shards.map(({ name, state, repos, table_bytes: bytes, database }) => [
      name,
      bytes === null ? `${state}, unreachable` : state,
      formatCount(repos),
      bytes === null ? "?" : formatBytes(bytes),
      database ?? "",
    ]),
  ];
  const widths = rows[0].map((_, at) => Math.max(...rows.map((row) => row[at].length)));
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at])).join("  ").trimEnd())
    .join("\n");
}
