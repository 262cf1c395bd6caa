/**
 * SHA-256 of a stream, in a fixed set of buffers.
 *
 * The hasher owns the buffers: the caller borrows one, fills it, and hands it back to be hashed. So
 * their number bounds the pipeline's memory, and waiting for a free one is its backpressure. A
 * buffer is transferred to the Worker and back, never copied.
 *
 * @module
 */

import type { HashEngine, Sha256 } from "./hasher.ts";
import { openInline } from "./inline.ts";
import { openWorker } from "./worker_client.ts";

export type { HashEngine, Sha256 };

/** How to open a hasher. */
export interface Sha256Options {
  /**
   * Default `simd`: its state can be saved. So can that of `wasm`, which is slower, and of `native` with
   * `libcrypto`.
   */
  readonly engine?: HashEngine;
  /** Length of each buffer in bytes. Default 1,048,576. */
  readonly bufferBytes?: number;
  /** How many buffers there are. Default 8. */
  readonly buffers?: number;
  /** Whether to hash in a Worker beside the caller. Default true. */
  readonly worker?: boolean;
  /** What `save()` returned earlier, to go on from there. */
  readonly state?: Uint8Array;
  /** Path of libcrypto, to make the native engine resumable; needs `--allow-ffi`. */
  readonly libcrypto?: string;
  /** How long to wait for an answer of the Worker, in milliseconds. Default 120,000. */
  readonly deadlineMs?: number;
}

/** With buffers of a quarter of this, messages took 4% of the hashing thread's time. */
export const BUFFER_BYTES = 1024 * 1024;
/**
 * Eight megabytes in flight: one each to read, decode and hash, the rest for uneven stores.
 * @internal Exported for tests.
 */
export const BUFFERS = 8;
/** A thread hashes a buffer in milliseconds, but takes seconds to start on a busy machine. */
const DEADLINE_MS = 120_000;

/**
 * Opens a SHA-256.
 *
 * @throws {RangeError} If the engine cannot load `state`.
 */
export function openSha256(options: Sha256Options = {}): Promise<Sha256> {
  const { engine = "simd", worker = true, state, libcrypto } = options;
  const { bufferBytes = BUFFER_BYTES, buffers = BUFFERS, deadlineMs = DEADLINE_MS } = options;
  const settings = { engine, bufferBytes, buffers, state, libcrypto, deadlineMs };
  return worker ? openWorker(settings) : openInline(settings);
}
