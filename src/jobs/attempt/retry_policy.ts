/**
 * Which errors are retried, and after which delays.
 *
 * @module
 */

import { isBlobMissing, MpackdError, StoreError } from "../../errors.ts";

/** Delays between attempts: random, from 0 to a limit that doubles with each attempt. */
export interface Backoff {
  /** Longest delay after the first attempt, in milliseconds. */
  readonly baseDelayMs: number;
  /** Longest delay, in milliseconds. */
  readonly maxDelayMs: number;
}

/**
 * The upload may still be under way. Ten attempts last 3 minutes on average, 6 at most; a client
 * whose upload takes longer must enqueue after it.
 */
const FOR_BLOB: Backoff = { baseDelayMs: 5_000, maxDelayMs: 60_000 };

/** A service may be down. Ten attempts last 18 minutes on average, 36 at most. */
const FOR_SERVICE: Backoff = { baseDelayMs: 5_000, maxDelayMs: 15 * 60_000 };

/**
 * Whether the same job may succeed later. True for unknown errors, because attempts are limited. True
 * for every store error, even one that is permanent for this worker: another worker may have the
 * right credentials, and a replaced blob can be read the next time.
 */
export function isRetryable(error: unknown): boolean {
  if (error instanceof StoreError) return true;
  return error instanceof MpackdError ? error.retryable : true;
}

export function backoffOf(error: Error): Backoff {
  return isBlobMissing(error) ? FOR_BLOB : FOR_SERVICE;
}
