import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { ConfigError } from "../../errors.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { withPrefix } from "../../lib/ids.ts";
import type { Job, JobRow } from "./job.ts";
import { claimedColumns, jobColumns } from "./job_columns.ts";

const MAX_TRIES = 5;

/** A job to be done. */
export interface NewJob {
  /** The repo it works for. */
  readonly repoId: string;
  /** Which handler it is for. */
  readonly jobType: string;
  /** What the handler needs; `mpack_key` in it tells which open job is the same. */
  readonly payload: Record<string, unknown>;
  /** Higher goes first. Default 0. */
  readonly priority?: number;
  /** How often it may be claimed. Default {@link DEFAULT_MAX_ATTEMPTS}. */
  readonly maxAttempts?: number;
  /** Milliseconds from now before which it is not claimed. Default 0. */
  readonly delayMs?: number;
  /** Make a job of its own, whatever open job does the same. */
  readonly evenIfOpen?: boolean;
  /** Claim it in the same statement; an open job that was there already is not claimed. */
  readonly claimAs?: { readonly worker: string; readonly leaseMs: number };
}

/** What `enqueue` found or made. */
export interface Enqueued {
  /** The job's row. */
  readonly row: JobRow;
  /** True if an open job for the same repo, type and mpack was there already. */
  readonly existing: boolean;
  /** The job as a claim would give it, if `claimAs` was given and the job is new. */
  readonly claimed?: Job;
}

/**
 * Puts a job into the queue, or finds the pending or running one that does the same.
 *
 * Two callers at the same moment may both insert; that is harmless, the second job finds its work
 * done.
 *
 * @throws {ConfigError} `repo-not-found` if there is no such repo.
 */
export async function enqueue(database: Database, job: NewJob): Promise<Enqueued> {
  for (let attempt = 1;; attempt++) {
    const found = await tryEnqueue(database, job);
    if (found !== undefined) return found;
    // Another process made a job of this repo in the same microsecond; the next one is free.
    if (attempt === MAX_TRIES) throw new ConfigError(`Cannot enqueue a job: its id is taken`);
  }
}

async function tryEnqueue(database: Database, job: NewJob): Promise<Enqueued | undefined> {
  const { repoId, jobType, payload, priority = 0, delayMs = 0, claimAs } = job;
  const { maxAttempts = null, evenIfOpen = false } = job;
  const { sql } = database;
  const createdAt = nextInstant();
  const leaseMs = claimAs?.leaseMs ?? 0;
  type Row = JobRow & Omit<Job, "isRescue"> & { hasRepo: boolean; existing: boolean | null };
  const [row] = await execute(
    database,
    sql<Row[]>`
      with repo as materialized (
        select repo_id from musehub_repos where repo_id = ${repoId} and deleted_at is null
      ), open as materialized (
        select j.* from musehub_background_jobs j, repo
        where j.repo_id = repo.repo_id and j.job_type = ${jobType}
          and mpackd_mpack_key(j.payload::text) = mpackd_mpack_key(${JSON.stringify(payload)}::text)
          and j.status in ('pending', 'running') and not ${evenIfOpen}::boolean
        order by j.status = 'running' desc, j.created_at, j.job_id
        limit 1
      ), made as (
        insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at,
          priority, max_attempts, run_at, attempt, fence, lease_expires_at, locked_by, started_at)
        select ${newJobId(repoId, jobType, createdAt)}, repo_id, ${jobType},
          ${JSON.stringify(payload)}::text::json,
          case when ${claimAs !== undefined}::boolean then 'running' else 'pending' end,
          ${createdAt}::text::timestamptz, ${priority}::integer, ${maxAttempts}::integer,
          case when ${delayMs}::float8 > 0
            then now() + ${delayMs}::float8 * interval '1 ms' end,
          claimed.n, claimed.n,
          case when claimed.n = 1 then now() + ${leaseMs}::float8 * interval '1 ms' end,
          ${claimAs?.worker ?? null}, case when claimed.n = 1 then now() end
        from repo, (select ${claimAs === undefined ? 0 : 1}::integer as n) as claimed
        where not exists (select from open)
        on conflict (job_id) do nothing
        returning *
      )
      select exists (select from repo) as "hasRepo", j.existing,
        ${jobColumns(sql)}, ${claimedColumns(sql, leaseMs)}
      from (select) as always
      left join (
        select *, true as existing from open union all select *, false from made
      ) as j on true`,
    { action: "enqueue a job" },
  );
  if (!row.hasRepo) {
    throw new ConfigError(`Cannot enqueue a job: there is no repo ${repoId}`, {
      code: "repo-not-found",
    });
  }
  if (row.existing === null) return undefined;
  const { hasRepo: _, existing, checkpoint, leaseMs: __, ...fields } = row;
  const claimed = claimAs === undefined || existing ? undefined : {
    jobId: row.jobId,
    repoId,
    jobType,
    payload: row.payload,
    fence: row.fence,
    attempt: row.attempt,
    maxAttempts: row.maxAttempts,
    checkpoint,
    progress: row.progress,
    leaseMs,
    isRescue: false,
  };
  return { row: fields, existing, ...(claimed === undefined ? {} : { claimed }) };
}

/** `sha256:` over the NUL-joined repo, type and ISO time. */
function newJobId(repoId: string, jobType: string, createdAt: string): string {
  const name = [repoId, jobType, createdAt].join("\0");
  return withPrefix(sha256Hex(name));
}

let lastMicros = 0;

// Two jobs of one repo in one millisecond would get the same id, so the last three digits count on.
// It is sent as text: as a timestamptz the driver would make a Date of it and cut it to milliseconds.
function nextInstant(): string {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
  lastMicros = Math.max(lastMicros + 1, micros);
  const millis = new Date(Math.floor(lastMicros / 1000)).toISOString().slice(0, -1);
  return `${millis}${String(lastMicros % 1000).padStart(3, "0")}Z`;
}
