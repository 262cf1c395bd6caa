/**
 * How long a store is waited for, unless a setting or a caller says otherwise.
 *
 * @module
 */

/** The defaults of `MPACK_STORE_RETRIES`, `MPACK_STORE_IDLE_MS` and the waits between tries. */
export const DEFAULT_TIMEOUTS = {
  /** Tries after the first that may fail in a row. */
  retries: 6,
  /** The longest wait before the first retry, in milliseconds; doubled each time. */
  retryBaseMs: 200,
  /** The longest wait before any retry, in milliseconds. */
  retryCapMs: 20_000,
  /** The longest silence of the store, in milliseconds. */
  idleTimeoutMs: 30_000,
} as const;
