/**
 * Hashes on the caller's thread: no start-up cost, so it is for small packs.
 *
 * @module
 */

import { openCore } from "./engine.ts";
import type { HasherSettings, Sha256 } from "./hasher.ts";

/** Opens a hasher that hashes inside `update()`. */
export async function openInline({ engine, bufferBytes, ...how }: HasherSettings): Promise<Sha256> {
  const core = await openCore(engine, how);
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
