import type { Database } from "../../db/client/database.ts";
import type { JobStatus } from "./job.ts";

/**
 * Cancels a pending job, or asks the worker of a running one to stop at its next batch.
 *
 * @returns The job's status afterwards: `cancelled`; `running` if its worker was asked; how it ended
 * if it had ended before; undefined if there is no such job.
 */
export async function cancelJob(db: Database, jobId: string): Promise<JobStatus | undefined> {
  const [row] = await db.query<{ status: JobStatus }>("cancel a job")`
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
    from job left join changed using (job_id)`;
  return row?.status;
}
