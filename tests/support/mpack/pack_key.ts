/**
 * The key of a pack that is made as a stream.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** `sha256:` and the hex digest of all chunks. */
export async function keyOfPack(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}
