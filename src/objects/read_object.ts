/**
 * Reading one object: one lookup, one ranged GET, hashed as it goes.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { ObjectLocation } from "../db/refs.ts";
import type { BlobReader, BlobStore } from "../stream/store/blob_store.ts";
import { locateObject } from "./locate.ts";
import { checkedChunks, openLocated, readChecked } from "./verify.ts";

/** Contents up to this length are checked before their first byte is handed out. */
const CHECKED_FIRST_BYTES = 1024 * 1024;

/** A part of an object. */
export interface ByteRange {
  /** First byte wanted, from 0. Default 0. */
  readonly offsetBytes?: number;
  /** How many bytes at most. Default: to the end. */
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
  /** The store that holds the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** The id as it was pushed: `sha256:` and 64 hex digits, or the digits alone. */
  readonly objectId: string;
}

/** An object being handed out. Read or cancel its stream. */
export interface ObjectContent {
  /** The id. */
  readonly objectId: string;
  /** Length of the whole object in bytes. */
  readonly sizeBytes: number;
  /** First byte of the object that the stream gives. */
  readonly offsetBytes: number;
  /** How many bytes the stream gives. */
  readonly lengthBytes: number;
  /**
   * The bytes. The last of them come after the digest of the whole object has matched, so whoever
   * got all of them got the right ones; else the stream fails with an {@link ObjectError}.
   */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Reads an object that the repo has a ref for.
 *
 * Up to 1 MiB, the content is in memory and checked when this returns; a larger one is streamed and
 * checked as it goes. A range costs the reading of the whole object: only that can be checked. The
 * empty object costs no request.
 *
 * @throws {ObjectError} `object-not-found` if the repo has no ref, whatever other repos hold;
 * `object-mismatch` if the bytes are not the object's (of a large one: the stream fails with it).
 * @throws {StoreError | DatabaseError} If a service is unavailable, or the blob is gone.
 * @throws {RangeError} If the range is none, or begins after the object's end.
 */
export async function readObject(options: ReadObjectOptions): Promise<ObjectContent> {
  return await readLocated(options.store, await locateObject(options), options);
}

/** Reads an object whose location is known; otherwise as {@link readObject}. */
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

/** Bytes that are in memory, as a stream. */
function streamOf(bytes: Uint8Array<ArrayBuffer>): ObjectContent["stream"] {
  return new ReadableStream({
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

type Chunks = AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;

/** The chunks as a stream that holds none of them; its end, however it comes, closes the reader. */
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
      // First the reader: a read under way would keep the generator waiting.
      await reader.close();
      await chunks.return();
    },
  }, { highWaterMark: 0 });
}

/**
 * The range within the object as a half-open interval.
 *
 * @throws {RangeError} If it is none.
 */
function checkByteRange(
  { objectId, sizeBytes }: ObjectLocation,
  { offsetBytes = 0, lengthBytes = Infinity }: ByteRange,
): { startBytes: number; endBytes: number } {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (!isCount(offsetBytes) || !(lengthBytes === Infinity || isCount(lengthBytes))) {
    throw new RangeError(
      `Cannot read ${lengthBytes} bytes from byte ${offsetBytes} of object ${objectId}: ` +
        "this is no range",
    );
  }
  if (offsetBytes > sizeBytes) {
    throw new RangeError(
      `Cannot read object ${objectId} from byte ${offsetBytes}: it has ${sizeBytes} bytes`,
    );
  }
  return { startBytes: offsetBytes, endBytes: Math.min(sizeBytes, offsetBytes + lengthBytes) };
}

/** The bytes of the interval; the rest is read, and so checked, and dropped. */
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
  // Held back until everything behind it was checked too.
  if (held !== undefined) yield held;
}
