const CHUNK_BYTES = 64 * 1024;

/**
 * Joins small parts to chunks of 64 KiB, so that a consumer handles few of them. Parts of at least
 * that length are passed on as they are.
 */
export async function* inChunks(
  parts: AsyncIterable<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let chunk = new Uint8Array(CHUNK_BYTES), at = 0;
  for await (const part of parts) {
    if (at + part.length > CHUNK_BYTES && at > 0) {
      yield chunk.subarray(0, at);
      chunk = new Uint8Array(CHUNK_BYTES);
      at = 0;
    }
    if (part.length >= CHUNK_BYTES) yield part;
    else {
      chunk.set(part, at);
      at += part.length;
    }
  }
  if (at > 0) yield chunk.subarray(0, at);
}
