/**
 * Reads one object: one lookup and one ranged GET, hashed on the way.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { ObjectLocation } from "../db/refs.ts";
import { CancelledError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { locateObject } from "./locate_object.ts";
import { LinkedAbort } from "../lib/abort.ts";
import { DEFAULT_LIMITS } from "../stream/mpack/limits.ts";
import {
  checkedChunks,
  type Chunks,
  openLocated,
  readChecked,
  readStored,
  storedChunks,
} from "./check_object.ts";
import { checkedEncoded, decodeObject } from "./encoded_object.ts";

/** Contents up to this length are checked before the first byte is returned. */
const CHECKED_FIRST_BYTES = 1024 * 1024;

/** A part of an object. */
export interface ByteRange {
  /** First byte, from 0. Default 0. */
  readonly offsetBytes?: number;
  /** The most bytes. Default: to the end. */
  readonly lengthBytes?: number;
}

/** How to read a located object. */
export interface ReadLocatedOptions extends ByteRange {
  /**
   * The most bytes that an encoded content may decode to. More are an `object-mismatch`. Default
   * 4 GiB.
   */
  readonly maxContentBytes?: number;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Which object to read, and from where. */
export interface ReadObjectOptions extends ReadLocatedOptions {
  /** A database whose tables are there (see `migrate()`). */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** `sha256:` and 64 hex digits, or the digits alone, whichever of them was pushed. */
  readonly objectId: string;
}

/** An open object. Read or cancel its stream. */
export interface ObjectContent {
  /** The id. */
  readonly objectId: string;
  /** Length of the whole object in bytes. */
  readonly sizeBytes: number;
  /** Position in the object of the stream's first byte. */
  readonly offsetBytes: number;
  /** Length of the stream in bytes. */
  readonly lengthBytes: number;
  /**
   * The bytes. The last chunk is delivered only after the digest of the whole object has matched. If
   * it does not match, the stream fails with an {@link ObjectError}. A reader that received all
   * bytes therefore received the right ones.
   */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The same bytes, if they are in memory. Then the stream need not be read. */
  readonly content?: Uint8Array<ArrayBuffer>;
}

/**
 * Reads an object that the repo has a ref for.
 *
 * A content of up to 1 MiB is in memory and checked when this returns. A larger one is streamed and
 * checked on the way. A range still reads the whole object, because only the whole can be checked.
 * The empty object needs no request.
 *
 * A content that is encoded is decoded. If the plain bytes are more than 1 MiB, it is read and decoded
 * twice: the first time to check it and to learn their length.
 *
 * @throws {ObjectError} `object-not-found` if the repo has no ref; `object-mismatch` if the bytes do
 * not hash to the id (for a large object, the stream fails with it).
 * @throws {StoreError | DatabaseError} If a service is unavailable, or the blob is missing.
 * @throws {RangeError} If the range is invalid, or begins after the object's end.
 */
export async function readObject(options: ReadObjectOptions): Promise<ObjectContent> {
  return await readLocated(options.store, await locateObject(options), options);
}

/** Reads an object whose location is known. Otherwise like {@link readObject}. */
export async function readLocated(
  store: BlobStore,
  location: ObjectLocation,
  options: ReadLocatedOptions = {},
): Promise<ObjectContent> {
  if (location.encoding !== null) return await readDecoded(store, location, options);
  const { startBytes, endBytes, extent } = extentOf(location, location.sizeBytes, options);
  const { signal } = options;
  if (location.sizeBytes <= CHECKED_FIRST_BYTES) {
    const whole = await readChecked(store, location, { signal });
    const content = whole.subarray(startBytes, endBytes);
    return {
      ...extent,
      content,
      get stream() {
        return streamOf(content);
      },
    };
  }
  const reader = await openLocated(store, location, { signal });
  const chunks = slice(checkedChunks(storedChunks(reader, location), location), {
    startBytes,
    endBytes,
  });
  // Close the reader first: a generator cannot return during a read.
  return { ...extent, stream: toStream(chunks, () => reader.close()) };
}

/**
 * Reads a located object as it is stored: encoded, if its content is. The bytes are checked all the
 * same. Otherwise like {@link readLocated}; lengths and range are of the stored bytes.
 */
export async function readEncoded(
  store: BlobStore,
  location: ObjectLocation,
  options: ReadLocatedOptions = {},
): Promise<ObjectContent> {
  if (location.encoding === null) return await readLocated(store, location, options);
  const { maxContentBytes = DEFAULT_LIMITS.maxContentBytes, signal } = options;
  const { startBytes, endBytes, extent } = extentOf(location, location.sizeBytes, options);
  if (location.sizeBytes <= CHECKED_FIRST_BYTES) {
    const content = await readStored(store, location, { signal });
    await decodeObject(location, () => once(content), { maxContentBytes });
    return { ...extent, stream: streamOf(content.subarray(startBytes, endBytes)) };
  }
  const reader = await openLocated(store, location, { signal });
  const stored = checkedEncoded(location, storedChunks(reader, location), { maxContentBytes });
  const chunks = slice(stored, { startBytes, endBytes });
  return { ...extent, stream: toStream(chunks, () => reader.close()) };
}

/**
 * The length of a located object's plain bytes. To learn that of an encoded one takes decoding it.
 *
 * @throws {ObjectError} `object-mismatch`.
 */
export async function plainSize(
  store: BlobStore,
  location: ObjectLocation,
  { maxContentBytes = DEFAULT_LIMITS.maxContentBytes, signal }: ReadLocatedOptions = {},
): Promise<number> {
  if (location.encoding === null) return location.sizeBytes;
  const stored = storedBytes(store, location, signal);
  return (await decodeObject(location, stored, { maxContentBytes })).sizeBytes;
}

async function readDecoded(
  store: BlobStore,
  location: ObjectLocation,
  options: ReadLocatedOptions,
): Promise<ObjectContent> {
  const { maxContentBytes = DEFAULT_LIMITS.maxContentBytes } = options;
  const stop = new LinkedAbort(options.signal);
  const close = () => {
    stop.abort(new CancelledError("Cannot read on: the reader has closed"));
    stop[Symbol.dispose]();
    return Promise.resolve();
  };
  try {
    const stored = storedBytes(store, location, stop.signal);
    const plain = await decodeObject(location, stored, { maxContentBytes });
    const { startBytes, endBytes, extent } = extentOf(location, plain.sizeBytes, options);
    const chunks = slice(plain.chunks(), { startBytes, endBytes });
    return { ...extent, stream: toStream(chunks, close) };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Reads an encoded content as often as it has to be read: a small one is kept in memory.
 *
 * @returns A function for {@link decodeObject}.
 */
export function storedBytes(
  store: BlobStore,
  location: ObjectLocation,
  signal?: AbortSignal,
): () => Chunks {
  let kept: Uint8Array<ArrayBuffer> | undefined;
  return async function* () {
    if (kept !== undefined) return yield kept;
    if (location.sizeBytes <= CHECKED_FIRST_BYTES) {
      return yield kept = await readStored(store, location, { signal });
    }
    await using reader = await openLocated(store, location, { signal });
    yield* storedChunks(reader, location);
  };
}

/** The part of a content that a caller asked for. */
function extentOf(location: ObjectLocation, sizeBytes: number, range: ByteRange) {
  const { objectId } = location;
  const { startBytes, endBytes } = checkByteRange({ objectId, sizeBytes }, range);
  const lengthBytes = endBytes - startBytes;
  return {
    startBytes,
    endBytes,
    extent: { objectId, sizeBytes, offsetBytes: startBytes, lengthBytes },
  };
}

async function* once(bytes: Uint8Array<ArrayBuffer>): Chunks {
  yield await Promise.resolve(bytes);
}

function streamOf(bytes: Uint8Array<ArrayBuffer>): ObjectContent["stream"] {
  return new ReadableStream({
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

/** The chunks as a stream without a buffer. Calls `close` when it ends, fails or is cancelled. */
function toStream(chunks: Chunks, close: () => Promise<void>): ObjectContent["stream"] {
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await chunks.next();
        if (!done) return controller.enqueue(value);
      } catch (error) {
        await close();
        throw error;
      }
      await close();
      controller.close();
    },
    async cancel() {
      // First, because a generator cannot return during a read.
      await close();
      await chunks.return();
    },
  }, { highWaterMark: 0 });
}

/**
 * Checks the range.
 *
 * @returns The range within the object as a half-open interval.
 */
function checkByteRange(
  { objectId, sizeBytes }: Pick<ObjectLocation, "objectId" | "sizeBytes">,
  { offsetBytes = 0, lengthBytes = Infinity }: ByteRange,
): { startBytes: number; endBytes: number } {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (!isCount(offsetBytes) || !(lengthBytes === Infinity || isCount(lengthBytes))) {
    throw new RangeError(
      `Cannot read ${lengthBytes} bytes from byte ${offsetBytes} of object ${objectId}: ` +
        "this is not a valid range",
    );
  }
  if (offsetBytes > sizeBytes) {
    throw new RangeError(
      `Cannot read object ${objectId} from byte ${offsetBytes}: it has ${sizeBytes} bytes`,
    );
  }
  return { startBytes: offsetBytes, endBytes: Math.min(sizeBytes, offsetBytes + lengthBytes) };
}

/** The bytes of the interval. The other bytes are read, because the check needs them, and dropped. */
async function* slice(
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>,
  { startBytes, endBytes }: { readonly startBytes: number; readonly endBytes: number },
): Chunks {
  let at = 0, held: Uint8Array<ArrayBuffer> | undefined;
  for await (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, startBytes - at), Math.max(0, endBytes - at));
    at += chunk.length;
    if (part.length === 0) continue;
    if (held !== undefined) yield held;
    held = part;
  }
  // Delivered only after the bytes behind it have been checked, too.
  if (held !== undefined) yield held;
}
