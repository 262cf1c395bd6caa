/**
 * Prints jobs, for people and for programs.
 *
 * @module
 */

import type { JobRow } from "../jobs/queue/job.ts";
import type { Pauses } from "../jobs/schedules/pauses.ts";
import { formatMs } from "./terminal.ts";

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

/** How many digits of an id are shown. `jobs show` finds a job by them. */
const ID_DIGITS = 12;

/** A table with one line per job, whose repos are named if they are known. */
export function jobTable(jobs: readonly JobRow[], names: ReadonlyMap<string, string>): string {
  const lines = jobs.map((job) => [
    short(job.jobId),
    job.status,
    names.get(job.repoId) ?? short(job.repoId),
    short(typeof job.payload?.mpack_key === "string" ? job.payload.mpack_key : ""),
    job.jobType,
    `${job.attempt}/${job.maxAttempts}`,
    `${formatMs(Math.max(0, Date.now() - job.createdAt.getTime()))} ago`,
    tookText(job),
    job.status === "done" ? "" : job.lastError?.code ?? "",
  ]);
  const heads = ["job", "status", "repo", "pack", "type", "attempt", "created", "took", "code"];
  const rows = [heads, ...lines];
  const widths = heads.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd()
  ).join("\n");
}

function short(id: string): string {
  const bare = id.replace(/^sha256:/, "");
  return bare.length > ID_DIGITS ? bare.slice(0, ID_DIGITS) : bare;
}

function tookText({ status, startedAt, finishedAt }: JobRow): string {
  if (startedAt === null || status === "pending") return "";
  return formatMs(Math.max(0, (finishedAt?.getTime() ?? Date.now()) - startedAt.getTime()));
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

/** A line for what is paused: otherwise nobody knows why jobs wait. */
export function pausedText(
  { isAll, types, repoIds }: Pauses,
  names: ReadonlyMap<string, string>,
): string[] {
  const paused = [
    ...(isAll ? ["all jobs"] : []),
    ...types.map((type) => `jobs of type ${type}`),
    ...repoIds.map((repoId) => `jobs of ${names.get(repoId) ?? repoId}`),
  ];
  return paused.length === 0 ? [] : [`Paused: ${paused.join(", ")}`];
}
