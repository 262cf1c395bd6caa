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

/** The least width of the column of repos. */
const MIN_REPO = 10;

/**
 * A table with one line per job, whose repos are named if they are known.
 *
 * @param width The columns of the terminal: what is empty or the same for all gives way, then the
 * repos' names, then what `jobs show` says. The code stays. Default: any.
 */
export function jobTable(
  jobs: readonly JobRow[],
  names: ReadonlyMap<string, string>,
  width: number = Infinity,
): string {
  const table = [
    ["job", ...jobs.map((job) => short(job.jobId))],
    ["status", ...jobs.map((job) => job.status)],
    ["repo", ...jobs.map((job) => names.get(job.repoId) ?? short(job.repoId))],
    ["pack", ...jobs.map((job) => packOf(job))],
    ["type", ...jobs.map((job) => job.jobType)],
    ["attempt", ...jobs.map((job) => `${job.attempt}/${job.maxAttempts}`)],
    ["created", ...jobs.map((job) => agoText(job.createdAt))],
    ["took", ...jobs.map((job) => tookText(job))],
    ["code", ...jobs.map((job) => job.status === "done" ? "" : job.lastError?.code ?? "")],
  ];
  const drop = (name: string) => {
    if (widthOf(table) > width) table.splice(table.findIndex(isNamed(name)), 1);
  };
  const isOneType = new Set(jobs.map((job) => job.jobType)).size === 1;
  if (isOneType) drop("type");
  for (const name of ["code", "took"]) {
    const [, ...cells] = table.find(isNamed(name))!;
    if (cells.every((cell) => cell === "")) drop(name);
  }
  const repo = table.findIndex(isNamed("repo"));
  const room = columnWidth(table[repo]) - Math.max(0, widthOf(table) - width);
  table[repo] = table[repo].map((cell) => cutTo(cell, Math.max(MIN_REPO, room)));
  for (const name of ["attempt", "pack"]) drop(name);
  const widths = table.map(columnWidth);
  return table[0].map((_, row) =>
    cutTo(table.map((cells, at) => cells[row].padEnd(widths[at])).join(GAP).trimEnd(), width)
  ).join("\n");
}

const GAP = "  ";

function isNamed(name: string) {
  return ([head]: readonly string[]) => head === name;
}

function columnWidth(cells: readonly string[]): number {
  return cells.reduce((widest, { length }) => Math.max(widest, length), 0);
}

function widthOf(table: readonly (readonly string[])[]): number {
  return table.reduce((sum, cells) => sum + columnWidth(cells), GAP.length * (table.length - 1));
}

function cutTo(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}

function packOf({ payload }: JobRow): string {
  return short(typeof payload?.mpack_key === "string" ? payload.mpack_key : "");
}

function agoText(date: Date): string {
  return `${formatMs(Math.max(0, Date.now() - date.getTime()))} ago`;
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
