/**
 * Indexes one mpack. Read this file first; it is the map of src/jobs/index.
 *
 * ```text
 * indexMpack    enqueue a job, claim it, run it here            (this file)
 *   runAttempt  keep the lease, record how it ended             ../attempt/run_attempt.ts
 *     handler   check the payload                               index_handler.ts, payload.ts
 *       stream  open ─▶ stream ─▶ prove ─▶ publish              stream_mpack.ts
 *                 open     at the first byte or a checkpoint    open_pack.ts, checkpoint.ts
 *                 stream   blob ─▶ SHA-256 ─▶ decoder ─▶ rows   src/hash, src/stream/mpack
 *                 stage    invisible rows, one batch at a time  stager.ts
 *                 prove    size, digest and count are right     prove.ts
 *                 publish  rows visible, job done: atomic       publish.ts, src/db/publish
 * ```
 *
 * The pack is read once: each chunk is hashed and decoded. Every write is one autocommit statement
 * that checks the job's fence. Staged rows are invisible to every reader; they become visible only
 * after the digest of all bytes has matched the mpack's key. A crash at any point leaves rows that no
 * reader sees, and a checkpoint where the next attempt continues.
 *
 * Other ways in: a worker claims jobs (../worker/worker.ts) and runs the same handler; `pushMpack()`
 * indexes a pack while it is uploaded (push_mpack.ts). With `--materialize`, materialize.ts also
 * writes each object as its own blob while the pack streams by.
 *
 * @module
 */

import { type Config, loadConfig } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import type { Database } from "../../db/client/database.ts";
import { admitPush } from "../../db/quotas/admit_push.ts";
import { CancelledError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { runAttempt } from "../attempt/run_attempt.ts";
import { claimJobs } from "../queue/claim_jobs.ts";
import { enqueue } from "../queue/enqueue.ts";
import type { Job } from "../queue/job.ts";
import type { IndexProgress } from "./context.ts";
import { POLL_MS, resultSoFar } from "./follow_job.ts";
import { indexHandler } from "./index_handler.ts";
import { checkPayload, type IndexPayload, MPACK_INDEX } from "./payload.ts";
import type { IndexResult } from "./result.ts";

/** One named job is claimed, however many jobs of its repo are running. */
const NO_REPO_LIMIT = 1_000_000;

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
  /** Interrupts the work: nothing becomes visible, the job is released. */
  readonly signal?: AbortSignal;
  /** Called after each chunk. */
  readonly onProgress?: (progress: IndexProgress) => void;
  /** Called with the reason when an earlier attempt's checkpoint cannot be used. */
  readonly onStartOver?: (reason: string) => void;
  /** The name left on the job's row. Default `mpackd`. */
  readonly worker?: string;
  /** Whether the worker of this name has ended. Its job is then taken over before its lease lapses. */
  readonly isGone?: (worker: string) => boolean;
}

/**
 * Indexes one mpack: enqueues a job and runs it to its end. If the same pack of the same repo is
 * being indexed elsewhere, waits for that job instead.
 *
 * Afterwards every object of the pack can be read through the repo's refs. Calling it again
 * changes nothing and says so (`objects_written` 0).
 *
 * @returns The result, as it is in the job's row.
 * @throws {InvalidMpackError} If the pack is refused; retrying cannot help.
 * @throws {QuotaError} If a quota of the repo or its owner does not allow the pack.
 * @throws {StoreError | DatabaseError} If a service is unavailable, or the blob is missing. The job
 * is pending again; any worker or a later call continues it.
 * @throws {CancelledError} If `signal` fired. The job is pending again, and the attempt not counted.
 * @throws {ConfigError} `repo-not-found`.
 */
export async function indexMpack(options: IndexMpackOptions): Promise<IndexResult> {
  const { db, repoId, mpackKey, onProgress, worker = "mpackd" } = options;
  const { signal = new AbortController().signal, config = loadConfig({}) } = options;
  const { leaseMs, maxAttempts } = config;
  const payload = { ...checkPayload({ ...options.payload, mpack_key: mpackKey }) };
  await admitPush(db, { repoId, mpackKey }, { defaults: quotaDefaultsOf(config), isPush: true });
  const claimAs = { worker, leaseMs };
  const found = await enqueue(db, { repoId, jobType: MPACK_INDEX, payload, maxAttempts, claimAs });
  const { jobId, status, lockedBy } = found.row;
  const runsAt = status === "running" ? lockedBy : found.waitsFor ?? null;
  const takeOver = runsAt !== null && options.isGone?.(runsAt) ? [runsAt] : [];
  let job = found.claimed;
  for (;;) {
    job ??= await claimOne(db, jobId, { ...claimAs, takeOver });
    if (job !== undefined) return await runHere(job, { ...options, config, signal });
    // Another worker has the job: either it ends there, or its lease lapses and it can be claimed.
    const result = await resultSoFar(db, jobId, { signal, onProgress });
    if (result !== undefined) return result;
    // An abort ends the pause, and the next look reports it.
    await sleep(POLL_MS, signal).catch(() => {});
  }
}

async function claimOne(
  db: Database,
  jobId: string,
  claimAs: { worker: string; leaseMs: number; takeOver: readonly string[] },
): Promise<Job | undefined> {
  const which = { jobId, jobTypes: [MPACK_INDEX], limit: 1, perRepo: NO_REPO_LIMIT };
  const [job] = await claimJobs(db, { ...claimAs, ...which });
  return job;
}

async function runHere(
  job: Job,
  options: IndexMpackOptions & { readonly config: Config; readonly signal: AbortSignal },
): Promise<IndexResult> {
  const { db, config: { leaseMs }, signal } = options;
  const outcome = await runAttempt(db, job, indexHandler(options), { leaseMs, signal });
  if (outcome.status === "done") return outcome.result;
  if (outcome.status === "released") {
    throw new CancelledError("Interrupted: nothing is visible, the job is pending again", {
      cause: outcome.error,
    });
  }
  throw outcome.error;
}
