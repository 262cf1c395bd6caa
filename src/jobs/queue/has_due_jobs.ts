import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";

/** Whether a job of these types may be claimed now: it is due, or its lease has expired. */
export async function hasDueJobs(
  db: Database,
  { jobTypes, pausedRepos = [] }: {
    readonly jobTypes: readonly string[];
    /** Repos whose jobs do not count. */
    readonly pausedRepos?: readonly string[];
  },
): Promise<boolean> {
  const [{ due }] = await db.query<{ due: boolean }>("look for due jobs")`
    select exists (
      select from musehub_background_jobs
      where status = 'pending' and job_type = any(${arrayLiteral(jobTypes)}::text[])
        and (run_at is null or run_at <= now())
        and repo_id <> all(${arrayLiteral(pausedRepos)}::text[])
    ) or exists (
      select from musehub_background_jobs
      where status = 'running' and job_type = any(${arrayLiteral(jobTypes)}::text[])
        and lease_expires_at <= now()
        and repo_id <> all(${arrayLiteral(pausedRepos)}::text[])
    ) as due`;
  return due;
}
