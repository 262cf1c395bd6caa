/**
 * SHA-256 of a stream, in buffers that go round.
 *
 * The hasher owns the buffers: a caller borrows one, fills it, and gives it back to be hashed. How
 * many there are is the pipeline's whole appetite for memory, and running out of them is its
 * backpressure. With the Worker, a buffer's memory is transferred there and back, never copied.
 *
 * @module
 */

import type { HashEngine, Sha256 } from "./hasher.ts";
import { openInline } from "./inline.ts";
import { openWorker } from "./worker_client.ts";

export type { HashEngine, Sha256 };

/** How to open a hasher. */
export interface Sha256Options {
  /** Default `wasm`: portable, and its state can be saved. `native` is faster and cannot. */
  readonly engine?: HashEngine;
  /** Length of each buffer in bytes. Default 1,048,576. */
  readonly bufferBytes?: number;
  /** How many buffers there are. Default 8. */
  readonly buffers?: number;
  /** Whether to hash in a Worker beside the caller. Default true. */
  readonly worker?: boolean;
  /** What `save()` gave earlier, to go on from there. */
  readonly state?: Uint8Array;
  /** How long the Worker may be silent while it is waited for, in milliseconds. Default 120,000. */
  readonly deadlineMs?: number;
}

/** Length of one buffer in bytes: at a quarter of it, 4% of the hashing thread's time were messages. */
export const BUFFER_BYTES = 1024 * 1024;
/** Eight megabytes in flight: reading, decoding, hashing, and some slack for uneven stores. */
export const BUFFERS = 8;
/** A thread hashes a buffer in a millisecond, and takes seconds to start on a crowded machine. */
const DEADLINE_MS = 120_000;

/**
 * Opens a SHA-256.
 *
 * @throws {RangeError} If `state` is not one that this build saved, or the engine cannot load any.
 */
export function openSha256(options: Sha256Options = {}): Promise<Sha256> {
  const { engine = "wasm", worker = true, state } = options;
  const { bufferBytes = BUFFER_BYTES, buffers = BUFFERS, deadlineMs = DEADLINE_MS } = options;
  if (engine === "native" && state) {
    return Promise.reject(new RangeError("Cannot resume a hash: the native engine saves no state"));
  }
  const settings = { engine, bufferBytes, buffers, state, deadlineMs };
  return worker ? openWorker(settings) : openInline(settings);
}
