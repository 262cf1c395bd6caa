/**
 * The catalog's statements about shards, and about which shard a repo lives in.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { quotedLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import type { Row } from "../schema/tables.ts";
import type { RepoHome, Shard, ShardState } from "./shard.ts";

const REPOS_PER_PAGE = 1_000;

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
 * Names the standby of a shard; null: it has none. Its pools are opened anew.
 *
 * @returns Whether there is such a shard.
 */
export async function setReplica(
  catalog: Database,
  name: string,
  url: string | null,
): Promise<boolean> {
  const rows = await catalog.query("name a shard's standby")`
    update mpackd_shards set replica_url = ${url}, version = version + 1
    where name = ${name} returning name`;
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

/** What a database says of itself. */
export interface ShardMark {
  readonly databaseId: string;
  /** Null: it is no shard. */
  readonly shard: string | null;
  readonly catalogId: string | null;
}

/** Reads what a schema says of itself; undefined if it has no tables of mpackd, or older ones. */
export async function readShardMark(db: Database): Promise<ShardMark | undefined> {
  // As JSON: older tables have no such columns.
  const [{ exists }] = await db.query<{ exists: boolean }>("look for mpackd's tables")`
    select to_regclass(quote_ident(current_schema()) || '.mpackd_database') is not null as exists`;
  if (!exists) return undefined;
  type Found = { database_id: string; shard?: string | null; catalog_id?: string | null };
  const [row] = await db.query<{ found: Found }>("read a shard's name")`
    select to_jsonb(d) as found from mpackd_database d`;
  if (row === undefined) return undefined;
  const { database_id, shard = null, catalog_id = null } = row.found;
  return { databaseId: database_id, shard, catalogId: catalog_id };
}

/** Writes into a schema which shard it is, unless it is another one. */
export async function markShard(db: Database, name: string, catalogId: string): Promise<void> {
  await db.query("name a shard")`
    update mpackd_database set shard = ${name}, catalog_id = ${catalogId}
    where shard is null or shard = ${name} and catalog_id = ${catalogId}`;
  await requireShard(db, name, catalogId);
}

/** The row of a repo that is in a schema, but not in the catalog. */
export type OutsideRepo =
  & Pick<Row<"musehub_repos">, "repo_id" | "owner" | "slug" | "name" | "visibility">
  & { readonly created_at: string | null; readonly deleted_at: string | null };

/**
 * The repos of a schema that the catalog does not have in this shard: those that it does not know,
 * and those whose id or name it has elsewhere.
 */
export async function reposOutside(
  catalog: Database,
  db: Database,
  name: string,
): Promise<{ readonly unknown: OutsideRepo[]; readonly elsewhere: OutsideRepo[] }> {
  const unknown: OutsideRepo[] = [], elsewhere: OutsideRepo[] = [];
  let after = "";
  for (;;) {
    const repos = await db.query<OutsideRepo>("list a shard's repos")`
      select repo_id, owner, slug, name, visibility, created_at::text, deleted_at::text
      from musehub_repos where repo_id > ${after} order by repo_id limit ${REPOS_PER_PAGE}::bigint`;
    const ids = JSON.stringify(repos.map(({ repo_id, owner, slug }) => ({ repo_id, owner, slug })));
    const known = await catalog.query<{ repo_id: string; is_here: boolean }>("look for repos")`
      select g.repo_id, bool_and(r.repo_id = g.repo_id and r.shard is not distinct from ${name})
        as is_here
      from jsonb_to_recordset(${ids}::text::jsonb) as g(repo_id text, owner text, slug text)
      join musehub_repos r on r.repo_id = g.repo_id or r.owner = g.owner and r.slug = g.slug
      group by g.repo_id`;
    const isHere = new Map(known.map((row) => [row.repo_id, row.is_here]));
    for (const repo of repos) {
      const found = isHere.get(repo.repo_id);
      if (found === undefined) unknown.push(repo);
      else if (!found) elsewhere.push(repo);
    }
    if (repos.length < REPOS_PER_PAGE) return { unknown, elsewhere };
    after = repos[repos.length - 1].repo_id;
  }
}

/** Takes repos into the catalog that are in a shard already. */
export async function adoptRepos(
  catalog: Database,
  name: string,
  repos: readonly OutsideRepo[],
): Promise<void> {
  for (let at = 0; at < repos.length; at += REPOS_PER_PAGE) {
    const rows = JSON.stringify(repos.slice(at, at + REPOS_PER_PAGE));
    await catalog.query("adopt repos")`
      insert into musehub_repos (repo_id, owner, slug, name, visibility, created_at, deleted_at, shard)
      select repo_id, owner, slug, name, visibility, created_at, deleted_at, ${name}
      from jsonb_to_recordset(${rows}::text::jsonb) as g(repo_id text, owner text, slug text,
        name text, visibility text, created_at timestamptz, deleted_at timestamptz)
      order by repo_id
      on conflict (repo_id) do nothing`;
  }
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

/** How many repos live in each shard; null: in the catalog. Without the deleted ones. */
export async function countRepos(catalog: Database): Promise<Map<string | null, number>> {
  const rows = await catalog.query<{ shard: string | null; repos: number }>("count repos")`
    select shard, count(*) as repos from musehub_repos where deleted_at is null group by shard`;
  return new Map(rows.map(({ shard, repos }) => [shard, repos]));
}

/** The homes of an owner's repos, deleted ones included; undefined: the catalog, which comes first. */
export async function ownerHomes(
  catalog: Database,
  owner: string,
): Promise<(RepoHome | undefined)[]> {
  const rows = await catalog.query<HomeColumns>("look where an owner's repos are")`
    select distinct r.shard, s.version as shard_version
    from musehub_repos r left join mpackd_shards s on s.name = r.shard
    where r.owner = ${owner} order by r.shard nulls first`;
  return rows.map(toHome);
}

/**
 * Removes the names of deleted repos from a catalog that gc has removed from their shard: other repos
 * may have these names.
 *
 * @returns How many there were.
 */
export async function forgetRemoved(
  catalog: Database,
  db: Database,
  name: string,
): Promise<number> {
  const deleted = await catalog.query<{ repo_id: string }>("list deleted repos of a shard")`
    select repo_id from musehub_repos where shard = ${name} and deleted_at is not null
    order by repo_id`;
  if (deleted.length === 0) return 0;
  const removed = await db.query<{ repo_id: string }>("look for removed repos")`
    select repo_id from mpackd_removed_repos
    where repo_id = any(${quotedLiteral(deleted.map((row) => row.repo_id))}::text[])
    order by repo_id`;
  const rows = await catalog.query("forget removed repos")`
    delete from musehub_repos
    where repo_id = any(${quotedLiteral(removed.map((row) => row.repo_id))}::text[])
      and shard = ${name} and deleted_at is not null
    returning repo_id`;
  return rows.length;
}

/** Whether a database is a catalog with shards. */
export async function hasShards(db: Database): Promise<boolean> {
  const [{ found }] = await db.query<{ found: boolean }>("look for shards")`
    select exists (select from mpackd_shards) as found`;
  return found;
}
