/**
 * One attempt of one claimed job: the lease is kept alive while the handler works, and the job's
 * row says afterwards how it went.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { CancelledError, LeaseLostError, MpackdError } from "../../errors.ts";
import { finishCancelled } from "../queue/finish_cancelled.ts";
import { failJob } from "../queue/fail_job.ts";
import type { Job } from "../queue/job.ts";
import { releaseJob } from "../queue/release_job.ts";
import type { Handler } from "./handler.ts";
import { LeaseKeeper } from "./lease_keeper.ts";
import { type Backoff, backoffOf, isRetryable } from "./retry_policy.ts";

/** How an attempt ended. */
export type Outcome<Result> =
  /** The handler finished the job. */
  | { readonly status: "done"; readonly result: Result }
  /** The job failed for good. */
  | { readonly status: "failed"; readonly error: Error }
  /** The job is pending again and runs later. */
  | { readonly status: "retrying"; readonly error: Error; readonly runAt: Date | null }
  /** The worker gave the job back, uncounted. */
  | { readonly status: "released"; readonly error: Error }
  /** Somebody cancelled the job. */
  | { readonly status: "cancelled"; readonly error: Error }
  /** Another worker has the job, or the database cannot be told: the lease decides. */
  | { readonly status: "lost"; readonly error: Error };

/** How to run attempts. */
export interface AttemptOptions {
  /** Length of the lease in milliseconds, 1,000 or more. */
  readonly leaseMs: number;
  /** Fires when the worker wants to stop; the job is then released. */
  readonly signal: AbortSignal;
  /** `performance.now()` before the claim was sent: the lease is no younger. Default: now. */
  readonly claimedAt?: number;
  /** How long to wait after which failure. Default: {@link backoffOf}. */
  readonly backoff?: (error: Error) => Backoff;
}

/** Runs one attempt. Never throws: every ending is an outcome. */
export async function runAttempt<Result>(
  db: Database,
  job: Job,
  handler: Handler<Result>,
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
    } catch (trouble) {
      // Whoever claims the job when the lease has lapsed finds it as it was.
      return { status: "lost", error: trouble instanceof LeaseLostError ? trouble : error };
    }
  }
}

async function settle(
  db: Database,
  job: Job,
  error: Error,
  keeper: LeaseKeeper,
  { signal, backoff = backoffOf }: AttemptOptions,
): Promise<Exclude<Outcome<never>, { status: "done" }>> {
  if (error instanceof LeaseLostError) return { status: "lost", error };
  if (keeper.isCancelled || (error instanceof CancelledError && !signal.aborted)) {
    await finishCancelled(db, job);
    return { status: "cancelled", error };
  }
  if (signal.aborted) {
    const status = await releaseJob(db, job);
    return status === "cancelled" ? cancelled(error) : { status: "released", error };
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

/** What a job row, `--json` and the API say of an error. */
export interface ErrorRecord {
  /** An {@link ErrorCode}, or `internal` for what nobody foresaw. */
  readonly code: string;
  /** For people. */
  readonly message: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** First byte of the pack that is wrong, where one is to blame. */
  readonly offset_bytes?: number;
}

/** The error as a record. */
export function describe(error: Error): ErrorRecord {
  const { message } = error;
  if (!(error instanceof MpackdError)) return { code: "internal", message, retryable: true };
  const { code, retryable } = error;
  const offsetBytes = "offsetBytes" in error ? error.offsetBytes as number : undefined;
  const record = { code, message, retryable };
  return offsetBytes === undefined ? record : { ...record, offset_bytes: offsetBytes };
}
