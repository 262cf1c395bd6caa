import type postgres from "postgres";
import { DEFAULT_MAX_ATTEMPTS } from "./job.ts";

/** The select list that makes a `JobRow` of the table under the alias `j`. */
export function jobColumns(sql: postgres.Sql): postgres.Fragment {
  return sql`
    j.job_id as "jobId", j.repo_id as "repoId", j.job_type as "jobType", j.payload, j.status,
    j.created_at as "createdAt", coalesce(j.attempt, 0) as attempt,
    coalesce(j.max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer) as "maxAttempts",
    coalesce(j.priority, 0) as priority, coalesce(j.fence, 0) as fence, j.run_at as "runAt",
    j.lease_expires_at as "leaseExpiresAt", j.locked_by as "lockedBy", j.progress, j.result,
    j.last_error as "lastError", coalesce(j.cancel_requested, false) as "cancelRequested",
    j.started_at as "startedAt", j.finished_at as "finishedAt"`;
}

/** The select list that makes a `Job` of the table under the alias `j`. */
export function claimedColumns(sql: postgres.Sql, leaseMs: number): postgres.Fragment {
  return sql`
    j.job_id as "jobId", j.repo_id as "repoId", j.job_type as "jobType", j.payload, j.fence,
    j.attempt, coalesce(j.max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer) as "maxAttempts",
    j.checkpoint, j.progress, ${leaseMs}::integer as "leaseMs"`;
}
