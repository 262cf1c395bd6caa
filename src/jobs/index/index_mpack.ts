/**
 * Indexing one mpack from start to end, as a job like any other.
 *
 * @module
 */

import { type Config, loadConfig } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { CancelledError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { IndexProgress } from "./context.ts";
import type { IndexResult } from "./result.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { runAttempt } from "../attempt/run_attempt.ts";
import { POLL_MS, resultSoFar } from "./follow_job.ts";
import { checkPayload, indexHandler, type IndexPayload, MPACK_INDEX } from "./index_handler.ts";
import { claimJobs } from "../queue/claim_jobs.ts";
import { enqueue } from "../queue/enqueue.ts";
import type { Job } from "../queue/job.ts";

/** One job by name: how many of its repo are running does not matter. */
const MANY = 1_000_000;

/** What to index, and with what. */
export interface IndexMpackOptions {
  /** A database whose tables are there (see `migrate()`). */
  readonly db: Database;
  /** The store that holds the blob under `config.blobKey`. */
  readonly store: BlobStore;
  /** The repo that pushed the pack; its refs are written. */
  readonly repoId: string;
  /** `sha256:` and 64 lower-case hex digits: the digest of the pack's bytes. */
  readonly mpackKey: string;
  /** Kept in the job's row; `declared_objects_count` is checked. */
  readonly payload?: Omit<IndexPayload, "mpack_key">;
  /** Default: every setting's default. */
  readonly config?: Config;
  /** Interrupts the work: nothing becomes visible, the job is given back. */
  readonly signal?: AbortSignal;
  /** Called after each chunk. */
  readonly onProgress?: (progress: IndexProgress) => void;
  /** Called with the reason when an earlier attempt's checkpoint cannot be used. */
  readonly onStartOver?: (reason: string) => void;
  /** The name left on the job's row. Default `mpackd`. */
  readonly worker?: string;
  /** Whether a worker of this name is known to be gone: its job is not left to its lease then. */
  readonly isGone?: (worker: string) => boolean;
}

/**
 * Indexes one mpack: a job is enqueued and run to its end here. If the same pack of the same repo
 * is being indexed elsewhere, waits for that job instead.
 *
 * Afterwards every object of the pack can be read through the repo's refs. Calling it again
 * changes nothing and says so (`objects_written` 0).
 *
 * @returns The result, as it is in the job's row.
 * @throws {InvalidMpackError} If the pack is refused; retrying cannot help.
 * @throws {StoreError | DatabaseError} If a service is unavailable, or the blob is missing; the job
 * is pending again, and any worker or a later call goes on with it.
 * @throws {CancelledError} If `signal` fired; the job is pending again, this attempt uncounted.
 * @throws {ConfigError} `repo-not-found`.
 */
export async function indexMpack(options: IndexMpackOptions): Promise<IndexResult> {
  const { db, repoId, mpackKey, onProgress, worker = "mpackd" } = options;
  const { signal = new AbortController().signal, config = loadConfig({}) } = options;
  const { leaseMs, maxAttempts } = config;
  const payload = { ...checkPayload({ ...options.payload, mpack_key: mpackKey }) };
  const claimAs = { worker, leaseMs };
  const found = await enqueue(db, { repoId, jobType: MPACK_INDEX, payload, maxAttempts, claimAs });
  const { jobId, status, lockedBy } = found.row;
  const isOrphan = status === "running" && lockedBy !== null && options.isGone?.(lockedBy);
  const takeOver = isOrphan ? [lockedBy] : [];
  let job = found.claimed;
  for (;;) {
    job ??= await claimOne(db, jobId, { ...claimAs, takeOver });
    if (job !== undefined) return await runHere(job, options, config, signal);
    // Another worker has it. Either it ends there, or its lease lapses and the job is ours.
    const result = await resultSoFar(db, jobId, { signal, onProgress });
    if (result !== undefined) return result;
    // An abort is reported by the next look.
    await sleep(POLL_MS, signal).catch(() => {});
  }
}

async function claimOne(
  db: Database,
  jobId: string,
  claimAs: { worker: string; leaseMs: number; takeOver: readonly string[] },
): Promise<Job | undefined> {
  const which = { jobId, jobTypes: [MPACK_INDEX], limit: 1, perRepo: MANY };
  const [job] = await claimJobs(db, { ...claimAs, ...which });
  return job;
}

async function runHere(
  job: Job,
  options: IndexMpackOptions,
  config: Config,
  signal: AbortSignal,
): Promise<IndexResult> {
  const handler = indexHandler({ ...options, config });
  const outcome = await runAttempt(options.db, job, handler, { leaseMs: config.leaseMs, signal });
  if (outcome.status === "done") return outcome.result;
  if (outcome.status === "released") {
    throw new CancelledError("Interrupted: nothing is visible, the job is pending again", {
      cause: outcome.error,
    });
  }
  throw outcome.error;
}
