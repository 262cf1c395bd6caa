const CHUNK_BYTES = 64 * 1024;
/** A slow client must take a chunk within `MPACK_HTTP_IDLE_MS`: in 30 s that is 9 KB/s. */
const MAX_CHUNK_BYTES = 256 * 1024;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Joins small parts to chunks of 64 KiB, so that a consumer handles few of them, and cuts parts of
 * over 256 KiB. Parts between are passed on as they are.
 */
export async function* inChunks(
  parts: AsyncIterable<Bytes>,
): AsyncGenerator<Bytes, void, undefined> {
  let chunk = new Uint8Array(CHUNK_BYTES), at = 0;
  for await (const part of parts) {
    if (at + part.length > CHUNK_BYTES && at > 0) {
      yield chunk.subarray(0, at);
      chunk = new Uint8Array(CHUNK_BYTES);
      at = 0;
    }
    if (part.length < CHUNK_BYTES) {
      chunk.set(part, at);
      at += part.length;
      continue;
    }
    for (let from = 0; from < part.length; from += MAX_CHUNK_BYTES) {
      yield part.subarray(from, from + MAX_CHUNK_BYTES);
    }
  }
  if (at > 0) yield chunk.subarray(0, at);
}
