/**
 * Turns a pulled reader into the shape that `for await` wants.
 *
 * @module
 */
import type { BlobReader } from "./blob_store.ts";

/** Bytes per chunk unless said otherwise: few turns of the event loop, little memory. */
const DEFAULT_CHUNK_BYTES = 256 * 1024;

/**
 * Reads to the end in chunks the consumer may keep, then closes the reader, also on an early
 * `break`. Every chunk but the last is `chunkBytes` long.
 */
export async function* iterateReader(
  reader: BlobReader,
  chunkBytes: number = DEFAULT_CHUNK_BYTES,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  checkChunkBytes(chunkBytes);
  await using open = reader;
  while (true) {
    const chunk = new Uint8Array(chunkBytes);
    const filledBytes = await open.read(chunk);
    if (filledBytes === 0) return;
    // A copy, so that a short last chunk does not keep a long buffer alive.
    yield filledBytes === chunkBytes ? chunk : chunk.slice(0, filledBytes);
    if (filledBytes < chunkBytes) return;
  }
}

function checkChunkBytes(chunkBytes: number): void {
  if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1) {
    throw new RangeError(`Cannot read in chunks of ${chunkBytes} bytes: 1 is the least`);
  }
}
