/**
 * Reads one object: one lookup and one ranged GET, hashed on the way.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { ObjectLocation } from "../db/refs.ts";
import type { BlobReader, BlobStore } from "../stream/store/blob_store.ts";
import { locateObject } from "./locate_object.ts";
import { checkedChunks, openLocated, readChecked } from "./check_object.ts";

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
  /** The id as it was pushed: `sha256:` and 64 hex digits, or the digits alone. */
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
}

/**
 * Reads an object that the repo has a ref for.
 *
 * A content of up to 1 MiB is in memory and checked when this returns. A larger one is streamed and
 * checked on the way. A range still reads the whole object, because only the whole can be checked.
 * The empty object needs no request.
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
  const { objectId, sizeBytes } = location;
  const { startBytes, endBytes } = checkByteRange(location, options);
  const { signal } = options;
  const extent = {
    objectId,
    sizeBytes,
    offsetBytes: startBytes,
    lengthBytes: endBytes - startBytes,
  };
  if (sizeBytes <= CHECKED_FIRST_BYTES) {
    const content = await readChecked(store, location, { signal });
    return { ...extent, stream: streamOf(content.subarray(startBytes, endBytes)) };
  }
  const reader = await openLocated(store, location, { signal });
  const chunks = slice(checkedChunks(reader, location), startBytes, endBytes);
  return { ...extent, stream: toStream(chunks, reader) };
}

function streamOf(bytes: Uint8Array<ArrayBuffer>): ObjectContent["stream"] {
  return new ReadableStream({
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

type Chunks = AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;

/** The chunks as a stream without a buffer. Closes the reader when it ends, fails or is cancelled. */
function toStream(chunks: Chunks, reader: BlobReader): ObjectContent["stream"] {
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await chunks.next();
        if (!done) return controller.enqueue(value);
      } catch (error) {
        await reader.close();
        throw error;
      }
      await reader.close();
      controller.close();
    },
    async cancel() {
      // Close the reader first: the generator cannot return during a read.
      await reader.close();
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
  { objectId, sizeBytes }: ObjectLocation,
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
  startBytes: number,
  endBytes: number,
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
