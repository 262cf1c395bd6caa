/**
 * A pack that is stored, hashed, decoded and staged while it comes in, and refused if it names what
 * nobody has brought.
 *
 * @module
 */

import { blobKeyOf, type Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { GhostGuard, type StagedIds } from "../../db/publish/ghost_guard.ts";
import { findMpack } from "../../db/packs.ts";
import { CancelledError, GhostError, isBlobMissing } from "../../errors.ts";
import { trimHeap } from "../../lib/heap.ts";
import { streamMpack } from "./stream_mpack.ts";
import type { IndexResult } from "./result.ts";
import type { BlobStat, BlobStore } from "../../stream/store/blob_store.ts";
import { UploadReader } from "../../stream/store/upload_reader.ts";
import { type Outcome, runAttempt } from "../attempt/run_attempt.ts";
import { checkPayload, type IndexPayload, MPACK_INDEX } from "./index_handler.ts";
import { enqueue } from "../queue/enqueue.ts";
import type { Job } from "../queue/job.ts";

/** A refusal names so many ids at most. */
const MAX_NAMED = 1_000;
const COLLECT_EVERY_BYTES = 16 * 1024 * 1024;

/** What is pushed, by whom, and with what. */
export interface PushOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** Where the pack is kept. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** The repo that is pushed to. */
  readonly repoId: string;
  /** What the digest of the bytes has to be. */
  readonly mpackKey: string;
  /** The bytes, once; a chunk must not change after it was given. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Their number, where it is known beforehand. */
  readonly sizeBytes?: number;
  /** Kept in the job's row. */
  readonly payload?: Omit<IndexPayload, "mpack_key">;
  /** The name left on the job's row. */
  readonly worker: string;
}

/**
 * Takes a pack in one pass. Afterwards it is in the store and indexed; or an error is thrown, and
 * there is nothing of it anywhere but a job that says why.
 *
 * The job is this call's alone: no worker can go on with bytes that came once.
 *
 * @throws {GhostError} If its snapshots name ids that are neither in it nor the repo's.
 * @throws {InvalidMpackError} If the pack is refused for another reason.
 * @throws {StoreError | DatabaseError} If a service is unavailable; push again.
 * @throws Whatever `body` throws.
 */
export async function pushMpack(options: PushOptions): Promise<IndexResult> {
  const { db, config, repoId, mpackKey, worker } = options, { leaseMs } = config;
  const payload = {
    ...checkPayload({ ...options.payload, mpack_key: mpackKey }),
    // The bytes are not in the store yet while objects could be copied out of it.
    materialize: false,
  };
  const claimedAt = performance.now();
  const { claimed } = await enqueue(db, {
    repoId,
    jobType: MPACK_INDEX,
    payload,
    maxAttempts: 1,
    evenIfOpen: true,
    claimAs: { worker, leaseMs },
  });
  let bodyFailure: { readonly thrown: unknown } | undefined;
  const body = noted(options.body, (thrown) => bodyFailure = { thrown });
  const outcome = await runAttempt(
    db,
    claimed!,
    (job, scope) =>
      takeIn(job, { ...options, body }, {
        signal: scope.signal,
        onRenewed: (sentAt: number) => scope.renewed(sentAt),
        onPublish: () => scope.finishing(),
      }),
    { leaseMs, claimedAt, signal: new AbortController().signal },
  );
  // The job was cancelled by it; the caller wants to know the reason.
  if (bodyFailure !== undefined) throw bodyFailure.thrown;
  const result = resultOf(outcome);
  if (config.materialize === "on") await materializeLater(options);
  return result;
}

function resultOf(outcome: Outcome<IndexResult>): IndexResult {
  if (outcome.status === "done") return outcome.result;
  throw outcome.error;
}

async function takeIn(
  job: Job,
  { db, store, config, repoId, mpackKey, body, sizeBytes }: PushOptions,
  scope: {
    readonly signal: AbortSignal;
    readonly onRenewed: (sentAt: number) => void;
    readonly onPublish: () => void;
  },
): Promise<IndexResult> {
  const key = blobKeyOf(config.blobKey, repoId, mpackKey);
  await using guard = new GhostGuard({ db, repoId });
  await using upload = new UploadReader(store, { key, body, sizeBytes });
  const hooks = {
    handler: { manifestId: (objectId: string) => guard.name(objectId) },
    drain: () => guard.isDue ? guard.flush() : Promise.resolve(),
    async beforePublish(lastIds: readonly string[], staged: StagedIds) {
      guard.hold(lastIds);
      const ghosts = await guard.ghosts({ staged });
      if (ghosts.count > 0) throw await ghostError(ghosts);
      const there = await blobInUse(db, store, { key, repoId, mpackKey });
      if (there === undefined) await upload.commit();
      else await upload.discard(there);
    },
  };
  const opened = { ...delegate(store), open: () => Promise.resolve(upload) };
  return await streamMpack(
    { jobId: job.jobId, fence: job.fence, repoId, mpackKey, materialize: false, checkpoint: null },
    { db, config, ...scope, store: opened, hooks },
  );
}

/** Only `open` is another one; the methods of a class do not spread. */
function delegate(store: BlobStore): BlobStore {
  return {
    url: store.url,
    stat: (key, options) => store.stat(key, options),
    open: (key, options) => store.open(key, options),
    put: (key, body, options) => store.put(key, body, options),
    delete: (key, options) => store.delete(key, options),
    list: (prefix, options) => store.list(prefix, options),
    presignPut: (key, options) => store.presignPut(key, options),
  };
}

/** The blob that the repo's readers have pinned: to write it anew would change its version. */
async function blobInUse(
  db: Database,
  store: BlobStore,
  { key, repoId, mpackKey }: { key: string; repoId: string; mpackKey: string },
): Promise<BlobStat | undefined> {
  const known = await findMpack(db, { repoId, mpackKey });
  if (known === undefined || known.blobKey !== key) return undefined;
  try {
    const stat = await store.stat(key);
    return stat.etag === known.etag ? stat : undefined;
  } catch (error) {
    if (isBlobMissing(error)) return undefined;
    throw error;
  }
}

async function ghostError(
  ghosts: { readonly count: number; pages(): AsyncIterable<readonly string[]> },
): Promise<GhostError> {
  const missing: string[] = [];
  for await (const page of ghosts.pages()) {
    missing.push(...page.slice(0, MAX_NAMED - missing.length));
    if (missing.length >= MAX_NAMED) break;
  }
  return new GhostError(missing, ghosts.count);
}

/**
 * A body whose failure cancels the job: nobody but its sender can do anything about it.
 *
 * What was read is garbage soon, in the runtime's own buffers and in those that fetch copies a part
 * into: V8 sees little of it and would let 200 MB of it lie about.
 */
async function* noted(
  body: AsyncIterable<Uint8Array>,
  note: (thrown: unknown) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  try {
    for await (const chunk of body) {
      yield chunk;
      bytes += chunk.length;
      if (bytes % COLLECT_EVERY_BYTES < chunk.length) trimHeap();
    }
  } catch (thrown) {
    note(thrown);
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CancelledError(`Cannot read the pushed pack to its end: ${why}`, { cause: thrown });
  }
}

/** A second job copies the objects out. Another push of the pack may be open, and do no such thing. */
async function materializeLater({ db, config, repoId, mpackKey }: PushOptions): Promise<void> {
  const payload = { mpack_key: mpackKey, materialize: true };
  const { maxAttempts } = config;
  await enqueue(db, { repoId, jobType: MPACK_INDEX, payload, maxAttempts, evenIfOpen: true });
}
