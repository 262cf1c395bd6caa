/**
 * Removes the rows of a repo's history that a walk has not reached.
 *
 * Marks are looked up one by one, by a subquery that is no join: a walk has only just written them, so
 * the planner knows nothing of them. It joined each of 50,000 commits with all of their marks, which
 * had not ended after six minutes; the look-ups take half a second.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import type { Walk } from "./marks.ts";

const SCAN_DEADLINE_MS = 10 * 60_000;
/** Shorter than a hold on a repo lasts, so that no statement deletes after it has expired. */
const DELETE_DEADLINE_MS = 30_000;

/** Kinds of rows, in the order in which they go: nothing that is left may need what is gone. */
export const KINDS = ["commit", "snapshot", "object"] as const;

/** A kind of rows. */
export type Kind = typeof KINDS[number];

/** A repo whose history is all there is. */
export interface HistoryRepo {
  readonly repoId: string;
  /** OWNER/SLUG. */
  readonly repo: string;
  /** Its branches, tags and last pack. */
  readonly state: string;
}

/**
 * Lists the repos with a branch, all of whose packs came by pushes, and which have changed since they
 * were collected the last time.
 *
 * A repo that has young commits which wait for an ancestor is left out: what they need is not known.
 */
export function historyRepos(
  db: Database,
  { before }: { readonly before: string },
): Promise<HistoryRepo[]> {
  return db.query<HistoryRepo>("look for repos with history", { deadlineMs: SCAN_DEADLINE_MS })`
    select r.repo_id as "repoId", r.owner || '/' || r.slug as repo, s.state
    from musehub_repos r
    cross join lateral mpackd_history_state_1(r.repo_id) as s(state)
    where r.deleted_at is null and s.state is not null
      and not exists (
        select from mpackd_collections c where c.repo_id = r.repo_id and c.state = s.state)
      and not exists (
        select from musehub_commit_graph g
        join musehub_commit_refs c on c.repo_id = g.repo_id and c.commit_id = g.commit_id
        where g.repo_id = r.repo_id and g.generation is null
          and c.created_at >= ${before}::timestamptz)
    order by r.repo_id`;
}

/** The server's time `graceMs` ago, as text, because a Date would lose the microseconds. */
export async function timeBefore(db: Database, graceMs: number): Promise<string> {
  const [row] = await db.query<{ before: string }>("read the server's clock")`
    select (now() - ${graceMs}::float8 * interval '1 ms')::text as before`;
  return row.before;
}

/** Reads up to `limit` ids of old rows that the walk has not reached, behind `after`. */
export async function unreachedIds(
  db: Database,
  { repoId, walkId, before }: Walk,
  kind: Kind,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<string[]> {
  const { sql } = db;
  const query = db.query<{ id: string }>("look for what no branch reaches", {
    deadlineMs: SCAN_DEADLINE_MS,
  });
  const isOld = sql`r.repo_id = ${repoId} and r.created_at < ${before}::timestamptz`;
  const rows = await {
    // The children first: a commit whose parent is gone must not be found.
    commit: () =>
      query`
        select r.commit_id as id from musehub_commit_refs r
        left join musehub_commit_graph g on g.repo_id = r.repo_id and g.commit_id = r.commit_id
        where ${isOld} and (
          select true from mpackd_marks m where m.walk_id = ${walkId} and m.kind = 'commit'
            and m.id = r.commit_id limit 1) is null
        order by g.generation desc nulls first, r.commit_id limit ${limit}::bigint`,
    // The deltas before what they are over.
    snapshot: () =>
      query`
        select r.snapshot_id as id from musehub_snapshot_refs r
        where ${isOld} and (
          select true from mpackd_marks m where m.walk_id = ${walkId}
            and m.kind in ('snapshot', 'base') and m.id = r.snapshot_id limit 1) is null
        order by r.delta_depth desc nulls first, r.snapshot_id limit ${limit}::bigint`,
    object: () =>
      query`
        select r.object_id as id from musehub_object_refs r
        where ${isOld} and r.object_id > ${after} and (
          select true from mpackd_marks m where m.walk_id = ${walkId} and m.kind = 'object'
            and m.id = right(r.object_id, 64) limit 1) is null
        order by r.object_id limit ${limit}::bigint`,
  }[kind]();
  return rows.map(({ id }) => id);
}

/** Counts the old rows that the walk has not reached. */
export async function countUnreached(
  db: Database,
  { repoId, walkId, before }: Walk,
): Promise<Record<Kind, number>> {
  const query = db.query<Record<Kind, number>>("count what no branch reaches", {
    deadlineMs: SCAN_DEADLINE_MS,
  });
  const [row] = await query`
    select
      (select count(*) from musehub_commit_refs r
        where r.repo_id = ${repoId} and r.created_at < ${before}::timestamptz
          and (select true from mpackd_marks m where m.walk_id = ${walkId}
            and m.kind = 'commit' and m.id = r.commit_id limit 1) is null) as commit,
      (select count(*) from musehub_snapshot_refs r
        where r.repo_id = ${repoId} and r.created_at < ${before}::timestamptz
          and (select true from mpackd_marks m where m.walk_id = ${walkId}
            and m.kind in ('snapshot', 'base') and m.id = r.snapshot_id limit 1) is null) as snapshot,
      (select count(*) from musehub_object_refs r
        where r.repo_id = ${repoId} and r.created_at < ${before}::timestamptz
          and (select true from mpackd_marks m where m.walk_id = ${walkId}
            and m.kind = 'object' and m.id = right(r.object_id, 64) limit 1) is null) as object`;
  return row;
}

/**
 * Holds a repo: from now on its publishes are refused.
 *
 * @returns False if another gc holds it, or one of its packs is being indexed.
 */
export async function holdRepo(db: Database, { repoId, walkId }: Walk): Promise<boolean> {
  const rows = await db.query<object>("hold a repo")`
    insert into mpackd_collections as c (repo_id, run_id, expires_at)
    select ${repoId}, ${walkId}, clock_timestamp() + interval '1 minute'
    where not exists (
      select from musehub_background_jobs j
      where j.repo_id = ${repoId} and j.job_type = 'mpack.index' and j.status = 'running')
    on conflict (repo_id) do update set run_id = excluded.run_id, began_at = now(),
      expires_at = excluded.expires_at, ended_at = null, state = null
    where c.ended_at is not null or c.expires_at < clock_timestamp()
    returning 1`;
  return rows.length > 0;
}

/** Lets a repo go. `state` says that nothing is left in this history. */
export async function releaseRepo(
  db: Database,
  { repoId, walkId }: Walk,
  state: string | null,
): Promise<void> {
  await db.query<object>("let a repo go")`
    update mpackd_collections
    set ended_at = clock_timestamp(), expires_at = clock_timestamp(), state = ${state}
    where repo_id = ${repoId} and run_id = ${walkId} and ended_at is null`;
}

/** Notes that nothing is left in this history, unless something is too young to tell. */
export async function noteClean(
  db: Database,
  { repoId, walkId, before }: Walk,
  state: string,
): Promise<void> {
  // No attempt started before the year one, so this holds nothing.
  await db.query<object>("note a clean history", { deadlineMs: SCAN_DEADLINE_MS })`
    insert into mpackd_collections as c (repo_id, run_id, expires_at, ended_at, state)
    select ${repoId}, ${walkId}, '-infinity', '-infinity', ${state}
    where not exists (select from musehub_commit_refs r
        where r.repo_id = ${repoId} and r.created_at >= ${before}::timestamptz)
      and not exists (select from musehub_snapshot_refs r
        where r.repo_id = ${repoId} and r.created_at >= ${before}::timestamptz)
      and not exists (select from musehub_object_refs r
        where r.repo_id = ${repoId} and r.created_at >= ${before}::timestamptz)
    on conflict (repo_id) do update set state = excluded.state where c.ended_at is not null`;
}

/**
 * Deletes old rows that the walk has not reached, of a repo that is held.
 *
 * @returns How many; undefined if gc may not go on in this repo.
 */
export async function collectUnreached(
  db: Database,
  { repoId, walkId, before }: Walk,
  { kind, ids, state }: {
    readonly kind: Kind;
    readonly ids: readonly string[];
    readonly state: string;
  },
): Promise<number | undefined> {
  const query = db.query<{ deleted: number | null }>("collect what no branch reaches", {
    deadlineMs: DELETE_DEADLINE_MS,
  });
  const [{ deleted }] = await query`
    select mpackd_collect_1(${repoId}, ${walkId}, ${state}, ${kind},
      ${arrayLiteral(ids)}::text[], ${before}::timestamptz) as deleted`;
  return deleted ?? undefined;
}
