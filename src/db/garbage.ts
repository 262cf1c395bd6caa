/**
 * Finds and deletes rows that are no longer needed. Each statement checks and deletes in one, so
 * that a row which is needed again in between is kept.
 *
 * @module
 */

import type { MpackErrorCode } from "../errors.ts";
import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";

/** Reading all refs of a large database takes minutes. */
const SCAN_DEADLINE_MS = 10 * 60_000;
/** An audit that was interrupted so long ago is not continued. */
const OLD_AUDIT = "30 days";

/** Deletes staged batches whose job is neither pending nor running; `isDryRun` only counts them. */
export async function collectStaged(
  db: Database,
  { isDryRun, limit }: { readonly isDryRun: boolean; readonly limit: number },
): Promise<number> {
  const dead = db.sql`
    select s.job_id, s.batch from mpack_staged_objects s
    where not exists (select from musehub_background_jobs j
      where j.job_id = s.job_id and j.status in ('pending', 'running'))
    limit ${isDryRun ? null : limit}::bigint`;
  const query = db.query<{ count: number }>("collect staged rows");
  const [{ count }] = isDryRun
    ? await query`select count(*)::int as count from (${dead}) as dead`
    : await query`
      with dead as materialized (${dead}), gone as (
        delete from mpack_staged_objects s using dead
        where s.job_id = dead.job_id and s.batch = dead.batch returning 1
      )
      select count(*)::int as count from gone`;
  return count;
}

/** Deletes audits that were interrupted 30 days ago; `isDryRun` only counts them. */
export async function collectAudits(db: Database, isDryRun: boolean): Promise<number> {
  const [{ count }] = await db.query<{ count: number }>("collect old audits")`
    with old as materialized (
      select audit_id from mpackd_audits where started_at < now() - ${OLD_AUDIT}::interval
    ), packs as (
      delete from mpackd_audited_packs a using old
      where a.audit_id = old.audit_id and not ${isDryRun}::boolean
    ), gone as (
      delete from mpackd_audits a using old
      where a.audit_id = old.audit_id and not ${isDryRun}::boolean
    )
    select count(*)::int as count from old`;
  return count;
}

/**
 * Lists the repos that were deleted at least `graceMs` milliseconds ago, and live in this database: of
 * those in a shard the catalog has a name, and no rows.
 */
export function deletedRepos(
  db: Database,
  { graceMs }: { readonly graceMs: number },
): Promise<{ repoId: string; repo: string }[]> {
  return db.query<{ repoId: string; repo: string }>("look for deleted repos")`
    select repo_id as "repoId", owner || '/' || slug as repo from musehub_repos
    where deleted_at < now() - ${graceMs}::float8 * interval '1 ms' and shard is null
    order by repo_id`;
}

/**
 * Cancels the pending jobs of a deleted repo, and asks its running ones to stop.
 *
 * @returns How many are still running.
 */
export async function cancelJobsOf(db: Database, repoId: string): Promise<number> {
  const query = db.query<{ running: number }>("cancel the jobs of a deleted repo");
  const [{ running }] = await query`
    with open as materialized (
      select job_id, status from musehub_background_jobs
      where repo_id = ${repoId} and status in ('pending', 'running')
      order by job_id for update
    ), asked as (
      update musehub_background_jobs j set
        status = case when open.status = 'pending' then 'cancelled' else j.status end,
        finished_at = case when open.status = 'pending' then now() else j.finished_at end,
        checkpoint = case when open.status = 'pending' then null else j.checkpoint end,
        cancel_requested = true
      from open where j.job_id = open.job_id
    )
    select count(*) filter (where status = 'running')::int as running from open`;
  return running;
}

/** Deletes up to `limit` refs of a repo that is deleted; returns how many. */
export async function collectRefs(
  db: Database,
  repoId: string,
  { limit }: { readonly limit: number },
): Promise<number> {
  const rows = await db.query("collect the refs of a deleted repo")`
    with picked as materialized (
      select object_id from musehub_object_refs
      where repo_id = ${repoId} and ${isDeleted(db, repoId)}
      order by object_id limit ${limit}::bigint for update
    )
    delete from musehub_object_refs r using picked
    where r.repo_id = ${repoId} and r.object_id = picked.object_id
    returning 1`;
  return rows.length;
}

/**
 * Deletes up to `limit` rows of each kind of the history of a repo that is deleted; returns how many.
 */
export async function collectHistoryOf(
  db: Database,
  repoId: string,
  { limit }: { readonly limit: number },
): Promise<number> {
  const { sql } = db;
  const some = (table: string, key: string) => {
    const name = sql(table), id = sql(key);
    return sql`delete from ${name} as r using (
        select ${id} as id from ${name} where repo_id = ${repoId} and ${isDeleted(db, repoId)}
        order by 1 limit ${limit}::bigint for update
      ) as picked
      where r.repo_id = ${repoId} and r.${id} = picked.id returning 1`;
  };
  const query = db.query<{ deleted: number }>("collect the history of a deleted repo");
  const [{ deleted }] = await query`
    with branches as (${some("musehub_branches", "branch_id")}),
      tags as (${some("musehub_tags", "tag_id")}),
      commits as (${some("musehub_commit_refs", "commit_id")}),
      snapshots as (${some("musehub_snapshot_refs", "snapshot_id")}),
      graph as (${some("musehub_commit_graph", "commit_id")}),
      held as (
        delete from mpackd_collections where repo_id = ${repoId} and ${isDeleted(db, repoId)}
      )
    select (select count(*) from branches) + (select count(*) from tags)
      + (select count(*) from commits) + (select count(*) from snapshots)
      + (select count(*) from graph) as deleted`;
  return deleted;
}

/** Deletes the rows of a deleted repo's packs if no rows point into them; returns how many. */
export async function collectPacksOf(db: Database, repoId: string): Promise<number> {
  const query = db.query<{ packs: number }>("collect the packs of a deleted repo");
  const [{ packs }] = await query`
    with gone as (
      delete from musehub_mpacks
      where repo_id = ${repoId} and ${isDeleted(db, repoId)}
        and not exists (select from musehub_object_refs where repo_id = ${repoId})
        and not exists (select from musehub_commit_refs where repo_id = ${repoId})
        and not exists (select from musehub_snapshot_refs where repo_id = ${repoId})
      returning repo_id, size_bytes, objects, replaced_at
    ), uncounted as materialized (${uncount(db)})
    select (select count(*) from gone) as packs from uncounted`;
  return packs;
}

/** Deletes the row of a deleted repo if no packs are left, and records that there was one. */
export async function collectRepo(db: Database, repoId: string): Promise<void> {
  await db.query("collect a deleted repo")`
    with removed as (
      delete from musehub_repos
      where repo_id = ${repoId} and deleted_at is not null
        and not exists (select from musehub_mpacks where repo_id = ${repoId})
      returning repo_id
    ), quota as (
      delete from mpackd_quotas q using removed where q.kind = 'repo' and q.name = removed.repo_id
    ), usage as (
      delete from mpackd_usage u using removed where u.kind = 'repo' and u.name = removed.repo_id
    )
    insert into mpackd_removed_repos (repo_id) select repo_id from removed
    on conflict do nothing`;
}

/** Counts the rows that would go with a deleted repo. */
export async function countRepo(
  db: Database,
  repoId: string,
): Promise<{ refs: number; packs: number }> {
  const query = db.query<{ refs: number; packs: number }>("count the rows of a deleted repo", {
    deadlineMs: SCAN_DEADLINE_MS,
  });
  const [row] = await query`
    select (select count(*) from musehub_object_refs where repo_id = ${repoId})::bigint as refs,
      (select count(*) from musehub_mpacks where repo_id = ${repoId})::bigint as packs`;
  return row;
}

/** A pack that no ref points into. */
export interface UnusedPack {
  readonly mpackId: number;
  readonly mpackKey: string;
  readonly blobKey: string;
}

/**
 * Lists packs that were published at least `graceMs` ago and that no row points into. A pack with
 * commits, snapshots or tags that did not come by a push is never among them: its blob may be the
 * only copy of those. All records of a push have rows.
 */
export function unusedPacks(
  db: Database,
  { graceMs, afterId, limit }: {
    readonly graceMs: number;
    readonly afterId: number;
    readonly limit: number;
  },
): Promise<UnusedPack[]> {
  return db.query<UnusedPack>("look for unused packs", { deadlineMs: SCAN_DEADLINE_MS })`
    select p.mpack_id as "mpackId", p.mpack_key as "mpackKey", p.blob_key as "blobKey"
    from musehub_mpacks p
    where p.mpack_id > ${afterId}::bigint and p.blob_key is not null
      and greatest(p.indexed_at, p.replaced_at) < now() - ${graceMs}::float8 * interval '1 ms'
      and ${isUnused(db)}
    order by p.mpack_id limit ${limit}::bigint`;
}

/** Deletes the rows of those packs that are still unused and that no open job names. */
export async function collectPacks(
  db: Database,
  mpackIds: readonly number[],
): Promise<number[]> {
  const query = db.query<{ mpackId: number }>("collect unused packs", {
    deadlineMs: SCAN_DEADLINE_MS,
  });
  const rows = await query`
    with gone as (
      delete from musehub_mpacks p
      where p.mpack_id = any(${arrayLiteral(mpackIds)}::bigint[]) and ${isUnused(db)}
        and not exists (select from musehub_background_jobs j
          where j.repo_id = p.repo_id and j.job_type = 'mpack.index'
            and j.status in ('pending', 'running')
            and mpackd_mpack_key(j.payload::text) = p.mpack_key)
      returning p.mpack_id, p.repo_id, p.is_push, p.size_bytes, p.objects, p.replaced_at
    ), uncounted as materialized (${uncount(db)}), noted as (
      insert into mpackd_collections as c (repo_id, run_id, expires_at, ended_at, is_mixed)
      select distinct repo_id, '', '-infinity'::timestamptz, '-infinity'::timestamptz, true
      from gone where is_push is not true order by repo_id
      on conflict (repo_id) do update set is_mixed = true
    )
    select mpack_id as "mpackId" from gone cross join uncounted`;
  return rows.map(({ mpackId }) => mpackId);
}

/**
 * Errors that the same bytes give every time. Not among them: `limit-exceeded`, which a setting
 * cures, and `ghost-objects`, which another push cures.
 */
const BYTE_ERRORS: readonly MpackErrorCode[] = [
  "digest-mismatch",
  "size-mismatch",
  "truncated",
  "trailing-bytes",
  "malformed-msgpack",
  "unexpected-shape",
  "duplicate-key",
  "bad-object-id",
  "bad-content",
  "declared-count-mismatch",
];

/** A blob in the store, and what its key says that it holds. In snake_case, for SQL. */
export interface NamedBlob {
  readonly key: string;
  /** The repo of a pack, where the key names it. */
  readonly pack_repo?: string;
  /** The key of a pack. */
  readonly mpack_key?: string;
  /** The repo of a materialized object, where the key names it. */
  readonly object_repo?: string;
  /** The id of a materialized object. */
  readonly object_id?: string;
}

/** A blob that no row needs. */
export interface UnnamedBlob {
  readonly key: string;
  /** Whether this database knows or knew the repo in the key. True if the key names none. */
  readonly isRepoKnown: boolean;
}

/**
 * Finds the blobs that no row needs: no pack names them, no ref names their object, and no job may
 * come to need them.
 */
export async function unnamedBlobs(
  db: Database,
  blobs: readonly NamedBlob[],
): Promise<UnnamedBlob[]> {
  const query = db.query<UnnamedBlob>("look for blobs that no row names", {
    deadlineMs: SCAN_DEADLINE_MS,
  });
  return await query`
    select u.key, coalesce(u.pack_repo, u.object_repo) is null
      -- The rows of a repo that lives in a shard, or has moved away, are there: here is none that
      -- names its blobs.
      or not exists (select from mpackd_moved_repos r
          where r.repo_id in (u.pack_repo, u.object_repo))
        and (exists (select from musehub_repos r
            where r.repo_id in (u.pack_repo, u.object_repo) and r.shard is null)
          or exists (select from mpackd_removed_repos r
            where r.repo_id in (u.pack_repo, u.object_repo))) as "isRepoKnown"
    from jsonb_to_recordset(${JSON.stringify(blobs)}::text::jsonb)
      as u(key text, pack_repo text, mpack_key text, object_repo text, object_id text)
    where not exists (select from musehub_mpacks p where p.blob_key = u.key)
      and (u.mpack_key is null or not exists (
        select from musehub_background_jobs j
        where j.job_type = 'mpack.index' and ${mayStillRun(db)}
          and (u.pack_repo is null or j.repo_id = u.pack_repo)
          and mpackd_mpack_key(j.payload::text) = u.mpack_key))
      and (u.object_id is null or u.object_repo is not null and not exists (
          select from musehub_object_refs r where r.repo_id = u.object_repo
            and r.object_id in (u.object_id, substr(u.object_id, 8)))
        or u.object_repo is null and not exists (
          select from musehub_objects o
          where o.object_id in (u.object_id, substr(u.object_id, 8))))
      and (u.object_id is null or not exists (
        select from musehub_background_jobs j
        where j.job_type = 'mpack.index' and j.status in ('pending', 'running')
          and (u.object_repo is null or j.repo_id = u.object_repo)))`;
}

/**
 * Whether a job may still need its blob: it is open, or `jobs retry` may queue it again. It does not
 * if its last error is about the bytes of the pack, or if its repo was deleted.
 */
function mayStillRun({ sql }: Database) {
  return sql`(j.status in ('pending', 'running')
    or j.status in ('failed', 'cancelled')
      and coalesce(j.last_error->>'code', '') <> all (${arrayLiteral(BYTE_ERRORS)}::text[])
      and exists (select from musehub_repos r
        where r.repo_id = j.repo_id and r.deleted_at is null))`;
}

/** Takes the packs of the CTE `gone` from what their tenants have (see usage_1.sql). */
function uncount({ sql }: Database) {
  return sql`select mpackd_count_packs_1(array_agg(repo_id), array_agg(-coalesce(size_bytes, 0)),
      array_agg(-coalesce(objects, 0)), array_agg(-1::bigint), null)
    from gone where replaced_at is null`;
}

function isDeleted({ sql }: Database, repoId: string) {
  return sql`exists (
    select from musehub_repos where repo_id = ${repoId} and deleted_at is not null)`;
}

function isUnused({ sql }: Database) {
  return sql`(p.is_push
      or coalesce(p.commits, 0) + coalesce(p.snapshots, 0) + coalesce(p.tags, 0) = 0)
    and not exists (select from musehub_object_refs r
      where r.repo_id = p.repo_id and r.mpack_id = p.mpack_id)
    and not exists (select from musehub_commit_refs r
      where r.repo_id = p.repo_id and r.mpack_id = p.mpack_id)
    and not exists (select from musehub_snapshot_refs r
      where r.repo_id = p.repo_id and r.mpack_id = p.mpack_id)`;
}
