/**
 * The catalog's statements about shards, and about which shard a repo lives in.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import type { Row } from "../schema/tables.ts";
import type { RepoHome, Shard, ShardState } from "./shard.ts";

type ShardRow = Row<"mpackd_shards">;

function toShard(row: ShardRow): Shard {
  return {
    name: row.name,
    url: row.url,
    replicaUrl: row.replica_url,
    storeUrl: row.store_url,
    state: row.state as ShardState,
    version: row.version,
    addedAt: row.added_at,
  };
}

/** Lists the shards by name, without the catalog. */
export async function listShards(catalog: Database): Promise<Shard[]> {
  const rows = await catalog.query<ShardRow>("list the shards")`
    select name, url, replica_url, store_url, state, version, added_at
    from mpackd_shards order by name`;
  return rows.map(toShard);
}

/** Finds a shard by its name. */
export async function findShard(catalog: Database, name: string): Promise<Shard | undefined> {
  const [row] = await catalog.query<ShardRow>("find a shard")`
    select name, url, replica_url, store_url, state, version, added_at
    from mpackd_shards where name = ${name}`;
  return row && toShard(row);
}

/** A shard to add. */
export type NewShard = Pick<Shard, "name" | "url" | "replicaUrl" | "storeUrl">;

/**
 * Adds a shard; returns whether this call did, and none of its name was there.
 * @internal Exported for tests.
 */
export async function insertShard(
  catalog: Database,
  { name, url, replicaUrl, storeUrl }: NewShard,
): Promise<boolean> {
  const rows = await catalog.query("add a shard")`
    insert into mpackd_shards (name, url, replica_url, store_url)
    values (${name}, ${url}, ${replicaUrl}, ${storeUrl})
    on conflict (name) do nothing returning name`;
  return rows.length > 0;
}

/**
 * Sets a shard's state; returns whether there is such a shard.
 * @internal Exported for tests.
 */
export async function setShardState(
  catalog: Database,
  name: string,
  state: ShardState,
): Promise<boolean> {
  const rows = await catalog.query("set a shard's state")`
    update mpackd_shards set state = ${state} where name = ${name} returning name`;
  return rows.length > 0;
}

/**
 * Says where a repo lives from now on, if it lives where `from` says.
 *
 * @param place.from The shard's name; null: the catalog.
 * @returns Whether it lived there.
 * @internal Exported for tests.
 */
export async function placeRepo(
  catalog: Database,
  { repoId, from, to }: {
    readonly repoId: string;
    readonly from: string | null;
    readonly to: string | null;
  },
): Promise<boolean> {
  const rows = await catalog.query("place a repo")`
    update musehub_repos set shard = ${to}
    where repo_id = ${repoId} and shard is not distinct from ${from}
    returning repo_id`;
  return rows.length > 0;
}

/**
 * Where a repo lives, deleted or not; undefined if no repo has the id.
 * @internal Exported for tests.
 */
export async function findHome(
  catalog: Database,
  repoId: string,
): Promise<{ readonly home: RepoHome | undefined } | undefined> {
  const [row] = await catalog.query<HomeColumns>("find a repo's shard")`
    select r.shard, s.version as shard_version
    from musehub_repos r left join mpackd_shards s on s.name = r.shard
    where r.repo_id = ${repoId}`;
  return row && { home: toHome(row) };
}

/** What a statement that finds a repo reads of its shard. */
export interface HomeColumns {
  readonly shard: string | null;
  readonly shard_version: number | null;
}

/** A repo's home of its columns; undefined: the catalog. */
export function toHome({ shard, shard_version }: HomeColumns): RepoHome | undefined {
  return shard === null ? undefined : { shard, version: shard_version ?? 0 };
}

/**
 * Writes the shard's copy of a repo's row, or brings the copy up to date: its tables refer to it.
 *
 * @param db The shard.
 * @throws {DatabaseError} If another repo of the shard has the name.
 * @internal Exported for tests.
 */
export async function copyRepo(catalog: Database, db: Database, repoId: string): Promise<void> {
  type Copied = Pick<Row<"musehub_repos">, "owner" | "slug" | "name" | "visibility">;
  const [row] = await catalog.query<Copied & { created_at: string; deleted_at: string }>(
    "read a repo to copy",
  )`
    select owner, slug, name, visibility, created_at::text, deleted_at::text
    from musehub_repos where repo_id = ${repoId}`;
  if (row === undefined) return;
  await db.query("copy a repo into its shard")`
    insert into musehub_repos (repo_id, owner, slug, name, visibility, created_at, deleted_at)
    values (${repoId}, ${row.owner}, ${row.slug}, ${row.name}, ${row.visibility},
      ${row.created_at}::text::timestamptz, ${row.deleted_at}::text::timestamptz)
    on conflict (repo_id) do update set name = excluded.name, visibility = excluded.visibility,
      deleted_at = excluded.deleted_at`;
}

/**
 * Makes sure that a database is the shard of this name, of this catalog.
 *
 * @throws {ConfigError} If it is another one, or none.
 */
export async function requireShard(db: Database, name: string, catalogId: string): Promise<void> {
  type Found = Pick<Row<"mpackd_database">, "shard" | "catalog_id">;
  const [row] = await db.query<Found>("read a shard's name")`
    select shard, catalog_id from mpackd_database`;
  if (row?.shard === name && row.catalog_id === catalogId) return;
  const what = row?.shard == null
    ? "is no shard of any catalog"
    : row.catalog_id === catalogId
    ? `is shard ${row.shard} of this catalog`
    : `is shard ${row.shard} of another catalog`;
  throw new ConfigError(
    `Cannot use ${db.label}: that schema ${what}; correct the shard's URL, and see that ` +
      "search_path names its schema",
  );
}
