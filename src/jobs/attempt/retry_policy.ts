/**
 * Which failures are tried again, and how long apart.
 *
 * @module
 */

import { isBlobMissing, MpackdError, StoreError } from "../../errors.ts";

/** Waits between attempts: drawn from nothing up to a limit that doubles each time. */
export interface Backoff {
  /** Longest wait after the first attempt, in milliseconds. */
  readonly baseDelayMs: number;
  /** Longest wait ever, in milliseconds. */
  readonly maxDelayMs: number;
}

/**
 * An upload that is still under way: with 10 attempts the waits come to 3 minutes on average, 6 at
 * most. A client that takes longer than that enqueues after its upload.
 */
const FOR_BLOB: Backoff = { baseDelayMs: 5_000, maxDelayMs: 60_000 };

/** A service that is away: with 10 attempts 18 minutes on average, 36 at most. */
const FOR_SERVICE: Backoff = { baseDelayMs: 5_000, maxDelayMs: 15 * 60_000 };

/**
 * Whether the same work may succeed later. What nobody foresaw may: attempts are limited. So may
 * what the store refuses for good: another worker may have the right key, a replaced blob is
 * another one the next time.
 */
export function isRetryable(error: unknown): boolean {
  if (error instanceof StoreError) return true;
  return error instanceof MpackdError ? error.retryable : true;
}

/** How long to wait after a failure of this kind. */
export function backoffOf(error: Error): Backoff {
  return isBlobMissing(error) ? FOR_BLOB : FOR_SERVICE;
}
