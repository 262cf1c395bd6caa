/**
 * Reads an open blob with `for await`.
 *
 * @module
 */
import type { BlobReader } from "./blob_store.ts";

/** Large enough for few turns of the event loop, small enough to hold several. */
const DEFAULT_CHUNK_BYTES = 256 * 1024;

/**
 * Yields the rest of the blob in chunks that the consumer may keep, all but the last of `chunkBytes`.
 * Closes the reader at the end, on an error and on an early `break`.
 */
export async function* iterateReader(
  reader: BlobReader,
  chunkBytes: number = DEFAULT_CHUNK_BYTES,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  await using open = reader;
  while (true) {
    const chunk = new Uint8Array(chunkBytes);
    const filledBytes = await open.read(chunk);
    if (filledBytes === 0) return;
    // Copied, so that a short last chunk does not keep the whole buffer alive.
    yield filledBytes === chunkBytes ? chunk : chunk.slice(0, filledBytes);
    if (filledBytes < chunkBytes) return;
  }
}
