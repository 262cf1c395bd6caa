/**
 * Hashes a body while it passes by.
 *
 * @module
 */

import { openSha256 } from "../../hash/sha256.ts";

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
  using hasher = await openSha256({ engine: "native", worker: false });
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    sizeBytes += chunk.length;
    for (let at = 0; at < chunk.length;) {
      const buffer = await hasher.borrow();
      const part = chunk.subarray(at, at + buffer.length);
      buffer.set(part);
      hasher.update(buffer, part.length);
      at += part.length;
    }
    yield chunk;
  }
  check({ sha256: await hasher.digest(), sizeBytes });
}
