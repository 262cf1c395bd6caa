/**
 * What happened lately: for the console.
 *
 * @module
 */

import { quotedLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { isForwarded } from "./shards/forwarded.ts";

/** Whose repos count. Undefined: all. */
export interface Viewer {
  readonly handle: string;
  readonly identityId: string;
  /** In a shard, which has no collaborators: the repos that it may push to. */
  readonly repoIds?: readonly string[];
}

/** What was published in one minute. */
export interface Minute {
  readonly minute: Date;
  readonly packs: number;
  readonly objects: number;
  readonly sizeBytes: number;
}

/** Fragment of SQL: the ids of the repos that a viewer owns or may push to. */
export function visibleRepoIds({ sql }: Database, { handle, identityId, repoIds }: Viewer) {
  const isCollaborator = repoIds === undefined
    ? sql`exists (
      select from mpackd_collaborators c
      where c.repo_id = r.repo_id and c.identity_id = ${identityId})`
    : sql`r.repo_id = any(${quotedLiteral(repoIds)}::text[])`;
  return sql`select r.repo_id from musehub_repos r
    where r.deleted_at is null and (r.owner = ${handle} or ${isCollaborator})`;
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

/** Fragment of SQL: which jobs a viewer's counts are about; a shard counts what was forwarded to it. */
async function jobsToCount(db: Database, viewer: Viewer | undefined) {
  const elsewhere = await isForwarded(db, "musehub_background_jobs");
  // A fragment would be sent as a statement if it were awaited.
  return () => {
    const isHere = db.sql`not ${db.sql.unsafe(elsewhere)}`;
    return viewer === undefined
      ? isHere
      : db.sql`${isHere} and repo_id in (${visibleRepoIds(db, viewer)})`;
  };
}

/** Failures of one code. */
export interface FailuresByCode {
  readonly code: string;
  readonly jobs: number;
}

/** The jobs that failed in the last day by code, most first. */
export async function readFailures(
  db: Database,
  viewer: Viewer | undefined,
): Promise<FailuresByCode[]> {
  const isCounted = await jobsToCount(db, viewer);
  return await db.query<FailuresByCode>("count failures")`
    select coalesce(last_error->>'code', 'unknown') as code, count(*) as jobs
    from musehub_background_jobs
    where status = 'failed' and finished_at > now() - interval '1 day' and ${isCounted()}
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
  const isCounted = await jobsToCount(db, viewer);
  const [row] = await db.query<QueueNow>("count the queue")`
    select
      (select count(*) from musehub_background_jobs where status = 'pending' and ${isCounted()})
        as pending,
      (select count(*) from musehub_background_jobs where status = 'running' and ${isCounted()})
        as running,
      (select count(*) from musehub_background_jobs where status = 'failed'
        and finished_at > now() - interval '1 day' and ${isCounted()}) as failed,
      coalesce((
        select 1000 * extract(epoch from now() - min(greatest(created_at, run_at)))
        from musehub_background_jobs
        where status = 'pending' and isfinite(created_at) and (run_at is null or run_at <= now())
          and ${isCounted()}
      ), 0)::float8 as "oldestMs"`;
  return row;
}

/** What several shards published, by minute: their clocks may name another minute as the last. */
export function mergeHours(hours: readonly (readonly Minute[])[]): Minute[] {
  const sums = new Map<number, Minute>();
  for (const each of hours.flat()) {
    const at = each.minute.getTime(), sum = sums.get(at);
    sums.set(
      at,
      sum === undefined ? each : {
        minute: each.minute,
        packs: sum.packs + each.packs,
        objects: sum.objects + each.objects,
        sizeBytes: sum.sizeBytes + each.sizeBytes,
      },
    );
  }
  return [...sums.values()].sort((a, b) => a.minute.getTime() - b.minute.getTime()).slice(-60);
}

/** The failures of several shards. */
export function mergeFailures(lists: readonly (readonly FailuresByCode[])[]): FailuresByCode[] {
  const sums = new Map<string, number>();
  for (const { code, jobs } of lists.flat()) sums.set(code, (sums.get(code) ?? 0) + jobs);
  return [...sums].map(([code, jobs]) => ({ code, jobs }))
    .sort((a, b) => b.jobs - a.jobs || (a.code < b.code ? -1 : 1)).slice(0, 20);
}

/** The queues of several shards as one. */
export function mergeQueues(queues: readonly QueueNow[]): QueueNow {
  const sum = (of: (queue: QueueNow) => number) => queues.reduce((all, each) => all + of(each), 0);
  return {
    pending: sum(({ pending }) => pending),
    running: sum(({ running }) => running),
    failed: sum(({ failed }) => failed),
    oldestMs: Math.max(0, ...queues.map(({ oldestMs }) => oldestMs)),
  };
}
