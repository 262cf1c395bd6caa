/**
 * One attempt of a claimed job: the lease is renewed while the handler works, and afterwards the
 * job's row says how it ended.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { CancelledError, LeaseLostError, ShardMovedError, WrongStoreError } from "../../errors.ts";
import { finishCancelled } from "../queue/finish_cancelled.ts";
import { failJob } from "../queue/fail_job.ts";
import type { Job } from "../queue/job.ts";
import { releaseJob } from "../queue/release_job.ts";
import { describe } from "./error_record.ts";
import type { JobHandler } from "./handler.ts";
import { LeaseKeeper } from "./lease_keeper.ts";
import { type Backoff, backoffOf, isRetryable } from "./retry_policy.ts";

/** A store that is not mounted comes back within minutes, or somebody has to mount it. */
const NO_STORE_DELAY_MS = 30_000;

/** How an attempt ended. */
export type Outcome<Result> =
  /** The handler finished the job. */
  | { readonly status: "done"; readonly result: Result }
  /** The job failed for good. */
  | { readonly status: "failed"; readonly error: Error }
  /** The job is pending again and runs later. */
  | { readonly status: "retrying"; readonly error: Error; readonly runAt: Date | null }
  /** The worker released the job; the attempt is not counted. */
  | { readonly status: "released"; readonly error: Error }
  /** The worker has no store; the job runs later, and the attempt is not counted. */
  | { readonly status: "postponed"; readonly error: Error }
  /** The job was cancelled. */
  | { readonly status: "cancelled"; readonly error: Error }
  /** Another worker has the job, or the database could not be told: the lease will lapse. */
  | { readonly status: "lost"; readonly error: Error };

/** How to run attempts. */
interface AttemptOptions {
  /** Length of the lease in milliseconds, 1,000 or more. */
  readonly leaseMs: number;
  /** Fires when the worker stops; the job is then released. */
  readonly signal: AbortSignal;
  /** Whether there can be no other attempt, because what it works on comes once. Default false. */
  readonly isOnly?: boolean;
  /** `performance.now()` before the claim was sent: the lease began then or later. Default: now. */
  readonly claimedAt?: number;
  /** Delays by error. Default: {@link backoffOf}. */
  readonly backoff?: (error: Error) => Backoff;
}

/** Runs one attempt. Never throws: every error becomes an outcome. */
export async function runAttempt<Result>(
  db: Database,
  job: Job,
  handler: JobHandler<Result>,
  options: AttemptOptions,
): Promise<Outcome<Result>> {
  using keeper = new LeaseKeeper(db, job, options);
  try {
    return { status: "done", result: await handler(job, keeper) };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    keeper.stop();
    try {
      return await settle(db, job, error, keeper, options);
    } catch (unsettled) {
      // The job stays as it is until its lease lapses; then another worker claims it.
      return { status: "lost", error: unsettled instanceof LeaseLostError ? unsettled : error };
    }
  }
}

async function settle(
  db: Database,
  job: Job,
  error: Error,
  keeper: LeaseKeeper,
  { signal, isOnly = false, backoff = backoffOf }: AttemptOptions,
): Promise<Exclude<Outcome<never>, { status: "done" }>> {
  if (error instanceof LeaseLostError) return { status: "lost", error };
  // Nothing can be written here. The move puts the job back, and does not count the attempt.
  if (error instanceof ShardMovedError) return { status: "lost", error };
  if (keeper.isCancelled || (error instanceof CancelledError && !signal.aborted)) {
    await finishCancelled(db, job);
    return { status: "cancelled", error };
  }
  if (signal.aborted) {
    const status = await releaseJob(db, job);
    return status === "cancelled" ? cancelled(error) : { status: "released", error };
  }
  if (error instanceof WrongStoreError && !isOnly) {
    const status = await releaseJob(db, job, { delayMs: NO_STORE_DELAY_MS });
    return status === "cancelled" ? cancelled(error) : { status: "postponed", error };
  }
  const { status, runAt } = await failJob(db, job, {
    error: describe(error),
    retry: isRetryable(error),
    ...backoff(error),
  });
  if (status === "pending") return { status: "retrying", error, runAt };
  if (status === "failed") return { status, error };
  return cancelled(error);
}

function cancelled(cause: Error): Outcome<never> & { readonly status: "cancelled" } {
  const error = new CancelledError("Cannot try again: the job was cancelled", { cause });
  return { status: "cancelled", error };
}
