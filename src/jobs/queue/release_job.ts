import type { Database } from "../../db/client/database.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";

/**
 * Puts a running job back as if it had not been claimed, because its worker shuts down or has no
 * store. The attempt is not counted, checkpoint and staged rows stay, and any worker may claim the
 * job, at once or after `delayMs`.
 *
 * A job that a user asked to cancel ends as cancelled instead, and its staged rows are deleted:
 * perhaps no worker comes to claim it.
 *
 * @returns The job's status afterwards.
 * @throws {LeaseLostError} If another worker has the job now.
 */
export async function releaseJob(
  db: Database,
  lease: Lease,
  { delayMs = 0 }: { readonly delayMs?: number } = {},
): Promise<"pending" | "cancelled"> {
  const [row] = await db.query<{ status: "pending" | "cancelled" }>("release a job")`
    with job as materialized (
      select job_id, fence, attempt, locked_by, started_at,
        coalesce(cancel_requested, false) as is_cancelled
      from musehub_background_jobs
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
      for update
    ), noted as (
      insert into mpackd_attempts (job_id, fence, attempt, worker, started_at, outcome)
      select job_id, fence, attempt, locked_by, started_at,
        case when is_cancelled then 'cancelled' else 'released' end
      from job on conflict do nothing
    ), released as (
      update musehub_background_jobs j set
        status = case when is_cancelled then 'cancelled' else 'pending' end,
        attempt = greatest(j.attempt - 1, 0), lease_expires_at = null,
        run_at = case when ${delayMs}::float8 > 0
          then now() + ${delayMs}::float8 * interval '1 ms' end,
        finished_at = case when is_cancelled then now() end,
        checkpoint = case when not is_cancelled then j.checkpoint end
      from job where j.job_id = job.job_id
      returning j.status,
        case when is_cancelled then mpackd_drop_staged(j.job_id) end as dropped
    )
    -- Wake idle workers: the trigger does so for new rows only.
    select status, mpackd_notify_1('') from released`;
  if (row === undefined) throw leaseLost("release a job", lease);
  return row.status;
}
