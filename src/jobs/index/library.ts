/**
 * `indexMpack()`, `pushMpack()` and `enqueue()` for other programs, which may name a wrong store as
 * easily as a user does: the store's marker is compared first, as every command does.
 *
 * @module
 */

import { loadConfig } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { ownedStore } from "../../maintenance/owned_store.ts";
import { claimStore, type StoreAndDatabase } from "../../maintenance/store_owner.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { indexMpack as index, type IndexMpackOptions } from "./index_mpack.ts";
import { enqueue as enqueueJob } from "../queue/enqueue.ts";
import type { JobStatus } from "../queue/job.ts";
import { checkPayload, type IndexPayload, MPACK_INDEX } from "./payload.ts";
import { pushMpack as push, type PushOptions } from "./push_mpack.ts";
import type { IndexResult } from "./result.ts";

/** The claim is counted, so that a database that is restored from a backup is noticed. */
const CLAIM_EVERY_MS = 60_000;

/** A store that belongs to a database. */
interface Claim {
  readonly store: BlobStore;
  readonly claimedAt: number;
}

const claims = new WeakMap<Database, WeakMap<BlobStore, Claim>>();

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
 * @throws {ConfigError} `repo-not-found`, or the store belongs to another database, or has lost its
 * marker (`mpackd store adopt` changes the owner).
 */
export async function indexMpack(options: IndexMpackOptions): Promise<IndexResult> {
  const { config = loadConfig({}), signal } = options;
  return await index({ ...options, store: await claim({ ...options, config, signal }) });
}

/**
 * Takes in a pack in one pass. Afterwards it is in the store and indexed, or an error is thrown and
 * nothing is left but a job that says why.
 *
 * Without `mpackKey` the bytes are written without a name, and the job's row has no key, until the
 * last byte is hashed. No worker can retry the job, because its bytes came once.
 *
 * @throws {GhostError} If the snapshots name objects that neither the pack nor the repo has.
 * @throws {QuotaError} If a quota of the repo or its owner does not allow the pack.
 * @throws {InvalidMpackError} If the pack is refused for another reason.
 * @throws {StoreError | DatabaseError} If a service is unavailable; push again.
 * @throws {ConfigError} If the store belongs to another database, or has lost its marker.
 * @throws Errors of `body`.
 */
export async function pushMpack(options: PushOptions): Promise<IndexResult> {
  return await push({ ...options, store: await claim(options) });
}

/** A pack whose job to queue. */
export interface EnqueueOptions extends Omit<IndexPayload, "mpack_key"> {
  /** A database whose tables are there (see `migrate()`). */
  readonly db: Database;
  /** The repo that gets the pack's objects. */
  readonly repoId: string;
  /** `sha256:` and 64 hex digits. The pack may be uploaded later: the job waits for it. */
  readonly mpackKey: string;
  /** Jobs of higher priority go first. Default 0. */
  readonly priority?: number;
  /** Milliseconds before which no worker claims the job. Default 0. */
  readonly delayMs?: number;
  /** How often the job may be claimed. Default 10. */
  readonly maxAttempts?: number;
}

/** The job of a pack. */
export interface EnqueuedJob {
  /** Its id. */
  readonly jobId: string;
  /** Where it stands. */
  readonly status: JobStatus;
  /** Whether it was there already, pending or running, for the same repo and pack. */
  readonly existing: boolean;
}

/**
 * Queues a job that indexes a pack, for any worker; or finds the open one. Needs no store: the worker
 * looks for the pack's blob when it claims the job. A job with a single attempt, such as that of a push
 * that is under way, is not handed out; the new one waits until it has ended.
 *
 * @throws {InvalidMpackError} `unexpected-shape` if the key, or another member, is malformed.
 * @throws {ConfigError} `repo-not-found`.
 * @throws {DatabaseError} If the database is unavailable; call again.
 */
export async function enqueue(options: EnqueueOptions): Promise<EnqueuedJob> {
  const { db, repoId, mpackKey, priority, delayMs, maxAttempts, ...rest } = options;
  const payload = { ...checkPayload({ mpack_key: mpackKey, ...rest }) };
  const job = { repoId, jobType: MPACK_INDEX, payload, priority, delayMs, maxAttempts };
  const { row: { jobId, status }, existing } = await enqueueJob(db, job);
  return { jobId, status, existing };
}

/** Makes sure that the store is the database's; returns it so that a lost mount is noticed later. */
async function claim(parts: StoreAndDatabase): Promise<BlobStore> {
  const { db, store } = parts, known = claims.get(db)?.get(store);
  if (known !== undefined && performance.now() - known.claimedAt < CLAIM_EVERY_MS) {
    return known.store;
  }
  const { databaseId } = await claimStore(parts);
  const owned = known?.store ?? ownedStore(store, databaseId, db.shard);
  const ofDatabase = claims.get(db) ?? new WeakMap<BlobStore, Claim>();
  claims.set(db, ofDatabase.set(store, { store: owned, claimedAt: performance.now() }));
  return owned;
}
