/**
 * Repos as lists show them: their names, and what they have.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { type Viewer, visibleRepoIds } from "./activity.ts";

/** The names of repos, `owner/slug` by id. Deleted and unknown ones are left out. */
export async function repoNames(
  db: Database,
  repoIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (repoIds.length === 0) return new Map();
  const rows = await db.query<{ repoId: string; name: string }>("name repos")`
    select repo_id as "repoId", owner || '/' || slug as name from musehub_repos
    where repo_id = any(${arrayLiteral([...new Set(repoIds)])}::text[]) and deleted_at is null`;
  return new Map(rows.map(({ repoId, name }) => [repoId, name]));
}

/** A repo, and what was pushed to it. */
export interface RepoSummary {
  readonly repoId: string;
  readonly owner: string;
  readonly slug: string;
  readonly visibility: string;
  readonly packs: number;
  /** Objects in its packs, repeated ones included. */
  readonly objects: number;
  readonly sizeBytes: number;
  readonly lastIndexedAt: Date | null;
}

/** Which repos to list. */
export interface RepoListOptions {
  /** Whose; undefined for all. */
  readonly viewer: Viewer | undefined;
  /** The beginning of `owner/slug`. */
  readonly prefix?: string;
  /** Only repos after this one. */
  readonly after?: { readonly owner: string; readonly slug: string };
  readonly limit: number;
}

/** Lists repos by owner and slug, and sums up their packs. */
export function listRepoSummaries(
  db: Database,
  { viewer, prefix = "", after, limit }: RepoListOptions,
): Promise<RepoSummary[]> {
  const isVisible = viewer === undefined
    ? db.sql`true`
    : db.sql`repo_id in (${visibleRepoIds(db, viewer)})`;
  return db.query<RepoSummary>("list repos")`
    with page as materialized (
      select repo_id, owner, slug, coalesce(visibility, 'private') as visibility
      from musehub_repos
      where deleted_at is null and ${isVisible}
        and starts_with(owner || '/' || slug, ${prefix})
        and (owner collate "C", slug collate "C")
          > (${after?.owner ?? ""} collate "C", ${after?.slug ?? ""} collate "C")
      order by owner collate "C", slug collate "C" limit ${limit}::bigint
    )
    select page.repo_id as "repoId", owner, slug, visibility, sums.*
    from page cross join lateral (
      select count(*) as packs, coalesce(sum(m.objects), 0)::bigint as objects,
        coalesce(sum(m.size_bytes), 0)::bigint as "sizeBytes", max(m.indexed_at) as "lastIndexedAt"
      from musehub_mpacks m where m.repo_id = page.repo_id
    ) as sums
    order by owner collate "C", slug collate "C"`;
}

/**
 * Merges lists of repos of a catalog and its shards, by owner and slug. The catalog has all names, and
 * comes first; what was pushed to a repo is what its shard says.
 */
export function mergeRepos(
  lists: readonly (readonly RepoSummary[])[],
  limit: number,
): RepoSummary[] {
  if (lists.length === 1) return [...lists[0]];
  const byId = new Map(lists.flat().map((repo) => [repo.repoId, repo]));
  // As SQL's collation "C" has it: a name is ASCII.
  const key = ({ owner, slug }: RepoSummary) => `${owner}\0${slug}`;
  return [...byId.values()].sort((a, b) => key(a) < key(b) ? -1 : 1).slice(0, limit);
}

/** One pack of a repo. */
export interface PackSummary {
  readonly mpackId: number;
  readonly mpackKey: string;
  readonly blobKey: string | null;
  readonly etag: string | null;
  readonly sizeBytes: number;
  readonly objects: number;
  readonly commits: number;
  readonly snapshots: number;
  readonly tags: number;
  readonly indexedAt: Date | null;
}

/** Lists the packs of a repo, newest first; or finds one by its key. */
export function listPacks(
  db: Database,
  repoId: string,
  { before, mpackKey, limit }: {
    readonly before?: number;
    readonly mpackKey?: string;
    readonly limit: number;
  },
): Promise<PackSummary[]> {
  const isAsked = mpackKey === undefined
    ? db.sql`mpack_id < ${before ?? Number.MAX_SAFE_INTEGER}::bigint`
    : db.sql`mpack_key = ${mpackKey}`;
  return db.query<PackSummary>("list packs")`
    select mpack_id as "mpackId", mpack_key as "mpackKey", blob_key as "blobKey", etag,
      coalesce(size_bytes, 0) as "sizeBytes", coalesce(objects, 0) as objects,
      coalesce(commits, 0) as commits, coalesce(snapshots, 0) as snapshots,
      coalesce(tags, 0) as tags, indexed_at as "indexedAt"
    from musehub_mpacks where repo_id = ${repoId} and ${isAsked}
    order by mpack_id desc limit ${limit}::bigint`;
}

/** Most damaged refs that are counted one by one. */
const MOST_DAMAGED = 1_000;

/** How many refs of a repo point to wrong or lost bytes; 1,000 stands for more. */
export async function countDamaged(db: Database, repoId: string): Promise<number> {
  const [{ damaged }] = await db.query<{ damaged: number }>("count damaged refs")`
    select count(*) as damaged from (
      select from musehub_object_refs where repo_id = ${repoId} and damaged_at is not null
      limit ${MOST_DAMAGED}::bigint
    ) as found`;
  return damaged;
}
