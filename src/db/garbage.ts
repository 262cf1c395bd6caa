/**
 * What nobody needs any more, and its removal. Each statement decides and deletes in one.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** Looking through all refs of a large database takes a while. */
const SCAN_DEADLINE_MS = 10 * 60_000;
/** An audit that nobody went on with. */
const OLD_AUDIT = "30 days";

/** Staged batches whose job is not open any more; `isDryRun` only counts them. */
export async function collectStaged(
  database: Database,
  { isDryRun, limit }: { readonly isDryRun: boolean; readonly limit: number },
): Promise<number> {
  const { sql } = database;
  const dead = sql`
    select s.job_id, s.batch from mpack_staged_objects s
    where not exists (select from musehub_background_jobs j
      where j.job_id = s.job_id and j.status in ('pending', 'running'))
    limit ${isDryRun ? null : limit}::bigint`;
  const [{ count }] = await execute(
    database,
    isDryRun
      ? sql<{ count: number }[]>`select count(*)::int as count from (${dead}) as dead`
      : sql<{ count: number }[]>`
        with dead as materialized (${dead}), gone as (
          delete from mpack_staged_objects s using dead
          where s.job_id = dead.job_id and s.batch = dead.batch returning 1
        )
        select count(*)::int as count from gone`,
    { action: "collect staged rows" },
  );
  return count;
}

/** Audits that were interrupted long ago; `isDryRun` only counts them. */
export async function collectAudits(database: Database, isDryRun: boolean): Promise<number> {
  const { sql } = database;
  const old = sql`select audit_id from mpackd_audits
    where started_at < now() - ${OLD_AUDIT}::interval`;
  const [{ count }] = await execute(
    database,
    sql<{ count: number }[]>`
      with old as materialized (${old}), packs as (
        delete from mpackd_audited_packs a using old
        where a.audit_id = old.audit_id and not ${isDryRun}::boolean
      ), gone as (
        delete from mpackd_audits a using old
        where a.audit_id = old.audit_id and not ${isDryRun}::boolean
      )
      select count(*)::int as count from old`,
    { action: "collect old audits" },
  );
  return count;
}

/** Repos deleted so long ago. */
export async function deletedRepos(
  database: Database,
  { graceMs }: { readonly graceMs: number },
): Promise<{ repoId: string; repo: string }[]> {
  return [
    ...await execute(
      database,
      database.sql<{ repoId: string; repo: string }[]>`
        select repo_id as "repoId", owner || '/' || slug as repo from musehub_repos
        where deleted_at < now() - ${graceMs}::float8 * interval '1 ms' order by repo_id`,
      { action: "look for deleted repos" },
    ),
  ];
}

/** Cancels what waits for a deleted repo, and asks what runs to stop; says how much still runs. */
export async function cancelJobsOf(database: Database, repoId: string): Promise<number> {
  const [{ running }] = await execute(
    database,
    database.sql<{ running: number }[]>`
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
      select count(*) filter (where status = 'running')::int as running from open`,
    { action: "cancel the jobs of a deleted repo" },
  );
  return running;
}

/** Deletes some refs of a repo, if it still is deleted; says how many there were. */
export async function collectRefs(
  database: Database,
  repoId: string,
  { limit }: { readonly limit: number },
): Promise<number> {
  const rows = await execute(
    database,
    database.sql`
      with picked as materialized (
        select object_id from musehub_object_refs
        where repo_id = ${repoId} and ${isDeleted(database.sql, repoId)}
        order by object_id limit ${limit}::bigint for update
      )
      delete from musehub_object_refs r using picked
      where r.repo_id = ${repoId} and r.object_id = picked.object_id
      returning 1`,
    { action: "collect the refs of a deleted repo" },
  );
  return rows.length;
}

/** Deletes the rows of a deleted repo's packs, if it has no refs; says how many there were. */
export async function collectPacksOf(database: Database, repoId: string): Promise<number> {
  const { sql } = database;
  const rows = await execute(
    database,
    sql`
      delete from musehub_mpacks
      where repo_id = ${repoId} and ${isDeleted(sql, repoId)}
        and not exists (select from musehub_object_refs where repo_id = ${repoId})
      returning 1`,
    { action: "collect the packs of a deleted repo" },
  );
  return rows.length;
}

/** Deletes the row of a deleted repo that has no packs. */
export async function collectRepo(database: Database, repoId: string): Promise<void> {
  await execute(
    database,
    database.sql`
      delete from musehub_repos
      where repo_id = ${repoId} and deleted_at is not null
        and not exists (select from musehub_mpacks where repo_id = ${repoId})`,
    { action: "collect a deleted repo" },
  );
}

/** How many rows go with a deleted repo. */
export async function countRepo(
  database: Database,
  repoId: string,
): Promise<{ refs: number; packs: number }> {
  const [row] = await execute(
    database,
    database.sql<{ refs: number; packs: number }[]>`
      select (select count(*) from musehub_object_refs where repo_id = ${repoId})::bigint as refs,
        (select count(*) from musehub_mpacks where repo_id = ${repoId})::bigint as packs`,
    { action: "count what a deleted repo has", deadlineMs: SCAN_DEADLINE_MS },
  );
  return row;
}

/** A pack that no ref points into. */
export interface UnusedPack {
  /** Its short name. */
  readonly mpackId: number;
  /** Its name. */
  readonly mpackKey: string;
  /** Its key in the store. */
  readonly blobKey: string;
}

/**
 * Packs that were published so long ago and that no ref points into. One that has commits, snapshots
 * or tags is none of them: its blob is the only place where those are.
 */
export async function unusedPacks(
  database: Database,
  { graceMs, afterId, limit }: {
    readonly graceMs: number;
    readonly afterId: number;
    readonly limit: number;
  },
): Promise<UnusedPack[]> {
  const { sql } = database;
  return [
    ...await execute(
      database,
      sql<UnusedPack[]>`
        select p.mpack_id as "mpackId", p.mpack_key as "mpackKey", p.blob_key as "blobKey"
        from musehub_mpacks p
        where p.mpack_id > ${afterId}::bigint and p.blob_key is not null
          and p.indexed_at < now() - ${graceMs}::float8 * interval '1 ms'
          and ${isUnused(sql)}
        order by p.mpack_id limit ${limit}::bigint`,
      { action: "look for unused packs", deadlineMs: SCAN_DEADLINE_MS },
    ),
  ];
}

/** Deletes the rows of those packs that still are unused and that no open job names. */
export async function collectPacks(
  database: Database,
  mpackIds: readonly number[],
): Promise<number[]> {
  const { sql } = database;
  const rows = await execute(
    database,
    sql<{ mpackId: number }[]>`
      delete from musehub_mpacks p
      where p.mpack_id = any(${arrayLiteral(mpackIds)}::bigint[]) and ${isUnused(sql)}
        and not exists (select from musehub_background_jobs j
          where j.repo_id = p.repo_id and j.job_type = 'mpack.index'
            and j.status in ('pending', 'running')
            and mpackd_mpack_key(j.payload::text) = p.mpack_key)
      returning mpack_id as "mpackId"`,
    { action: "collect unused packs", deadlineMs: SCAN_DEADLINE_MS },
  );
  return rows.map(({ mpackId }) => mpackId);
}

/** A blob in the store, and what its key may be the key of. */
export interface NamedBlob {
  /** The key. */
  readonly key: string;
  /** As a pack: its repo, where the key says. */
  readonly pack_repo?: string;
  /** As a pack: its name. */
  readonly mpack_key?: string;
  /** As a materialized object: its repo, where the key says. */
  readonly object_repo?: string;
  /** As a materialized object: its id. */
  readonly object_id?: string;
}

/**
 * Of these blobs, those that nothing needs: no pack's row names them, no ref names their object, and
 * no open job may come to need them.
 */
export async function unnamedBlobs(
  database: Database,
  blobs: readonly NamedBlob[],
): Promise<string[]> {
  const rows = await execute(
    database,
    database.sql<{ key: string }[]>`
      select u.key
      from jsonb_to_recordset(${JSON.stringify(blobs)}::text::jsonb)
        as u(key text, pack_repo text, mpack_key text, object_repo text, object_id text)
      where not exists (select from musehub_mpacks p where p.blob_key = u.key)
        and (u.mpack_key is null or not exists (
          select from musehub_background_jobs j
          where j.job_type = 'mpack.index' and j.status in ('pending', 'running')
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
            and (u.object_repo is null or j.repo_id = u.object_repo)))`,
    { action: "look for blobs that nothing names", deadlineMs: SCAN_DEADLINE_MS },
  );
  return rows.map(({ key }) => key);
}

function isDeleted(sql: Database["sql"], repoId: string) {
  return sql`exists (
    select from musehub_repos where repo_id = ${repoId} and deleted_at is not null)`;
}

function isUnused(sql: Database["sql"]) {
  return sql`coalesce(p.commits, 0) + coalesce(p.snapshots, 0) + coalesce(p.tags, 0) = 0
    and not exists (select from musehub_object_refs r
      where r.repo_id = p.repo_id and r.mpack_id = p.mpack_id)`;
}
