/**
 * Prints jobs, for people and for programs.
 *
 * @module
 */

import type { JobRow } from "../jobs/queue/job.ts";

/** A job for `--json`: snake_case, times in ISO 8601. */
export function jobJson(job: JobRow): Record<string, unknown> {
  return {
    job_id: job.jobId,
    repo_id: job.repoId,
    job_type: job.jobType,
    status: job.status,
    payload: job.payload,
    created_at: job.createdAt,
    attempt: job.attempt,
    max_attempts: job.maxAttempts,
    priority: job.priority,
    fence: job.fence,
    run_at: job.runAt,
    lease_expires_at: job.leaseExpiresAt,
    locked_by: job.lockedBy,
    progress: job.progress,
    result: job.result,
    last_error: job.lastError,
    cancel_requested: job.cancelRequested,
    started_at: job.startedAt,
    finished_at: job.finishedAt,
  };
}

/** A table with one line per job. */
export function jobTable(jobs: readonly JobRow[]): string {
  const lines = jobs.map((job) => [
    job.jobId,
    job.status,
    job.jobType,
    `${job.attempt}/${job.maxAttempts}`,
    job.createdAt.toISOString(),
    job.lastError?.code ?? "",
  ]);
  const rows = [["job", "status", "type", "attempt", "created", "last error"], ...lines];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd()
  ).join("\n");
}

/** All fields of one job, a line each. Fields without a value are left out. */
export function jobDetails(job: JobRow): string {
  const fields = Object.entries(jobJson(job)).filter(([, value]) => value !== null);
  return fields.map(([name, value]) => `${name.padEnd(17)} ${shown(value)}`).join("\n");
}

function shown(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
