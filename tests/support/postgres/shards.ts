/**
 * A catalog with shards, for tests.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { insertShard } from "../../../src/db/shards/catalog.ts";
import { ShardPools } from "../../../src/db/shards/shard_pools.ts";
import { readIdentity } from "../../../src/db/store_owner.ts";
import { openTestDatabase } from "./database.ts";
import { createTestDatabase } from "./postgres.ts";

/** A migrated catalog and some empty shards. */
export interface TestShards extends AsyncDisposable {
  readonly catalog: Database;
  readonly catalogUrl: string;
  readonly pools: ShardPools;
  /** Pools of the shards in their order, apart from those in `pools`. */
  readonly shards: readonly Database[];
  /** With search_path. */
  readonly shardUrls: readonly string[];
}

/**
 * Makes a schema `s1`, `s2`, … of its own for each shard, and puts them into a catalog.
 *
 * @param servers Where each of them is: the URL of a server; undefined for the catalog's database.
 */
export async function openTestShards(
  servers: readonly (string | undefined)[] = [undefined, undefined],
  { maxConnections = 4 }: { readonly maxConnections?: number } = {},
): Promise<TestShards> {
  await using stack = new AsyncDisposableStack();
  const { db: catalog, url: catalogUrl } = stack.use(await openTestDatabase());
  const shards: Database[] = [], shardUrls: string[] = [];
  for (const [i, server] of servers.entries()) {
    const name = `s${i + 1}`;
    const base = server === undefined
      ? catalogUrl
      : stack.use(await createTestDatabase("shard", server)).url;
    const db = await makeShard(catalog, { name, base });
    stack.defer(() => db.close());
    shards.push(db);
    shardUrls.push(`${base}?search_path=${name}`);
  }
  const pools = stack.use(new ShardPools({ catalog, catalogUrl, maxConnections }));
  const open = stack.move();
  return {
    catalog,
    catalogUrl,
    pools,
    shards,
    shardUrls,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** Makes one schema a shard. */
export async function makeShard(
  catalog: Database,
  { name, base }: { readonly name: string; readonly base: string },
): Promise<Database> {
  const url = `${base}?search_path=${name}`, db = connectDatabase(url, { maxConnections: 2 });
  await db.sql.unsafe(`create schema "${name}"`);
  await migrate(db);
  const { databaseId } = await readIdentity(catalog);
  await db.sql`update mpackd_database set shard = ${name}, catalog_id = ${databaseId}`;
  await insertShard(catalog, { name, url, replicaUrl: null, storeUrl: null });
  return db;
}
