/**
 * Helpers to write and to read blobs in tests.
 *
 * @module
 */
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import type { BlobReader } from "../../../src/stream/store/blob_store.ts";

/** Returns pseudo-random bytes, the same for the same seed: a shifted range then differs. */
export function sampleBytes(sizeBytes: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** Yields the bytes in chunks, in one buffer that is used again, as a pipeline does. */
export async function* bodyOf(bytes: Uint8Array, chunkBytes = 64 * 1024) {
  const buffer = new Uint8Array(chunkBytes);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    buffer.set(chunk);
    await Promise.resolve();
    yield buffer.subarray(0, chunk.length);
  }
}

/** Reads the rest of a blob through a buffer of `bufferBytes`, and closes the reader. */
export async function drain(reader: BlobReader, bufferBytes = 64 * 1024): Promise<Uint8Array> {
  await using open = reader;
  const buffer = new Uint8Array(bufferBytes);
  const parts: Uint8Array[] = [];
  while (true) {
    const filledBytes = await open.read(buffer);
    parts.push(buffer.slice(0, filledBytes));
    if (filledBytes < bufferBytes) break;
  }
  return concat(parts);
}

/** Returns all chunks as one array. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(ReadableStream.from(chunks)).arrayBuffer());
}

/** Returns the parts as one array. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Fails if the bytes differ; prints only the first difference. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} bytes, expected ${expected.length}`);
  }
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  if (at !== -1) throw new Error(`byte ${at} is ${actual[at]}, expected ${expected[at]}`);
}

/** Returns a store whose methods can be replaced one by one, without `provesDigests` and `sweep`. */
export function methodsOf(store: BlobStore): BlobStore {
  return {
    url: store.url,
    stat: (...args) => store.stat(...args),
    open: (...args) => store.open(...args),
    put: (...args) => store.put(...args),
    delete: (...args) => store.delete(...args),
    list: (...args) => store.list(...args),
    presignPut: (...args) => store.presignPut(...args),
  };
}
