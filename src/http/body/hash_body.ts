/**
 * Hashes a body while it passes by.
 *
 * @module
 */

import { openNativeCore } from "../../hash/engine.ts";

/** What a body was. */
export interface PassedBody {
  /** In hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Passes chunks on; before it ends, `check` may throw: then whoever stores them has no whole body. */
export async function* hashed<T extends Uint8Array>(
  chunks: AsyncIterable<T>,
  check: (passed: PassedBody) => void,
): AsyncGenerator<T, void, undefined> {
  const hash = openNativeCore();
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    sizeBytes += chunk.length;
    hash.update(chunk);
    yield chunk;
  }
  check({ sha256: hash.digest(), sizeBytes });
}
