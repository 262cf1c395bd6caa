import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";
import type { JobStatus } from "./job.ts";

/**
 * Cancels a job that waits, or asks the worker of a running one to stop at its next batch.
 *
 * @returns The job's status afterwards: `cancelled`, `running` for one that was asked, another one
 * if it had ended before, undefined if there is no such job.
 */
export async function cancel(database: Database, jobId: string): Promise<JobStatus | undefined> {
  const [row] = await execute(
    database,
    database.sql<{ status: JobStatus }[]>`
      with job as materialized (
        select job_id, status from musehub_background_jobs where job_id = ${jobId} for update
      ), changed as (
        update musehub_background_jobs j set
          status = case when job.status = 'pending' then 'cancelled' else j.status end,
          cancel_requested = true,
          checkpoint = case when job.status = 'pending' then null else j.checkpoint end,
          finished_at = case when job.status = 'pending' then now() end
        from job where j.job_id = job.job_id and job.status in ('pending', 'running')
        returning j.job_id, j.status,
          case when job.status = 'pending' then mpackd_drop_staged(j.job_id) end as dropped
      )
      select coalesce(changed.status, job.status) as status
      from job left join changed using (job_id)`,
    { action: "cancel a job" },
  );
  return row?.status;
}

/**
 * Ends a running job as cancelled; its staged rows go.
 *
 * @throws {LeaseLostError} If the job is another worker's now.
 */
export async function finishCancelled(database: Database, lease: Lease): Promise<void> {
  const rows = await execute(
    database,
    database.sql`
      update musehub_background_jobs set
        status = 'cancelled', finished_at = now(), lease_expires_at = null, checkpoint = null
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
      returning mpackd_drop_staged(job_id) as dropped`,
    { action: "end a cancelled job" },
  );
  if (rows.length === 0) throw leaseLost("end a cancelled job", lease);
}
