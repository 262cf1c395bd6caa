/**
 * The statements about jobs that programs put into the catalog's queue for repos that live in a
 * shard: such a job gets a row of the same id in the shard's queue, where it runs.
 *
 * Each statement may be repeated. A process that is killed between two of them leaves the catalog's
 * job with a lease that ends, or a row in `mpackd_forwarded_jobs` that every other process follows.
 *
 * @module
 */

import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import type { Lease } from "../../db/lease.ts";
import { forwardedTo } from "../../db/shards/forwarded.ts";

/** When a forwarded job would be claimed again, if nothing followed it. */
const AGAIN = "1 day";

/** A claimed job, as its producer wrote it. */
export interface JobToForward {
  readonly job_id: string;
  readonly repo_id: string;
  readonly job_type: string;
  /** The text, so that the shard's row has the same one. */
  readonly payload: string;
  readonly priority: number | null;
  readonly created_at: string | null;
  readonly max_attempts: number | null;
  /** The shard to which it was forwarded before. */
  readonly sent_to: string | null;
  /** Whether that shard was asked to cancel it. */
  readonly cancel_passed: boolean | null;
}

/** Reads claimed jobs of the catalog. */
export function readJobsToForward(
  catalog: Database,
  jobIds: readonly string[],
): Promise<JobToForward[]> {
  return catalog.query<JobToForward>("read the jobs to forward")`
    select j.job_id, j.repo_id, j.job_type, j.payload::text, j.priority, j.created_at::text,
      j.max_attempts, f.shard as sent_to, f.cancel_passed
    from musehub_background_jobs j left join mpackd_forwarded_jobs f using (job_id)
    where j.job_id = any(${arrayLiteral(jobIds)}::text[]) order by j.job_id`;
}

/**
 * Puts jobs into a shard's queue. One that is there stays as it is, unless it has failed or was
 * cancelled: then it is tried again, because somebody asked for it in the catalog.
 *
 * @returns The ids of those that are in the queue now: not those whose repo the shard does not have.
 */
export async function putForwarded(
  db: Database,
  jobs: readonly JobToForward[],
  { deadlineMs }: { readonly deadlineMs: number },
): Promise<Set<string>> {
  const rows = await db.query<{ job_id: string }>("put jobs into a shard's queue", { deadlineMs })`
    with given as materialized (
      select g.* from json_to_recordset(${JSON.stringify(jobs)}::text::json) as g(
        job_id text, repo_id text, job_type text, payload text, priority integer,
        created_at timestamptz, max_attempts integer)
      join musehub_repos r on r.repo_id = g.repo_id
    ), put as (
      insert into musehub_background_jobs as j (job_id, repo_id, job_type, payload, status,
        created_at, priority, max_attempts, attempt, fence)
      select job_id, repo_id, job_type, payload::json, 'pending', created_at, priority,
        max_attempts, 0, 0
      from given order by job_id
      on conflict (job_id) do update set status = 'pending', attempt = 0, run_at = null,
        cancel_requested = null, finished_at = null, checkpoint = null
      where j.status in ('failed', 'cancelled')
    )
    select job_id from given`;
  return new Set(rows.map(({ job_id }) => job_id));
}

/**
 * Ends the claims of jobs of the catalog, without counting the attempts: they wait for what the shard
 * makes of them.
 *
 * @returns The ids of those whose claim was still held.
 */
export async function noteForwarded(
  catalog: Database,
  shard: string,
  leases: readonly Lease[],
): Promise<string[]> {
  const rows = await catalog.query<{ job_id: string }>("note forwarded jobs")`
    with held as materialized (${heldJobs(catalog, leases)}), noted as (
      insert into mpackd_forwarded_jobs as f (job_id, shard, fence)
      select job_id, ${shard}, fence from held order by job_id
      on conflict (job_id) do update set shard = excluded.shard, fence = excluded.fence,
        cancel_passed = false
    )
    update musehub_background_jobs j set status = 'pending', attempt = greatest(j.attempt - 1, 0),
      lease_expires_at = null, run_at = now() + ${AGAIN}::interval,
      locked_by = ${forwardedTo(shard)}
    from held where j.job_id = held.job_id returning j.job_id`;
  return rows.map(({ job_id }) => job_id);
}

/** Ends the claims of jobs of the catalog, to try again after `delayMs`; no attempt is counted. */
export async function postponeForwarding(
  catalog: Database,
  leases: readonly Lease[],
  delayMs: number,
): Promise<void> {
  await catalog.query("postpone jobs")`
    with held as materialized (${heldJobs(catalog, leases)})
    update musehub_background_jobs j set status = 'pending', attempt = greatest(j.attempt - 1, 0),
      lease_expires_at = null, run_at = now() + ${delayMs}::float8 * interval '1 ms'
    from held where j.job_id = held.job_id`;
}

/** The rows of these claims, locked in one order. */
function heldJobs({ sql }: Database, leases: readonly Lease[]) {
  const claims = leases.map(({ jobId, fence }) => ({ job_id: jobId, fence }));
  return sql`
    select j.job_id, j.fence from musehub_background_jobs j
    join json_to_recordset(${JSON.stringify(claims)}::text::json) as c(job_id text, fence bigint)
      on c.job_id = j.job_id and c.fence = j.fence
    where j.status = 'running' order by j.job_id for update of j`;
}

/** A forwarded job, as the catalog has it. */
export interface ForwardedJob {
  readonly job_id: string;
  readonly shard: string;
  readonly fence: number;
  readonly cancel_passed: boolean;
  /** The status of the catalog's row; null: it is gone. */
  readonly status: string | null;
  readonly cancel_requested: boolean | null;
}

/** Lists forwarded jobs by id, from after `after` on. */
export function listForwarded(
  catalog: Database,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<ForwardedJob[]> {
  return catalog.query<ForwardedJob>("list forwarded jobs")`
    select f.job_id, f.shard, f.fence, f.cancel_passed, j.status, j.cancel_requested
    from mpackd_forwarded_jobs f left join musehub_background_jobs j using (job_id)
    where f.job_id > ${after} order by f.job_id limit ${limit}::bigint`;
}

/** How a job stands in its shard. */
export interface ShardJob {
  readonly job_id: string;
  readonly status: string;
  readonly attempt: number | null;
  readonly result: string | null;
  readonly last_error: string | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
}

/** Reads how jobs stand in their shard. */
export function readShardJobs(
  db: Database,
  jobIds: readonly string[],
  { deadlineMs }: { readonly deadlineMs: number },
): Promise<ShardJob[]> {
  return db.query<ShardJob>("look at forwarded jobs", { deadlineMs })`
    select job_id, status, attempt, result::text, last_error::text, started_at::text,
      finished_at::text
    from musehub_background_jobs
    where job_id = any(${arrayLiteral(jobIds)}::text[]) order by job_id`;
}

/** A forwarded job that has ended in its shard. */
export type EndedJob = ShardJob & Pick<ForwardedJob, "fence">;

/**
 * Ends jobs of the catalog as they have ended in their shard. One that was cancelled here meanwhile
 * stays so, unless the shard had done it: then its row says what is true.
 */
export async function endForwarded(catalog: Database, ended: readonly EndedJob[]): Promise<void> {
  await catalog.query("end forwarded jobs")`
    with given as materialized (
      select e.* from json_to_recordset(${JSON.stringify(ended)}::text::json) as e(
        job_id text, fence bigint, status text, attempt integer, result text, last_error text,
        started_at timestamptz, finished_at timestamptz)
      join mpackd_forwarded_jobs f on f.job_id = e.job_id and f.fence = e.fence
      order by e.job_id for update of f
    ), jobs as materialized (
      select j.job_id from musehub_background_jobs j join given using (job_id)
      where j.status = 'pending' or j.status = 'cancelled' and given.status = 'done'
      order by j.job_id for update of j
    ), ended as (
      update musehub_background_jobs j set status = given.status, attempt = given.attempt,
        result = given.result::json, last_error = given.last_error::json,
        started_at = given.started_at, finished_at = given.finished_at, run_at = null,
        checkpoint = null
      from given join jobs using (job_id) where j.job_id = given.job_id
    )
    delete from mpackd_forwarded_jobs f using given
    where f.job_id = given.job_id and f.fence = given.fence`;
}

/** Notes that the shard was asked to cancel jobs. */
export async function noteCancelPassed(
  catalog: Database,
  jobs: readonly ForwardedJob[],
): Promise<void> {
  await catalog.query("note that cancels were passed on")`
    update mpackd_forwarded_jobs f set cancel_passed = true
    from json_to_recordset(${JSON.stringify(jobs)}::text::json) as g(job_id text, fence bigint)
    where f.job_id = g.job_id and f.fence = g.fence`;
}

/**
 * Forgets that jobs were forwarded, because the shard does not have them. Those that are pending are
 * claimed again, and go where their repos live now.
 */
export async function forgetForwarded(
  catalog: Database,
  jobs: readonly ForwardedJob[],
): Promise<void> {
  await catalog.query("forget forwarded jobs")`
    with gone as (
      delete from mpackd_forwarded_jobs f
      using json_to_recordset(${JSON.stringify(jobs)}::text::json) as g(job_id text, fence bigint)
      where f.job_id = g.job_id and f.fence = g.fence returning f.job_id
    ), again as (
      update musehub_background_jobs j set run_at = null
      from gone where j.job_id = gone.job_id and j.status = 'pending' returning j.job_id
    )
    select mpackd_notify_1('') from again limit 1`;
}
