/**
 * Indexes a pack while it is uploaded: it is stored, hashed, decoded and staged in one pass. It is
 * refused if its snapshots name objects that neither it nor the repo has.
 *
 * @module
 */

import { blobKeyOf, type Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { GhostGuard, type StagedIds } from "../../db/publish/ghost_guard.ts";
import type { Publisher } from "../../db/publish/publisher.ts";
import { findMpack } from "../../db/packs.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { type Admission, admitPush, requireLeft } from "../../db/quotas/admit_push.ts";
import { CancelledError, GhostError, isBlobMissing } from "../../errors.ts";
import { streamMpack } from "./stream_mpack.ts";
import type { IndexResult } from "./result.ts";
import type { BlobStat, BlobStore } from "../../stream/store/blob_store.ts";
import { UploadReader } from "../../stream/store/upload_reader.ts";
import { type Outcome, runAttempt } from "../attempt/run_attempt.ts";
import type { AttemptScope } from "../attempt/handler.ts";
import { enqueue } from "../queue/enqueue.ts";
import { setPayload } from "../queue/set_payload.ts";
import type { IndexJob, IndexProgress, MpackHooks } from "./context.ts";
import { type BegunPush, PushStarter } from "./begin_push.ts";
import { checkPayload, type IndexPayload, MPACK_INDEX, UNKNOWN_KEY } from "./payload.ts";

/** Most missing ids in a refusal. */
const MAX_MISSING = 1_000;

/** The payload but for the key. */
type PushPayload = Omit<IndexPayload, "mpack_key">;

/** What to push, and with what. */
export interface PushOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** Where the pack is kept. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** The repo that is pushed to. */
  readonly repoId: string;
  /** `sha256:` and the digest that the bytes must have. Undefined: they get the key they have. */
  readonly mpackKey?: string;
  /** The bytes, read once. A chunk is used before the next one is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Their number, if it is known beforehand. */
  readonly sizeBytes?: number;
  /** Kept in the job's row. A function is called once, after the end of the body. */
  readonly payload?:
    | Omit<IndexPayload, "mpack_key">
    | (() => Omit<IndexPayload, "mpack_key"> | Promise<Omit<IndexPayload, "mpack_key">>);
  /** Whether snapshots may name objects that neither the pack nor the repo has. Default false. */
  readonly allowsGhosts?: boolean;
  /** Called after each chunk. */
  readonly onProgress?: (progress: IndexProgress) => void;
  /** The name left on the job's row. */
  readonly worker: string;
  /**
   * Publishes the pack. Default: one of its own.
   *
   * @ignore
   */
  readonly publisher?: Publisher;
  /**
   * Begins the push. Default: one of its own.
   *
   * @ignore
   */
  readonly starter?: PushStarter;
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
 * @throws Errors of `body`.
 */
export async function pushMpack(options: PushOptions): Promise<IndexResult> {
  const { db, config, repoId, mpackKey, worker, sizeBytes } = options, { leaseMs } = config;
  const defaults = quotaDefaultsOf(config);
  const isNamed = mpackKey !== undefined && typeof options.payload !== "function";
  const payload = isNamed
    ? payloadOf(mpackKey, options.payload as PushPayload)
    : { ...knownPart(options.payload), mpack_key: mpackKey ?? UNKNOWN_KEY, materialize: false };
  const claimedAt = performance.now();
  const { starter = new PushStarter(db) } = options;
  const begun = await starter.begin({
    repoId,
    mpackKey,
    sizeBytes,
    branch: payload.branch,
    payload: mpackKey === undefined ? { materialize: false } : { ...payload },
    worker,
    leaseMs,
    defaults,
  });
  const { admission } = begun;
  let bodyError: { readonly thrown: unknown } | undefined;
  const body = new BodyWithinQuota(
    cancellingBody(options.body, (thrown) => bodyError = { thrown }),
    admission,
  );
  const outcome = await runAttempt(
    db,
    begun.job,
    (job, scope) =>
      indexBody({ ...job, payload: { ...payload } }, { ...options, body }, {
        begun,
        scope,
        // Once more when all is known, and nothing of it is stored yet.
        admitStored: async (stored) => {
          if (admission === undefined) return;
          const found = { repoId, sizeBytes: body.sizeBytes, ...stored };
          await admitPush(db, found, { defaults, isPush: false });
        },
      }),
    { leaseMs, claimedAt, isOnly: true, signal: new AbortController().signal },
  );
  // The outcome says only that the job was cancelled.
  if (bodyError !== undefined) throw bodyError.thrown;
  const result = resultOf(outcome);
  if (config.materialize === "on") await materializeLater(options, result.mpack_key);
  return result;
}

/** What is known of a payload before the pack is read. */
function knownPart(payload: PushOptions["payload"]): PushPayload {
  return typeof payload === "object" ? payload : {};
}

/** Objects are copied out of the stored pack, which does not exist yet: see materializeLater(). */
function payloadOf(mpackKey: string, payload: PushPayload | undefined): IndexPayload {
  return { ...checkPayload({ ...payload, mpack_key: mpackKey }), materialize: false };
}

function resultOf(outcome: Outcome<IndexResult>): IndexResult {
  if (outcome.status === "done") return outcome.result;
  throw outcome.error;
}

interface IndexBodyOptions {
  readonly begun: BegunPush;
  readonly scope: AttemptScope;
  /** Checks the quotas for a pack that is about to be stored. */
  readonly admitStored: (pack: { mpackKey: string; objects: number }) => Promise<void>;
}

async function indexBody(
  job: IndexJob,
  options: PushOptions,
  { begun, scope, admitStored }: IndexBodyOptions,
): Promise<IndexResult> {
  const { db, store, config, repoId, body, sizeBytes, publisher, allowsGhosts } = options;
  let mpackKey = options.mpackKey;
  const keyOf = () => blobKeyOf(config.blobKey, repoId, mpackKey!);
  const key = mpackKey === undefined ? keyOf : keyOf();
  await using guard = new GhostGuard({ db, repoId });
  await using upload = new UploadReader(store, { key, body, sizeBytes });
  const hooks: MpackHooks = {
    branch: begun.branch,
    guards: !allowsGhosts,
    decoder: allowsGhosts ? {} : { manifestId: (objectId: string) => guard.name(objectId) },
    async named(found) {
      mpackKey = found;
      const { payload = {} } = options;
      if (options.mpackKey !== undefined && typeof payload !== "function") return job.payload;
      const late = typeof payload === "function" ? await payload() : payload;
      const named = payloadOf(found, late);
      await setPayload(db, job, { payload: named, leaseMs: config.leaseMs });
      return named;
    },
    async drain() {
      if (guard.isDue) await guard.flush();
    },
    async beforePublish(lastIds: readonly string[], staged: StagedIds) {
      if (!allowsGhosts) {
        guard.hold(lastIds);
        const ghosts = await guard.ghosts({ staged });
        if (ghosts.count > 0) throw await ghostError(ghosts);
      }
      await admitStored({ mpackKey: mpackKey!, objects: staged.rows + lastIds.length });
      const known = options.mpackKey === undefined
        ? await findMpack(db, { repoId, mpackKey: mpackKey! })
        : begun.known;
      const there = await blobInUse(store, keyOf(), known);
      if (there === undefined) await upload.commit();
      else await upload.discard(there);
    },
  };
  let isOpen = false;
  const uploading: BlobStore = {
    ...delegate(store),
    open(other, options) {
      // The pack is opened first, and once; after it, packs that its deltas build upon.
      if (isOpen) return store.open(other, options);
      isOpen = true;
      return Promise.resolve(upload);
    },
  };
  const { onProgress } = options;
  // A body comes once, so its hash never goes on from a saved state: the fastest engine does it.
  const hashing: Config = { ...config, hash: "native", libcrypto: undefined };
  const context = { db, config: hashing, store: uploading, publisher, onProgress };
  return await streamMpack(job, context, scope, hooks);
}

/** The store's methods as properties, because those of a class do not spread. */
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

/** The blob of this key, if readers have pinned its version: writing it again would change that. */
async function blobInUse(
  store: BlobStore,
  key: string,
  known: BegunPush["known"],
): Promise<BlobStat | undefined> {
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
    missing.push(...page.slice(0, MAX_MISSING - missing.length));
    if (missing.length >= MAX_MISSING) break;
  }
  return new GhostError(missing, ghosts.count);
}

/** The body, with its error turned into one that cancels the job: only the sender can retry. */
async function* cancellingBody(
  body: AsyncIterable<Uint8Array>,
  onError: (thrown: unknown) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (thrown) {
    onError(thrown);
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CancelledError(`Cannot read the pushed pack to its end: ${why}`, { cause: thrown });
  }
}

/** A body that fails when it has more bytes than the repo and its owner may add. */
class BodyWithinQuota implements AsyncIterable<Uint8Array> {
  /** Bytes read so far. */
  sizeBytes = 0;
  readonly #body: AsyncIterable<Uint8Array>;
  readonly #admission: Admission | undefined;

  constructor(body: AsyncIterable<Uint8Array>, admission: Admission | undefined) {
    this.#body = body;
    this.#admission = admission;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#body) {
      this.sizeBytes += chunk.length;
      if (this.#admission !== undefined) requireLeft(this.#admission, this.sizeBytes);
      yield chunk;
    }
  }
}

/** Enqueues a job that copies the objects out, even if another job of the pack is open. */
async function materializeLater(
  { db, config, repoId }: PushOptions,
  mpackKey: string,
): Promise<void> {
  const payload = { mpack_key: mpackKey, materialize: true };
  const { maxAttempts } = config;
  await enqueue(db, { repoId, jobType: MPACK_INDEX, payload, maxAttempts, evenIfOpen: true });
}
