import type { Database } from "../../db/client/database.ts";
import { isForwarded } from "../../db/shards/forwarded.ts";

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
    /** Only those that failed with this code. */
    readonly code?: string;
    /** Only those that failed within so many milliseconds. */
    readonly sinceMs?: number;
    /** For a count: whether the catalog counts jobs that it has forwarded, too. Default true. */
    readonly forwarded?: boolean;
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
  const limit = "jobId" in filter ? 1 : filter.limit ?? 1_000;
  const rows = await db.query<{ jobId: string }>("retry jobs")`
    with chosen as materialized (
      select job_id from musehub_background_jobs
      where ${isChosen(db, filter)}
      order by created_at, job_id
      limit ${limit}::integer
      for update skip locked
    ), put_back as (
      update musehub_background_jobs j set
        status = 'pending', attempt = 0, run_at = null, cancel_requested = null,
        finished_at = null, checkpoint = null,
        -- A job that ended before the migration that made the column has none.
        tenant_hash = coalesce(j.tenant_hash, mpackd_tenant_hash(coalesce((
          select r.owner from musehub_repos r where r.repo_id = j.repo_id), j.repo_id)))
      from chosen where j.job_id = chosen.job_id
      returning j.job_id
    )
    select job_id as "jobId",
      case when row_number() over () = 1 then mpackd_notify_1('') end as woken
    from put_back`;
  return rows.map((row) => row.jobId);
}

/** Counts the jobs that `retryJobs()` would put back, without a limit. */
export async function countRetried(db: Database, filter: RetryFilter): Promise<number> {
  const isAll = "jobId" in filter || (filter.forwarded ?? true);
  const elsewhere = isAll ? "false" : await isForwarded(db, "musehub_background_jobs");
  const [{ jobs }] = await db.query<{ jobs: number }>("count jobs to retry")`
    select count(*) as jobs from musehub_background_jobs where ${isChosen(db, filter)} and not ${
    db.sql.unsafe(elsewhere)
  }`;
  return jobs;
}

function isChosen({ sql }: Database, filter: RetryFilter) {
  if ("jobId" in filter) {
    return sql`job_id = ${filter.jobId} and status in ('failed', 'cancelled')`;
  }
  const { repoId = null, code = null, sinceMs = null } = filter;
  return sql`status = 'failed' and (${repoId}::text is null or repo_id = ${repoId}::text)
    and (${code}::text is null or last_error->>'code' = ${code}::text)
    and (${sinceMs}::float8 is null
      or finished_at > now() - ${sinceMs}::float8 * interval '1 ms')`;
}
