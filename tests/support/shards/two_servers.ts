/**
 * Two servers that can replicate: on the first a catalog with a shard, the second is empty.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { findShard, insertShard } from "../../../src/db/shards/catalog.ts";
import { shardUrl } from "../../../src/db/shards/shard.ts";
import { readIdentity } from "../../../src/db/store_owner.ts";
import type { MoveToOptions } from "../../../src/maintenance/shards/move_options.ts";
import { createTestDatabase, type TestDatabase } from "../postgres/postgres.ts";
import { startTestServer, type TestServer } from "../postgres/test_server.ts";

/** The subscription's workers start again at once, and copy more tables at once: tests are short. */
export const REPLICATING = {
  wal_level: "logical",
  max_replication_slots: "40",
  max_wal_senders: "40",
  wal_retrieve_retry_interval: "100ms",
  max_logical_replication_workers: "10",
  max_sync_workers_per_subscription: "6",
  max_worker_processes: "16",
};

/** The servers; all tests of a run share them. */
export interface TwoServers {
  readonly first: TestServer;
  readonly second: TestServer;
}

/** Starts both, or joins them. */
export async function twoServers(): Promise<TwoServers> {
  return {
    first: await startTestServer({ name: "logical-1", settings: REPLICATING }),
    second: await startTestServer({ name: "logical-2", settings: REPLICATING }),
  };
}

/** A catalog, its shard `s1` in another database, and a place to move it to. */
export interface ShardedCatalog extends AsyncDisposable {
  readonly catalog: Database;
  readonly catalogUrl: string;
  /** Where the shard is at first. */
  readonly oldUrl: string;
  /** An empty database on the second server, with the shard's schema in the URL. */
  readonly newUrl: string;
  /** Opens a pool that is closed with this. */
  open(url: string): Database;
  /** Opens the shard where the catalog says that it is. */
  openShard(): Promise<Database>;
  /** How to move the shard there. */
  moveOptions(options?: Partial<MoveToOptions>): MoveToOptions;
}

/** Makes the tables of a shard in a schema that is there, and adds it to the catalog. */
export async function addTestShard(
  { catalog, open }: Pick<ShardedCatalog, "catalog" | "open">,
  name: string,
  url: string,
): Promise<Database> {
  const shard = open(url);
  await migrate(shard);
  const { databaseId } = await readIdentity(catalog);
  await shard.sql`update mpackd_database set shard = ${name}, catalog_id = ${databaseId}`;
  await insertShard(catalog, { name, url, replicaUrl: null, storeUrl: null });
  return shard;
}

/** Makes a database on a server, or on a pair. */
export async function databaseAt(
  place: Place,
  name: string,
): Promise<Pick<TestDatabase, "url" | "drop">> {
  if (!("reach" in place)) return await createTestDatabase(name, place.url);
  const { url } = await createTestDatabase(name, place.current.url);
  // It goes with its servers, which may not be those of now.
  return { url: place.reach(url), drop: () => Promise.resolve() };
}

/** A server, or a pair whose databases are reached over both hosts. */
export type Place = Pick<TestServer, "url"> | {
  /** The primary. */
  readonly current: Pick<TestServer, "url">;
  /** The same database over all hosts. */
  reach(url: string): string;
};

/** Makes a migrated shard in a schema of its own; the catalog is on the first server, or elsewhere. */
export async function openShardedCatalog(
  { first, second, catalog: elsewhere = first }: {
    readonly first: Place;
    readonly second: Place;
    readonly catalog?: Place;
  },
): Promise<ShardedCatalog> {
  const catalogDatabase = await databaseAt(elsewhere, "catalog");
  const oldDatabase = await databaseAt(first, "old");
  const newDatabase = await databaseAt(second, "new");
  const pools: Database[] = [];
  const open = (url: string) => {
    const db = connectDatabase(url, { maxConnections: 4 });
    pools.push(db);
    return db;
  };
  const catalog = open(catalogDatabase.url);
  await migrate(catalog);
  const oldUrl = `${oldDatabase.url}?search_path=s1`, newUrl = `${newDatabase.url}?search_path=s1`;
  await open(oldUrl).sql`create schema s1`;
  await addTestShard({ catalog, open }, "s1", oldUrl);
  const completeUrl = (url: string) => shardUrl(url, catalogDatabase.url);
  return {
    catalog,
    catalogUrl: catalogDatabase.url,
    oldUrl,
    newUrl,
    open,
    openShard: async () => open(completeUrl((await findShard(catalog, "s1"))!.url)),
    moveOptions: (options = {}) => ({
      catalog,
      shard: "s1",
      connect: (url) => connectDatabase(url, { maxConnections: 4 }),
      completeUrl,
      newUrl: newDatabase.url,
      check: "full",
      waitMs: 1_000,
      signal: new AbortController().signal,
      ...options,
    }),
    async [Symbol.asyncDispose]() {
      await Promise.all(pools.map((db) => db.close()));
      await newDatabase.drop();
      await oldDatabase.drop();
      await catalogDatabase.drop();
    },
  };
}
