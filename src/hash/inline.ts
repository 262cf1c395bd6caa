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
  let buffer: Uint8Array<ArrayBuffer> | undefined, bytesHashed = 0;
  const hash = (bytes: Uint8Array) => {
    core.update(bytes);
    bytesHashed += bytes.length;
  };
  return {
    get bytesHashed() {
      return bytesHashed;
    },
    borrow: () => Promise.resolve(buffer ??= new Uint8Array(bufferBytes)),
    update: (bytes, sizeBytes) => hash(bytes.subarray(0, sizeBytes)),
    hash,
    save: () => Promise.resolve(core.save()),
    digest: () => Promise.resolve(core.digest()),
    [Symbol.dispose]() {},
  };
}
