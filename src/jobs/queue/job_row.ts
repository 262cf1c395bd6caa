import type { Row } from "../../db/schema/tables.ts";
import { DEFAULT_MAX_ATTEMPTS, type Job, type JobRow, type JobStatus } from "./job.ts";

/** The columns of a job. Those after `attempt` may be null in rows of other producers. */
export type JobColumns = Row<"musehub_background_jobs">;

/** The job that a row describes. */
export function toJobRow(row: JobColumns): JobRow {
  return {
    jobId: row.job_id,
    repoId: row.repo_id,
    jobType: row.job_type,
    payload: row.payload as Record<string, unknown>,
    status: row.status as JobStatus,
    createdAt: row.created_at,
    attempt: row.attempt ?? 0,
    maxAttempts: row.max_attempts ?? DEFAULT_MAX_ATTEMPTS,
    priority: row.priority ?? 0,
    fence: row.fence ?? 0,
    runAt: row.run_at,
    leaseExpiresAt: row.lease_expires_at,
    lockedBy: row.locked_by,
    progress: row.progress,
    result: row.result,
    lastError: row.last_error as JobRow["lastError"],
    cancelRequested: row.cancel_requested ?? false,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}

/** What a claim returns of a row. */
export type ClaimedColumns = Pick<
  JobColumns,
  | "job_id"
  | "fence"
  | "repo_id"
  | "tenant_hash"
  | "job_type"
  | "payload"
  | "attempt"
  | "max_attempts"
  | "progress"
  | "checkpoint"
>;

/** The job of a row that was claimed just now. */
export function toJob(
  row: ClaimedColumns,
  { leaseMs, isRescue }: Pick<Job, "leaseMs" | "isRescue">,
): Job {
  return {
    jobId: row.job_id,
    fence: row.fence ?? 0,
    repoId: row.repo_id,
    tenant: row.tenant_hash ?? 0,
    jobType: row.job_type,
    payload: row.payload as Record<string, unknown>,
    attempt: row.attempt ?? 0,
    maxAttempts: row.max_attempts ?? DEFAULT_MAX_ATTEMPTS,
    checkpoint: row.checkpoint,
    progress: row.progress,
    leaseMs,
    isRescue,
  };
}
