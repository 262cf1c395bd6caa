import type { Database } from "../../db/client/database.ts";

/** Which jobs to try again. */
export type RetryFilter =
  | {
    /** One job, failed or cancelled. */
    readonly jobId: string;
  }
  | {
    /** All failed jobs, oldest first. */
    readonly failed: true;
    /** Only those of this repo. */
    readonly repoId?: string;
    /** Most jobs to put back in one statement. Default 1,000. */
    readonly limit?: number;
  };

/**
 * Puts failed jobs back into the queue, with no attempts counted. The fence stays, so a worker that
 * lost such a job long ago still cannot write.
 *
 * @returns The ids of the jobs put back.
 */
export async function retryJobs(db: Database, filter: RetryFilter): Promise<string[]> {
  const { jobId, repoId, limit } = "jobId" in filter
    ? { jobId: filter.jobId, repoId: null, limit: 1 }
    : { jobId: null, repoId: filter.repoId ?? null, limit: filter.limit ?? 1_000 };
  const rows = await db.query<{ jobId: string }>("retry jobs")`
    with chosen as materialized (
      select job_id from musehub_background_jobs
      where (${jobId}::text is null and status = 'failed'
          or job_id = ${jobId}::text and status in ('failed', 'cancelled'))
        and (${repoId}::text is null or repo_id = ${repoId}::text)
      order by created_at, job_id
      limit ${limit}::integer
      for update skip locked
    ), put_back as (
      update musehub_background_jobs j set
        status = 'pending', attempt = 0, run_at = null, cancel_requested = null,
        finished_at = null, checkpoint = null
      from chosen where j.job_id = chosen.job_id
      returning j.job_id
    )
    select job_id as "jobId",
      case when row_number() over () = 1 then pg_notify('mpackd_jobs', '') end as woken
    from put_back`;
  return rows.map((row) => row.jobId);
}
