/**
 * Where an attempt begins: at the first byte, or where an earlier one stopped.
 *
 * @module
 */

import { type Checkpoint, readCheckpoint } from "./checkpoint.ts";
import { type Config, limitsOf } from "../../config/config.ts";
import { stagedRows } from "../../db/publish/stage.ts";
import { InvalidMpackError, isBlobMissing, MpackdError, StoreError } from "../../errors.ts";
import { BUFFER_BYTES, openSha256, type Sha256 } from "../../hash/sha256.ts";
import type { IndexContext, IndexJob } from "./context.ts";
import type { BlobReader, BlobStore } from "../../stream/store/blob_store.ts";
import { MpackDecoder, type MpackHandler } from "../../stream/mpack/mpack_decoder.ts";
import { withStoreTimeouts } from "../../stream/store/timeouts.ts";

/** Packs up to this size are hashed on the spot: a Worker takes about 40 ms to start. */
const INLINE_BYTES = 8 * 1024 * 1024;
/** The one buffer of a hasher on the spot. */
const INLINE_BUFFER_BYTES = 256 * 1024;

/** An open blob, and a decoder and a hasher that stand at its next byte. */
export interface Start {
  /** The blob. */
  readonly reader: BlobReader;
  /** The decoder. */
  readonly decoder: MpackDecoder;
  /** The hasher. */
  readonly hasher: Sha256;
  /** Rows that lie staged already. */
  readonly rowsStaged: number;
  /** Batches they lie in. */
  readonly batches: number;
}

type Parts = Pick<IndexContext, "db" | "store" | "config" | "onStartOver">;

/** When a store that answers nothing counts as hung: long after its own retries have ended. */
function storeDeadlineMs({ storeIdleMs, storeRetries }: Config): number {
  return 2 * storeIdleMs * (storeRetries + 1);
}

/** Where the pack lies, and who else wants its bytes. */
export interface StartOptions {
  /** The blob's key. */
  readonly blobKey: string;
  /** Hooks for the decoder. */
  readonly handler?: MpackHandler;
  /** Ends the reading with its reason. */
  readonly signal: AbortSignal;
}

/**
 * Opens the blob at the job's checkpoint, or at its beginning if there is none that fits.
 *
 * @throws {InvalidMpackError} `limit-exceeded` if the blob is too long.
 * @throws {StoreError | DatabaseError} If a service failed for longer than its retries last.
 */
export async function openStart(
  job: IndexJob,
  parts: Parts,
  options: StartOptions,
): Promise<Start> {
  const { blobKey, signal } = options;
  const { config, onStartOver } = parts;
  const store = withStoreTimeouts(parts.store, storeDeadlineMs(config));
  if (job.checkpoint !== null && job.checkpoint !== undefined) {
    const resumed = await resume(job, { ...parts, store }, options);
    if (typeof resumed !== "string") return resumed;
    onStartOver?.(resumed);
  }
  return await startAt(await store.open(blobKey, { signal }), config, options);
}

/** Takes up an earlier attempt's checkpoint, or says why that cannot be. */
async function resume(
  job: IndexJob,
  { db, store, config }: Parts,
  options: StartOptions,
): Promise<Start | string> {
  const { blobKey, signal } = options;
  const checkpoint = readCheckpoint(job.checkpoint);
  if (!checkpoint) return "the checkpoint is none that this version wrote";
  if (config.hash === "native") return "the native hash engine cannot go on from a saved state";
  const staged = await stagedRows(db, job.jobId, checkpoint.batches);
  if (staged.rows !== checkpoint.rows_staged || staged.batches !== checkpoint.batches) {
    return `${staged.rows} rows in ${staged.batches} batches are staged, ` +
      `the checkpoint counts ${checkpoint.rows_staged} in ${checkpoint.batches}`;
  }
  let reader: BlobReader;
  try {
    reader = await openRest(store, blobKey, checkpoint, signal);
  } catch (error) {
    if (!isBlobMissing(error)) throw error;
    return "the blob was replaced or is gone";
  }
  try {
    return await startAt(reader, config, options, checkpoint);
  } catch (error) {
    // Of a state that does not load, hash-wasm and the decoder throw whatever comes of it.
    if (error instanceof MpackdError) throw error;
    return (error as Error).message;
  }
}

/** Opens the blob at the checkpoint; what has been read to its end is only looked up. */
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

async function startAt(
  reader: BlobReader,
  config: Config,
  { handler }: StartOptions,
  checkpoint?: Checkpoint,
): Promise<Start> {
  try {
    const { sizeBytes } = reader.stat, { maxPackBytes, hash } = config;
    if (sizeBytes > maxPackBytes) {
      throw new InvalidMpackError(
        "limit-exceeded",
        `Cannot accept the pack: maxPackBytes is ${maxPackBytes}, it has ${sizeBytes}`,
      );
    }
    const decoder = new MpackDecoder({
      limits: limitsOf(config),
      handler,
      state: checkpoint?.decoder,
    });
    const restBytes = sizeBytes - decoder.offsetBytes;
    // A pack of one buffer is read at once, so no state of its hash is ever wanted; and setting up
    // hash-wasm costs ten times what the runtime's own engine takes for all of it.
    // (Where nobody has said how long it is, it says 0 until it has been read.)
    const fitsBuffer = checkpoint === undefined && sizeBytes > 0 &&
      restBytes <= INLINE_BUFFER_BYTES;
    const worker = hash === "wasm" && restBytes > INLINE_BYTES;
    const hasher = await openSha256({
      engine: fitsBuffer ? "native" : hash,
      bufferBytes: worker
        ? BUFFER_BYTES
        : Math.min(restBytes || INLINE_BUFFER_BYTES, INLINE_BUFFER_BYTES),
      worker,
      state: checkpoint && Uint8Array.fromHex(checkpoint.midstate),
    });
    return {
      reader,
      decoder,
      hasher,
      rowsStaged: checkpoint?.rows_staged ?? 0,
      batches: checkpoint?.batches ?? 0,
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}
