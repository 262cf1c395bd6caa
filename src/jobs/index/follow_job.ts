/**
 * Waits for a job that another worker runs.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import {
  CancelledError,
  ConfigError,
  DatabaseError,
  InvalidMpackError,
  LeaseLostError,
  type MpackdError,
  type MpackErrorCode,
  ObjectError,
  QuotaError,
  StoreError,
} from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { IndexProgress } from "./context.ts";
import { type IndexResult, resultOf } from "./result.ts";
import type { JobRow } from "../queue/job.ts";
import { getJob } from "../queue/get_job.ts";

/** Milliseconds between two looks at a job. */
export const POLL_MS = 250;

/** How to follow a job. */
interface FollowOptions {
  /** Ends the wait, not the job. */
  readonly signal?: AbortSignal;
  /** Called each time the job's row was read. */
  readonly onProgress?: (progress: IndexProgress) => void;
}

/**
 * Waits until an `mpack.index` job has ended.
 *
 * @returns Its result.
 * @throws {MpackdError} The error of a failed job; `cancelled` if it was, or the signal fired.
 */
export async function followJob(
  db: Database,
  jobId: string,
  { signal, onProgress }: FollowOptions = {},
): Promise<IndexResult> {
  for (;;) {
    const result = await resultSoFar(db, jobId, { signal, onProgress });
    if (result !== undefined) return result;
    // An abort ends the pause, and the next look reports it.
    await sleep(POLL_MS, signal).catch(() => {});
  }
}

/**
 * Reads an `mpack.index` job once.
 *
 * @returns Its result; undefined while it is open.
 * @throws {MpackdError} As {@link followJob}.
 */
export async function resultSoFar(
  db: Database,
  jobId: string,
  { signal, onProgress }: FollowOptions = {},
): Promise<IndexResult | undefined> {
  if (signal?.aborted) {
    throw new CancelledError(`Cannot wait any longer for job ${jobId}; it keeps running`);
  }
  const job = await getJob(db, jobId);
  if (job === undefined) throw new ConfigError(`Cannot follow job ${jobId}: it is gone`);
  if (job.status === "done") return resultOf(job.result);
  if (job.status === "cancelled") throw new CancelledError(`Job ${jobId} was cancelled`);
  if (job.status === "failed") throw errorOf(job.lastError);
  onProgress?.(progressOf(job));
  return undefined;
}

function progressOf({ status, progress }: JobRow): IndexProgress {
  const found = (progress ?? {}) as { bytes?: number; size_bytes?: number; objects?: number };
  return {
    phase: status === "running" ? "stream" : "open",
    bytes: found.bytes ?? 0,
    sizeBytes: found.size_bytes ?? 0,
    objects: found.objects ?? 0,
  };
}

/** Makes an error from the record in a job's row. */
function errorOf(record: JobRow["lastError"]): MpackdError {
  const code = record?.code, message = record?.message ?? "The job failed without a reason";
  switch (code) {
    case "blob-missing":
    case "store-unavailable":
      return new StoreError(code, message, { retryable: record?.retryable });
    case "config":
    case "repo-not-found":
      return new ConfigError(message, { code });
    case "object-not-found":
    case "object-mismatch":
      return new ObjectError(code, message);
    case "quota-exceeded":
      return new QuotaError(message);
    case "cancelled":
      return new CancelledError(message);
    case "lease-lost":
      return new LeaseLostError(message);
    default:
      return record?.retryable === false && code !== "attempts-exhausted"
        ? InvalidMpackError.recorded(code as MpackErrorCode, message, record.offset_bytes)
        : new DatabaseError(message, { retryable: record?.retryable });
  }
}
