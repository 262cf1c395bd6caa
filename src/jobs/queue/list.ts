import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import type { JobRow, JobStatus } from "./job.ts";
import { jobColumns } from "./job_columns.ts";

/** Which jobs to list. */
export interface ListOptions {
  /** Only those that stand so. */
  readonly status?: JobStatus;
  /** Only those of this repo. */
  readonly repoId?: string;
  /** Only this type. */
  readonly jobType?: string;
  /** Only those of repos that this identity owns or was let into. */
  readonly visibleTo?: { readonly handle: string; readonly identityId: string };
  /** Most to list. Default 100. */
  readonly limit?: number;
  /** Only those that come after this job in the order of the list. */
  readonly after?: { readonly createdAt: Date; readonly jobId: string };
}

/** Lists jobs, newest first. */
export async function listJobs(database: Database, options: ListOptions = {}): Promise<JobRow[]> {
  const { status = null, repoId = null, jobType = null, limit = 100, after } = options;
  const { visibleTo } = options;
  const { sql } = database;
  return [
    ...await execute(
      database,
      sql<JobRow[]>`
        select ${jobColumns(sql)} from musehub_background_jobs j
        where (${status}::text is null or status = ${status}::text)
          and (${repoId}::text is null or repo_id = ${repoId}::text)
          and (${jobType}::text is null or job_type = ${jobType}::text)
          and (${visibleTo === undefined}::boolean or exists (
            select from musehub_repos r
            where r.repo_id = j.repo_id and r.deleted_at is null and (
              r.owner = ${visibleTo?.handle ?? null}::text or exists (
                select from mpackd_collaborators c where c.repo_id = r.repo_id
                  and c.identity_id = ${visibleTo?.identityId ?? null}::text))))
          and (${after === undefined}::boolean or
            (date_trunc('milliseconds', created_at), job_id)
              < (${after?.createdAt.toISOString() ?? null}::timestamptz, ${
        after?.jobId ?? null
      }::text))
        order by date_trunc('milliseconds', created_at) desc, job_id desc
        limit ${limit}::integer`,
      { action: "list jobs" },
    ),
  ];
}

/** Looks a job up; undefined if there is none. */
export async function getJob(database: Database, jobId: string): Promise<JobRow | undefined> {
  const { sql } = database;
  const [row] = await execute(
    database,
    sql<JobRow[]>`select ${jobColumns(sql)} from musehub_background_jobs j
      where job_id = ${jobId}`,
    { action: "read a job" },
  );
  return row;
}
