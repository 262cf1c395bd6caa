/**
 * `mpackd migrate`: creates the tables, or adds what is missing.
 *
 * @module
 */

import type { Command } from "commander";
import type { Database } from "../../db/client/database.ts";
import type { MigrationName } from "../../db/schema/migration_names.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import { migrate, pendingMigrations } from "../../db/schema/migrate.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson } from "../output.ts";
import { openDatabase } from "../resources.ts";

/** The migration without which there are no shards. */
const SHARDS: MigrationName = "0027_shards";

/** A shard's name; empty for the catalog. Then the migrations. */
type Migrated = readonly [shard: string, names: readonly string[]];

/** Adds the command. */
export function addMigrateCommand(program: Command, context: CommandContext): void {
  program.command("migrate")
    .summary("create or complete the tables")
    .description(
      "Create the tables, or add what is missing to existing tables. If an existing table cannot " +
        "be used, names it and changes nothing. Safe to run at any time. With shards: the catalog's " +
        "tables first, then those of each shard; one that cannot be reached ends it with an error.",
    )
    .option("--dry-run", "only name what would be applied")
    .option("--json", "print the applied migrations as one JSON document")
    .action((flags: { dryRun?: boolean; json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { isMigrating: true });
        const { db, shards } = opened;
        if (flags.dryRun) {
          const pending = await pendingMigrations(db);
          const others = pending.includes(SHARDS) ? [] : await inShards(shards, pendingMigrations);
          if (flags.json) {
            return await printJson({ would_apply: pending, ...shardsJson("would_apply", others) });
          }
          return await say("Would apply", [["", pending], ...others]);
        }
        const { applied } = await migrate(db);
        const others = await inShards(shards, async (shard) => (await migrate(shard)).applied);
        if (flags.json) return await printJson({ applied, ...shardsJson("applied", others) });
        await say("Applied", [["", applied], ...others]);
      })
    );
}

async function inShards(
  shards: ShardPools,
  work: (db: Database) => Promise<readonly string[]>,
): Promise<Migrated[]> {
  const done: Migrated[] = [];
  for (const { name, shard, open } of await shards.all()) {
    if (shard !== undefined) done.push([name, await work(await open())]);
  }
  return done;
}

function shardsJson(word: string, others: readonly Migrated[]) {
  return others.length === 0
    ? {}
    : { shards: others.map(([shard, names]) => ({ shard, [word]: names })) };
}

async function say(verb: string, all: readonly Migrated[]): Promise<void> {
  for (const [shard, names] of all) {
    const where = shard === "" ? "" : `shard ${shard}: `;
    if (names.length === 0) await print(`${where}The tables are up to date`);
    for (const name of names) await print(`${where}${verb} ${name}`);
  }
}
