import type { Database } from "../../db/client/database.ts";
import { ConfigError, ShardMovedError } from "../../errors.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { withPrefix } from "../../lib/ids.ts";
import { DEFAULT_MAX_ATTEMPTS, type Job, type JobRow } from "./job.ts";
import { type JobColumns, toJob, toJobRow } from "./job_row.ts";

const MAX_TRIES = 5;

/** A job to enqueue. */
export interface NewJob {
  readonly repoId: string;
  /** Decides which handler runs it. */
  readonly jobType: string;
  /**
   * What the handler needs. Open jobs with the same `mpack_key` are duplicates; if a `branch` shall
   * move, only those with the same payload.
   */
  readonly payload: Record<string, unknown>;
  /** Higher goes first. Default 0. */
  readonly priority?: number;
  /** How often it may be claimed. Default {@link DEFAULT_MAX_ATTEMPTS}. */
  readonly maxAttempts?: number;
  /** Milliseconds from now before which it is not claimed. Default 0. */
  readonly delayMs?: number;
  /** Whether to make a new job even if a duplicate is open. */
  readonly evenIfOpen?: boolean;
  /**
   * Claim the job in the same statement. A duplicate that was open already is not claimed, and neither
   * is a new job that waits for one.
   */
  readonly claimAs?: { readonly worker: string; readonly leaseMs: number };
}

/** The job that `enqueue()` found or made. */
export interface Enqueued {
  /** The job. */
  readonly row: JobRow;
  /** Whether an open job for the same repo, type and mpack was found. */
  readonly existing: boolean;
  /** The claimed job, if `claimAs` was given and the job is new. */
  readonly claimed?: Job;
  /** The worker of the duplicate that this new job waits for. */
  readonly waitsFor?: string;
}

/**
 * Puts a job into the queue, or finds the pending or running duplicate of it.
 *
 * A running duplicate with a single attempt is not handed out: a push that breaks off fails its job,
 * and its bytes are gone. The new job waits until that one has ended, as every duplicate does. Then it
 * finds its work done, or does it.
 *
 * Two callers at the same moment may both insert. That is harmless: the second job finds its work
 * done.
 *
 * @throws {ConfigError} `repo-not-found` if there is no such repo.
 */
export async function enqueue(db: Database, job: NewJob): Promise<Enqueued> {
  for (let attempt = 1;; attempt++) {
    const found = await tryEnqueue(db, job);
    if (found !== undefined) return found;
    // Another process made a job of this repo in the same microsecond; the next one is free.
    if (attempt === MAX_TRIES) throw new ConfigError(`Cannot enqueue a job: its id is taken`);
  }
}

async function tryEnqueue(db: Database, job: NewJob): Promise<Enqueued | undefined> {
  const { repoId, jobType, payload, priority = 0, delayMs = 0, claimAs } = job;
  const { maxAttempts = null, evenIfOpen = false } = job;
  const { jobId, createdAt } = newJobKey(repoId, jobType), payloadText = JSON.stringify(payload);
  const leaseMs = claimAs?.leaseMs ?? 0;
  type Found = JobColumns & {
    has_repo: boolean;
    shard: string | null;
    waits_for: string | null;
    existing: boolean | null;
  };
  const [row] = await db.query<Found>("enqueue a job")`
    with repo as materialized (
      select repo_id, shard from musehub_repos where repo_id = ${repoId} and deleted_at is null
    ), same as materialized (
      select j.*, j.status = 'running'
          and coalesce(j.max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer) = 1 as is_only
      from musehub_background_jobs j, repo
      where j.repo_id = repo.repo_id and j.job_type = ${jobType}
        and mpackd_mpack_key(j.payload::text) = mpackd_mpack_key(${payloadText}::text)
        and j.status in ('pending', 'running')
        and (j.status = 'pending' or isfinite(j.lease_expires_at))
        and not ${evenIfOpen}::boolean
    ), open as materialized (
      select * from same
      where not is_only
        and (${!("branch" in payload)}::boolean or payload::text = ${payloadText}::text)
      order by status = 'running' desc, created_at, job_id
      limit 1
    ), ahead as materialized (
      select locked_by from same where is_only and lease_expires_at > now() limit 1
    ), made as (
      insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at,
        priority, max_attempts, run_at, attempt, fence, lease_expires_at, locked_by, started_at)
      select ${jobId}, repo_id, ${jobType},
        ${payloadText}::text::json,
        case when claimed.n = 1 then 'running' else 'pending' end,
        ${createdAt}::text::timestamptz, ${priority}::integer, ${maxAttempts}::integer,
        case when ${delayMs}::float8 > 0
          then now() + ${delayMs}::float8 * interval '1 ms' end,
        claimed.n, claimed.n,
        case when claimed.n = 1 then now() + ${leaseMs}::float8 * interval '1 ms' end,
        case when claimed.n = 1 then ${claimAs?.worker ?? null} end,
        case when claimed.n = 1 then now() end
      from repo, (
        select case when ${claimAs === undefined}::boolean or exists (select from ahead)
          then 0 else 1 end as n
      ) as claimed
      where not exists (select from open)
        and (repo.shard is null or ${claimAs === undefined}::boolean)
      on conflict (job_id) do nothing
      returning *, false as is_only
    )
    select exists (select from repo) as has_repo, (select shard from repo) as shard,
      (select locked_by from ahead) as waits_for, j.*
    from (select) as always
    left join (
      select *, true as existing from open union all select *, false from made
    ) as j on true`;
  const { has_repo: hasRepo, existing } = row;
  if (!hasRepo) {
    throw new ConfigError(`Cannot enqueue a job: there is no repo ${repoId}`, {
      code: "repo-not-found",
    });
  }
  // Other programs put jobs into the catalog's queue, and a worker forwards them; nobody runs them there.
  if (row.shard !== null && claimAs !== undefined) {
    throw livesElsewhere("index", repoId, row.shard);
  }
  if (existing === null) return undefined;
  const isClaimed = row.status === "running" && !existing, waitsFor = row.waits_for;
  return {
    row: toJobRow(row),
    existing,
    ...(existing || waitsFor === null ? {} : { waitsFor }),
    ...(isClaimed ? { claimed: toJob(row, { leaseMs, isRescue: false }) } : {}),
  };
}

/** The error of who writes to the catalog's rows of a repo that lives in a shard. */
export function livesElsewhere(action: string, repoId: string, shard: string): ShardMovedError {
  return new ShardMovedError(
    `Cannot ${action}: the repo ${repoId} lives in shard ${shard}; open that one, by its catalog`,
  );
}

/** An id for a job made now, `sha256:` over the NUL-joined repo, type and ISO time; and this time. */
export function newJobKey(
  repoId: string,
  jobType: string,
): { readonly jobId: string; readonly createdAt: string } {
  const createdAt = nextInstant();
  return { jobId: withPrefix(sha256Hex([repoId, jobType, createdAt].join("\0"))), createdAt };
}

let lastMicros = 0;

/**
 * The time in microseconds, never the same twice: two jobs of one repo at one time would get one id.
 *
 * It is sent as text, because the driver would cut a timestamptz to milliseconds.
 */
function nextInstant(): string {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
  lastMicros = Math.max(lastMicros + 1, micros);
  const millis = new Date(Math.floor(lastMicros / 1000)).toISOString().slice(0, -1);
  return `${millis}${String(lastMicros % 1000).padStart(3, "0")}Z`;
}
