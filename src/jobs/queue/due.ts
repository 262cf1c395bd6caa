import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";

/** Whether a job of these types waits whose time has come, or lost its worker. */
export async function hasDueJobs(
  database: Database,
  { jobTypes }: { readonly jobTypes: readonly string[] },
): Promise<boolean> {
  const [{ due }] = await execute(
    database,
    database.sql<{ due: boolean }[]>`
      select exists (
        select from musehub_background_jobs
        where status = 'pending' and job_type = any(${arrayLiteral(jobTypes)}::text[])
          and (run_at is null or run_at <= now())
      ) or exists (
        select from musehub_background_jobs
        where status = 'running' and job_type = any(${arrayLiteral(jobTypes)}::text[])
          and lease_expires_at <= now()
      ) as due`,
    { action: "look for due jobs" },
  );
  return due;
}
