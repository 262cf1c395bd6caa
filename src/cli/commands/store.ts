/**
 * `mpackd store show|adopt`: the owner of the store.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import {
  adoptStore,
  compareOwner,
  type Ownership,
  type StoreOwner,
} from "../../maintenance/store_owner.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson } from "../output.ts";
import { openBlobStore, openDatabase, type OpenedDatabase } from "../resources.ts";
import { chooseShards } from "../shards/all_shards.ts";

const MARKER_OPTION = [
  "--shard <name>",
  "the marker of this shard. Default: the catalog's",
] as const;

const MEANINGS: Record<Ownership, string> = {
  "ours": "the store belongs to this database",
  "older-database": "the store belongs to this database, which was restored from an older backup",
  "foreign": "the store belongs to another database",
  "lost": "the store has no marker, but this database has marked its store: is it mounted?",
  "unmarked": "the store has no owner yet",
};

/** Adds the commands. */
export function addStoreCommand(program: Command, context: CommandContext): void {
  const command = program.command("store").summary("show or change the owner of the store");
  command.command("show")
    .summary("show which database owns the store")
    .description("Show which database owns the store, as its marker says.")
    .option(...MARKER_OPTION)
    .option("--json", "print it as one JSON document")
    .action((flags: { shard?: string; json?: boolean }) =>
      context.run(flags, async (signal) => {
        const config = context.config();
        await using opened = await openDatabase(config, { maxConnections: 1 });
        const { db, store } = await openPlace(opened, flags, { config, isWriting: false });
        const owner = await compareOwner({ db, store, signal });
        if (flags.json) return await printJson(jsonOf(store.url, db.label, owner));
        await print(textOf(store.url, db.label, owner));
      })
    );
  command.command("adopt")
    .summary("make this database the owner of the store")
    .description(
      "Make this database the owner of the store, whatever its marker says: after the database " +
        "was restored or copied, or the store was moved. gc will then delete blobs that this " +
        "database does not need. Look at gc --dry-run first.",
    )
    .option("--dry-run", "only say what the marker is now")
    .option(...MARKER_OPTION)
    .option("--json", "print the new owner as one JSON document")
    .action((flags: { shard?: string; dryRun?: boolean; json?: boolean }) =>
      context.run(flags, async (signal) => {
        const config = context.config(), isWriting = !flags.dryRun;
        await using opened = await openDatabase(config, { maxConnections: 1 });
        const { db, store } = await openPlace(opened, flags, { config, isWriting });
        if (flags.dryRun) {
          const owner = await compareOwner({ db, store, signal });
          if (flags.json) return await printJson(jsonOf(store.url, db.label, owner));
          const would = owner.ownership === "ours" ? "Nothing to adopt" : "Would adopt";
          return await print(`${would}: ${textOf(store.url, db.label, owner)}`);
        }
        const owner = await adoptStore({ db, store, signal });
        if (flags.json) return await printJson(jsonOf(store.url, db.label, owner));
        await print(`Adopted: ${store.url} belongs to the database ${owner.database.databaseId}`);
      })
    );
}

/** Opens the catalog or a shard, and its store. */
async function openPlace(
  opened: OpenedDatabase,
  { shard: name = CATALOG }: { readonly shard?: string },
  { config, isWriting }: { readonly config: Config; readonly isWriting: boolean },
) {
  const [{ shard, open }] = name === CATALOG
    ? [{ shard: undefined, open: () => Promise.resolve(opened.db) }]
    : await chooseShards(opened, { shard: name });
  const storeUrl = shard?.storeUrl ?? config.storeUrl;
  const store = await openBlobStore({ ...config, storeUrl }, { isWriting });
  return { db: await open(), store };
}

function textOf(store: string, database: string, { ownership, ...owner }: StoreOwner): string {
  const { marker } = owner;
  const shown = (side: { databaseId: string; counter: number }) =>
    `${side.databaseId}, counter ${side.counter}`;
  return [
    `${store}: ${MEANINGS[ownership]}`,
    `  marker    ${marker === undefined ? "none" : shown(marker)}`,
    `  database  ${shown(owner.database)} (${database})`,
  ].join("\n");
}

function jsonOf(store: string, database: string, owner: StoreOwner) {
  return {
    store,
    database,
    ownership: owner.ownership,
    marker: owner.marker
      ? { database_id: owner.marker.databaseId, counter: owner.marker.counter }
      : null,
    database_id: owner.database.databaseId,
    counter: owner.database.counter,
  };
}
