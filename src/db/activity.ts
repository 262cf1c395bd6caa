/**
 * What happened lately: for the console.
 *
 * @module
 */

import type { Database } from "./client/database.ts";

/** Whose repos count. Undefined: all. */
export interface Viewer {
  readonly handle: string;
  readonly identityId: string;
}

/** What was published in one minute. */
export interface Minute {
  readonly minute: Date;
  readonly packs: number;
  readonly objects: number;
  readonly sizeBytes: number;
}

/** Fragment of SQL: the ids of the repos that a viewer owns or may push to. */
export function visibleRepoIds({ sql }: Database, { handle, identityId }: Viewer) {
  return sql`select r.repo_id from musehub_repos r
    where r.deleted_at is null and (r.owner = ${handle} or exists (
      select from mpackd_collaborators c
      where c.repo_id = r.repo_id and c.identity_id = ${identityId}))`;
}

/** The packs of the last hour by minute, oldest first. Sixty rows. */
export function readLastHour(db: Database, viewer: Viewer | undefined): Promise<Minute[]> {
  const isVisible = viewer === undefined
    ? db.sql`true`
    : db.sql`m.repo_id in (${visibleRepoIds(db, viewer)})`;
  return db.query<Minute>("read the last hour")`
    with published as materialized (
      select date_trunc('minute', m.indexed_at) as minute, count(*) as packs,
        coalesce(sum(m.objects), 0)::bigint as objects,
        coalesce(sum(m.size_bytes), 0)::bigint as bytes
      from musehub_mpacks m
      where m.indexed_at > now() - interval '1 hour' and ${isVisible}
      group by 1
    )
    select minute, coalesce(packs, 0) as packs, coalesce(objects, 0) as objects,
      coalesce(bytes, 0) as "sizeBytes"
    from generate_series(date_trunc('minute', now()) - interval '59 minutes', now(), '1 minute')
      as minute
    left join published using (minute) order by minute`;
}

/** Failures of one code. */
export interface FailuresByCode {
  readonly code: string;
  readonly jobs: number;
}

/** The jobs that failed in the last day by code, most first. */
export function readFailures(db: Database, viewer: Viewer | undefined): Promise<FailuresByCode[]> {
  const isVisible = viewer === undefined
    ? db.sql`true`
    : db.sql`repo_id in (${visibleRepoIds(db, viewer)})`;
  return db.query<FailuresByCode>("count failures")`
    select coalesce(last_error->>'code', 'unknown') as code, count(*) as jobs
    from musehub_background_jobs
    where status = 'failed' and finished_at > now() - interval '1 day' and ${isVisible}
    group by 1 order by 2 desc, 1 limit 20`;
}

/** The queue now. */
export interface QueueNow {
  readonly pending: number;
  readonly running: number;
  readonly failed: number;
  /** How long the oldest job that could run waits, in milliseconds. */
  readonly oldestMs: number;
}

/** Counts what waits, runs, and failed in the last day. */
export async function readQueueNow(
  db: Database,
  viewer: Viewer | undefined,
): Promise<QueueNow> {
  const isVisible = viewer === undefined
    ? db.sql`true`
    : db.sql`repo_id in (${visibleRepoIds(db, viewer)})`;
  const [row] = await db.query<QueueNow>("count the queue")`
    select
      (select count(*) from musehub_background_jobs where status = 'pending' and ${isVisible})
        as pending,
      (select count(*) from musehub_background_jobs where status = 'running' and ${isVisible})
        as running,
      (select count(*) from musehub_background_jobs where status = 'failed'
        and finished_at > now() - interval '1 day' and ${isVisible}) as failed,
      coalesce((
        select 1000 * extract(epoch from now() - min(greatest(created_at, run_at)))
        from musehub_background_jobs
        where status = 'pending' and isfinite(created_at) and (run_at is null or run_at <= now())
          and ${isVisible}
      ), 0)::float8 as "oldestMs"`;
  return row;
}
