import { arrayLiteral, quotedLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { DEFAULT_MAX_ATTEMPTS, type Job } from "./job.ts";
import { type ClaimedColumns, toJob } from "./job_row.ts";

/** Which jobs to claim, and how many. */
export interface ClaimOptions {
  /** The worker's name, written to the row for people. */
  readonly worker: string;
  /** The job types that this worker handles; letters, digits, dots and dashes. */
  readonly jobTypes: readonly string[];
  /** Milliseconds until the lease expires unless it is renewed. */
  readonly leaseMs: number;
  /** Most jobs to claim, 1 or more. */
  readonly limit: number;
  /** Most running jobs of one repo, on all workers. Two claims at one moment may exceed it. */
  readonly perRepo: number;
  /** Claim only this job, even before its `run_at` and with no attempts left: a user asked for it. */
  readonly jobId?: string;
  /** Repos whose jobs are not claimed. */
  readonly pausedRepos?: readonly string[];
  /** Workers known to have ended: their jobs are claimed before the lease expires. */
  readonly takeOver?: readonly string[];
}

/**
 * Claims pending jobs, and running jobs whose lease has expired.
 *
 * The attempt is counted here, so a job that kills its worker ends too: past `max_attempts` it fails
 * with `attempts-exhausted` instead of being claimed. A job is passed over while a duplicate (same
 * repo, type and mpack) runs.
 *
 * A running row without a lease that ends belongs to another program. It is not claimed, and delays no
 * other job: nothing says that the other program still exists.
 *
 * Among jobs of one priority, those of tenants with few running jobs go first; then those of the
 * tenant that has waited longest since it was served, or since its job was due. A tenant is the owner
 * of a job's repo, or the repo where it has no row. So ten thousand jobs of one owner, in one repo or
 * in ten thousand, delay another owner's job by one turn. How many rows of the queue a claim reads is
 * bounded: `mpackd_next_jobs_1` in src/db/schema/functions/next_jobs_1.sql. The statement is in
 * claims_1.sql beside it.
 *
 * If a worker in `takeOver` still runs, its writes fail at the raised fence, as after an expiry.
 */
export async function claimJobs(db: Database, options: ClaimOptions): Promise<Job[]> {
  const { worker, jobTypes, leaseMs, limit, perRepo, jobId, takeOver = [], pausedRepos = [] } =
    options;
  const rows = await db.query<ClaimedColumns & { is_rescue: boolean; shard: string | null }>(
    "claim jobs",
    { isClaim: true },
  )`select * from mpackd_claim_jobs_1(
    ${worker}, ${arrayLiteral(jobTypes)}::text[], ${leaseMs}::float8, ${limit}::integer,
    ${perRepo}::integer, ${DEFAULT_MAX_ATTEMPTS}::integer, ${jobId ?? null}::text,
    ${arrayLiteral(pausedRepos)}::text[], ${
    takeOver.length > 0 ? quotedLiteral(takeOver) : "{}"
  }::text[])`;
  return rows.map((row) => {
    const job = toJob(row, { leaseMs, isRescue: row.is_rescue });
    return row.shard === null ? job : { ...job, shard: row.shard };
  });
}
