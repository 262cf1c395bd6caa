/**
 * Settings of the simulator: short deadlines, so that a run reaches all of them.
 *
 * @module
 */

/** The shortest lease that mpackd accepts. */
const LEASE_MS = 1_000;
/** Longer than a worker is stopped for, so that what it held back is still sent. */
export const STATEMENT_TIMEOUT_MS = 2_500;
/** How long a stopped worker stays stopped at least: its lease is gone by then. */
export const STOP_MS = 1_500;
/** Jobs that a worker runs at once. */
export const CONCURRENCY = 3;
/** Connections of one worker: its pool's, and the listener's. */
export const MOST_CONNECTIONS = CONCURRENCY + 3;

/**
 * Settings of the workers that run when all faults have stopped. Their deadlines are the usual ones:
 * the jobs that are left must end even on a busy machine.
 */
export const USUAL_ENV: Readonly<Record<string, string>> = {
  MPACK_BATCH_ROWS: "20",
  MPACK_CONCURRENCY: String(CONCURRENCY),
  MPACK_DB_CONNECTIONS: String(CONCURRENCY + 2),
  MPACK_DRAIN_MS: "500",
  MPACK_LOG_LEVEL: "debug",
  MPACK_POLL_MS: "300",
};

/** Settings of all other workers. */
export const SHORT_ENV: Readonly<Record<string, string>> = {
  ...USUAL_ENV,
  MPACK_DB_TIMEOUT_MS: String(STATEMENT_TIMEOUT_MS),
  MPACK_LEASE_MS: String(LEASE_MS),
  MPACK_PUBLISH_TIMEOUT_MS: "3000",
  MPACK_STORE_IDLE_MS: "300",
  MPACK_STORE_RETRIES: "2",
};
