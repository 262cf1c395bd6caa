/**
 * Opens a pack at its first byte, or where an earlier attempt stopped.
 *
 * @module
 */

import { counted } from "../../lib/numbers.ts";
import { type Config, limitsOf } from "../../config/config.ts";
import { GhostGuard } from "../../db/publish/ghost_guard.ts";
import { stagedRows } from "../../db/publish/stage.ts";
import { InvalidMpackError, isBlobMissing, MpackdError, StoreError } from "../../errors.ts";
import { recordHasher } from "../../hash/record_hash.ts";
import { BUFFER_BYTES, type HashEngine, openSha256, type Sha256 } from "../../hash/sha256.ts";
import { chooseEngine } from "../../hash/choose_engine.ts";
import { type DecoderHooks, MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";
import type { BlobReader, BlobStore } from "../../stream/store/blob_store.ts";
import { withStoreTimeouts } from "../../stream/store/timeouts.ts";
import { type Checkpoint, type HistoryCheckpoint, readCheckpoint } from "./checkpoint.ts";
import type { IndexContext, IndexJob } from "./context.ts";

/** Packs up to this size are hashed on the main thread: a Worker takes about 40 ms to start. */
const INLINE_BYTES = 8 * 1024 * 1024;
/** The buffer of a hasher on the main thread. */
const INLINE_BUFFER_BYTES = 256 * 1024;

/** An open blob, with a decoder and a hasher that stand at its next byte. */
export interface OpenPack extends AsyncDisposable {
  readonly reader: BlobReader;
  readonly decoder: MpackDecoder;
  readonly hasher: Sha256;
  readonly hashEngine: HashEngine;
  /** Where this attempt began to read. */
  readonly openedAtByte: number;
  /** Rows that earlier attempts have staged. */
  readonly rowsStaged: number;
  /** The batches they are in. */
  readonly batches: number;
  /** What earlier attempts have staged of its history. */
  readonly history?: HistoryCheckpoint;
}

/** How to open a pack. */
interface OpenPackOptions {
  readonly blobKey: string;
  /** Hooks for the decoder. */
  readonly hooks?: DecoderHooks;
  readonly signal: AbortSignal;
}

/**
 * Opens the blob at the job's checkpoint, or at its first byte if the checkpoint does not fit.
 *
 * @throws {InvalidMpackError} `limit-exceeded` if the blob is too long.
 * @throws {StoreError | DatabaseError} If a service failed for longer than its retries last.
 */
export async function openPack(
  job: IndexJob,
  context: IndexContext,
  options: OpenPackOptions,
): Promise<OpenPack> {
  const { blobKey, signal } = options, { config } = context;
  const store = withStoreTimeouts(context.store, storeTimeoutMs(config));
  if (job.checkpoint !== null && job.checkpoint !== undefined) {
    const resumed = await resume(job, { ...context, store }, options);
    if (typeof resumed !== "string") return resumed;
    context.onStartOver?.(resumed, job);
  }
  return await openAt(await store.open(blobKey, { signal }), config, options);
}

/** Long after the store's own retries have ended. */
function storeTimeoutMs({ storeIdleMs, storeRetries }: Config): number {
  return 2 * storeIdleMs * (storeRetries + 1);
}

/** Opens the pack at the checkpoint, or returns the reason why that is impossible. */
async function resume(
  job: IndexJob,
  { db, store, config }: IndexContext,
  options: OpenPackOptions,
): Promise<OpenPack | string> {
  const { blobKey, signal } = options;
  const checkpoint = readCheckpoint(job.checkpoint);
  if (!checkpoint) return "this version cannot read the checkpoint";
  if (config.hash === "native" && config.libcrypto === undefined) {
    return "the native hash engine cannot go on from a saved state";
  }
  const staged = await stagedRows(db, job.jobId, checkpoint.batches);
  const { record_batches, guard } = checkpoint.history;
  if (staged.rows !== checkpoint.rows_staged || staged.batches !== checkpoint.batches) {
    return `${counted(staged.rows, "row")} in ${
      counted(staged.batches, "batch", "batches")
    } staged, ` +
      `the checkpoint counts ${checkpoint.rows_staged} in ${checkpoint.batches}`;
  }
  if (staged.recordBatches !== record_batches) {
    return `${counted(staged.recordBatches, "batch", "batches")} of records staged, ` +
      `the checkpoint counts ` +
      `${record_batches}`;
  }
  if (guard !== undefined && !await GhostGuard.canResume(db, guard, job)) {
    return "the ids that its snapshots name are no longer there";
  }
  let reader: BlobReader;
  try {
    reader = await openRest(store, blobKey, checkpoint, signal);
  } catch (error) {
    if (!isBlobMissing(error)) throw error;
    return "the blob was replaced or is gone";
  }
  try {
    return await openAt(reader, config, options, checkpoint);
  } catch (error) {
    // The decoder throws errors of any kind for a state that it cannot load.
    if (error instanceof MpackdError) throw error;
    return (error as Error).message;
  }
}

/** Opens the blob at the checkpoint. If no byte follows, only its version is checked. */
async function openRest(
  store: BlobStore,
  key: string,
  { offset_bytes, size_bytes, etag }: Checkpoint,
  signal: AbortSignal,
): Promise<BlobReader> {
  if (offset_bytes < size_bytes) {
    return await store.open(key, { offsetBytes: offset_bytes, etag, signal });
  }
  const stat = await store.stat(key, { signal });
  if (stat.etag !== etag) {
    throw new StoreError("blob-missing", "Cannot go on: the blob was replaced");
  }
  const close = () => Promise.resolve();
  return { stat, read: () => Promise.resolve(0), close, [Symbol.asyncDispose]: close };
}

async function openAt(
  reader: BlobReader,
  config: Config,
  { hooks }: OpenPackOptions,
  checkpoint?: Checkpoint,
): Promise<OpenPack> {
  try {
    const { sizeBytes } = reader.stat, { maxPackBytes } = config;
    if (sizeBytes > maxPackBytes) {
      throw new InvalidMpackError(
        "limit-exceeded",
        `Cannot accept the pack: maxPackBytes is ${maxPackBytes}, it has ${sizeBytes}`,
      );
    }
    const decoder = new MpackDecoder({
      limits: limitsOf(config),
      hooks,
      history: recordHasher,
      state: checkpoint?.decoder,
    });
    const { hasher, hashEngine } = await openHasher(
      config,
      sizeBytes - decoder.offsetBytes,
      checkpoint,
    );
    return {
      reader,
      decoder,
      hasher,
      hashEngine,
      openedAtByte: decoder.offsetBytes,
      rowsStaged: checkpoint?.rows_staged ?? 0,
      batches: checkpoint?.batches ?? 0,
      ...(checkpoint && { history: checkpoint.history }),
      async [Symbol.asyncDispose]() {
        hasher[Symbol.dispose]();
        await reader.close();
      },
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** A hasher for the last `restBytes` bytes; 0 if their number is not known before the end. */
async function openHasher(
  { hash, libcrypto }: Config,
  restBytes: number,
  checkpoint: Checkpoint | undefined,
): Promise<{ readonly hasher: Sha256; readonly hashEngine: HashEngine }> {
  // A pack that fits one buffer is read at once and never needs a midstate. For it the runtime's own
  // engine takes a tenth of the time that hash-wasm needs to start.
  const isOneBuffer = checkpoint === undefined && restBytes > 0 && restBytes <= INLINE_BUFFER_BYTES;
  const isResumed = checkpoint !== undefined;
  const hashEngine = isOneBuffer
    ? "native"
    : chooseEngine({ hash, libcrypto, restBytes, isResumed });
  const worker = hashEngine !== "native" && restBytes > INLINE_BYTES;
  const inlineBytes = Math.min(restBytes || INLINE_BUFFER_BYTES, INLINE_BUFFER_BYTES);
  const hasher = await openSha256({
    engine: hashEngine,
    ...(isOneBuffer ? {} : { libcrypto }),
    bufferBytes: worker ? BUFFER_BYTES : inlineBytes,
    worker,
    state: checkpoint && Uint8Array.fromHex(checkpoint.midstate),
  });
  return { hasher, hashEngine };
}
