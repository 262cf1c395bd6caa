import type { Database } from "../../db/client/database.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";
import { DEFAULT_MAX_ATTEMPTS, type JobFailure } from "./job.ts";

/** The failure, and whether and when to try again. */
export interface FailOptions {
  /** Why the attempt ended. */
  readonly error: JobFailure;
  /** Whether to try again while attempts are left. */
  readonly retry: boolean;
  /** Longest wait before the second attempt, in milliseconds. It doubles with each further one. */
  readonly baseDelayMs: number;
  /** Longest wait before any attempt, in milliseconds. */
  readonly maxDelayMs: number;
}

/** The job after a failed attempt. */
export interface FailedAttempt {
  /** `pending`: it will be tried again. `cancelled`: it would be, but a user asked to cancel it. */
  readonly status: "pending" | "failed" | "cancelled";
  /** When it may be claimed again, else null. */
  readonly runAt: Date | null;
}

/**
 * Ends an attempt that failed: the job goes back into the queue, or has failed for good.
 *
 * The wait is drawn evenly between zero and the doubled limit ("full jitter"), by the database's
 * clock. Staged rows and checkpoint stay for the next attempt, and are deleted with the last one.
 *
 * @throws {LeaseLostError} If another worker has the job now; nothing was recorded.
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ | jitter}
 */
export async function failJob(
  db: Database,
  lease: Lease,
  { error, retry, baseDelayMs, maxDelayMs }: FailOptions,
): Promise<FailedAttempt> {
  const lastError = JSON.stringify(error);
  const [row] = await db.query<FailedAttempt>("record a failure")`
    with lease as materialized (
      select job_id, fence, attempt, locked_by, started_at, ${retry}::boolean
          and attempt < coalesce(max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer)
          and not coalesce(cancel_requested, false) as again,
        ${retry}::boolean and coalesce(cancel_requested, false) as is_cancelled,
        least(${maxDelayMs}::float8, ${baseDelayMs}::float8 * 2.0 ^ least(attempt - 1, 40))
          * random() * interval '1 ms' as wait
      from musehub_background_jobs
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
      for update
    ), noted as (
      insert into mpackd_attempts (job_id, fence, attempt, worker, started_at, outcome, code, message)
      select job_id, fence, attempt, locked_by, started_at, case when again then 'retrying'
        when is_cancelled then 'cancelled' else 'failed' end, ${error.code}, ${error.message}
      from lease on conflict do nothing
    )
    update musehub_background_jobs j set
      status = case when again then 'pending' when is_cancelled then 'cancelled' else 'failed' end,
      run_at = case when again then now() + wait end,
      finished_at = case when again then null else now() end,
      checkpoint = case when again then j.checkpoint end,
      lease_expires_at = null,
      last_error = (${lastError}::text::jsonb || jsonb_build_object('at', now()))::json
    from lease
    where j.job_id = lease.job_id
    returning j.status, j.run_at as "runAt",
      case when not again then mpackd_drop_staged(j.job_id) end as dropped`;
  if (row === undefined) throw leaseLost("record a failure", lease);
  return row;
}
