/**
 * The hasher on the caller's own thread: no start-up cost, right for small packs.
 *
 * @module
 */

import { openCore } from "./engine.ts";
import type { HashEngine, Sha256 } from "./sha256.ts";

/** What both ways of hashing need to know. */
export interface HasherSettings {
  /** Which core. */
  readonly engine: HashEngine;
  /** Length of each buffer in bytes. */
  readonly bufferBytes: number;
  /** How many buffers there are; one is enough inline. */
  readonly buffers: number;
  /** Where to go on. */
  readonly state?: Uint8Array;
  /** How long a thread may be silent while it is waited for, in milliseconds. */
  readonly deadlineMs: number;
}

/** Opens a hasher that hashes inside `update()`. */
export async function openInline({ engine, bufferBytes, state }: HasherSettings): Promise<Sha256> {
  const core = await openCore(engine, state);
  const buffer = new Uint8Array(bufferBytes);
  let bytesHashed = 0;
  return {
    get bytesHashed() {
      return bytesHashed;
    },
    borrow: () => Promise.resolve(buffer),
    update(bytes, sizeBytes) {
      core.update(bytes.subarray(0, sizeBytes));
      bytesHashed += sizeBytes;
    },
    save: () => Promise.resolve(core.save()),
    digest: () => Promise.resolve(core.digest()),
    [Symbol.dispose]() {},
  };
}
