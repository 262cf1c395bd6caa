/**
 * A catalog with shards, for tests.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { copyRepo, insertShard } from "../../../src/db/shards/catalog.ts";
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
  const made = stack.use(await addShards(catalog, catalogUrl, { servers, maxConnections }));
  const open = stack.move();
  return { ...made, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

async function addShards(
  catalog: Database,
  catalogUrl: string,
  { servers, maxConnections }: {
    readonly servers: readonly (string | undefined)[];
    readonly maxConnections: number;
  },
): Promise<TestShards> {
  await using stack = new AsyncDisposableStack();
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

/** In how many shards tests of the API place their repos: `MPACKD_TEST_SHARDS`, or none. */
export function shardsToTest(): number {
  return Number(Deno.env.get("MPACKD_TEST_SHARDS") ?? 0);
}

/** What the catalog knows, and a shard does not. */
const OF_CATALOG = [
  "musehub_repos",
  "mpackd_identities",
  "mpackd_tokens",
  "mpackd_collaborators",
  "mpackd_seen_signatures",
  "mpackd_secrets",
  "mpackd_shards",
  "mpackd_schedules",
  "mpackd_pauses",
];

/**
 * Opens a catalog and its one shard as if they were one schema, for a test that looks at rows: each
 * table is the one that counts. Both are schemas of one database.
 */
export async function openAsOne({ catalog, catalogUrl }: TestShards): Promise<Database> {
  const views = OF_CATALOG.map((table) => `create view as_one.${table} as select * from ${table};`);
  // A test inserts rows of a repo without a push, which would make its copy.
  await catalog.sql.unsafe(`
    create schema as_one; ${views.join(" ")}
    create function copy_repo() returns trigger language plpgsql as $$
    begin
      insert into s1.musehub_repos (repo_id, owner, slug, name, visibility, created_at)
      values (new.repo_id, new.owner, new.slug, new.name, new.visibility, new.created_at);
      return null;
    end $$;
    create trigger copy_repo after insert on musehub_repos
      for each row execute function copy_repo()`);
  return connectDatabase(`${catalogUrl}?search_path=as_one,s1`, { maxConnections: 4 });
}

/**
 * Gives a catalog two shards, and places all its repos in them, however they are created: also those
 * that a test inserts, whose copies are then made at their first push.
 *
 * @param servers Where each shard is; undefined for the catalog's database.
 */
export async function shardCatalog(
  catalog: Database,
  catalogUrl: string,
  servers: readonly (string | undefined)[] = [undefined, undefined],
): Promise<TestShards> {
  const made = await addShards(catalog, catalogUrl, { servers, maxConnections: 4 });
  await catalog.sql.unsafe(`
    create function place_repo() returns trigger language plpgsql as $$
    begin
      new.shard := coalesce(new.shard,
        's' || 1 + mod(abs(hashtext(new.repo_id)), ${servers.length}));
      return new;
    end $$;
    create trigger place_repo before insert on musehub_repos
      for each row execute function place_repo()`);
  await catalog.sql`update musehub_repos set shard = 's1'`;
  for (const { repo_id } of await catalog.sql`select repo_id from musehub_repos`) {
    await copyRepo(catalog, made.shards[0], repo_id);
  }
  return made;
}
