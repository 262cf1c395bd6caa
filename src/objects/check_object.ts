/**
 * Reads the bytes of one located object and checks that they hash to its id.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import { ObjectError } from "../errors.ts";
import { isSameId } from "../lib/ids.ts";
import { ObjectHash } from "../hash/object_hash.ts";
import { ZstdError } from "../stream/zstd/zstd_error.ts";
import { isOtherVersion, openAnyVersion } from "./open_version.ts";
import type { BlobReader, BlobStore } from "../stream/store/blob_store.ts";

/** The error for bytes that do not hash to the id. Names the object, the mpack and the range. */
export function mismatch(
  location: ObjectLocation,
  why: string,
  options: ErrorOptions = {},
): ObjectError {
  const { objectId, mpackKey, contentOffset, sizeBytes } = location;
  return new ObjectError(
    "object-mismatch",
    `Cannot read object ${objectId}, bytes ${contentOffset} to ${contentOffset + sizeBytes} ` +
      `of mpack ${mpackKey}: ${why}`,
    options,
  );
}

/** Hashes a content chunk by chunk and compares the digest with the id. */
export class ObjectCheck {
  readonly #location: ObjectLocation;
  readonly #hash = new ObjectHash();

  constructor(location: ObjectLocation) {
    this.#location = location;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /**
   * Compares, after the last chunk.
   *
   * @throws {ObjectError} `object-mismatch`.
   */
  finish(): void {
    const found = this.#hash.digest();
    if (isSameId(found, this.#location.objectId)) return;
    throw mismatch(this.#location, `they hash to ${found}`);
  }
}

/**
 * Refuses an object that an audit found damaged.
 *
 * @throws {ObjectError} `object-mismatch`.
 */
export function refuseDamaged(location: ObjectLocation): void {
  const { damagedAt } = location;
  if (damagedAt === null) return;
  throw mismatch(
    location,
    `an audit found them damaged at ${damagedAt.toISOString()}; push the object again to repair it`,
  );
}

/**
 * Opens the object's byte range in its mpack.
 *
 * @throws {ObjectError} `object-mismatch` if the blob is too short.
 * @throws {StoreError} If the blob is missing, or the store unavailable.
 */
export async function openLocated(
  store: BlobStore,
  location: ObjectLocation,
  options: { readonly signal?: AbortSignal } = {},
): Promise<BlobReader> {
  const { blobKey, etag, contentOffset, sizeBytes } = location;
  const range = { offsetBytes: contentOffset, lengthBytes: sizeBytes };
  let reader: BlobReader;
  try {
    reader = await openAnyVersion(store, blobKey, { ...range, etag, signal: options.signal });
  } catch (error) {
    throw asMismatch(location, error);
  }
  if (reader.stat.sizeBytes >= contentOffset + sizeBytes) return reader;
  await reader.close();
  throw mismatch(location, `the blob has ${reader.stat.sizeBytes} bytes`);
}

/** Converts a store error that is about the object's bytes; returns other errors as they are. */
export function asMismatch(location: ObjectLocation, error: unknown): unknown {
  const options = { cause: error };
  if (error instanceof RangeError) return mismatch(location, "the blob is too short", options);
  if (error instanceof ZstdError) return mismatch(location, error.message, options);
  if (!isOtherVersion(error)) return error;
  return mismatch(location, "the blob is not the one that was indexed", options);
}

/** Reads a whole content into memory, as it is stored and unchecked. */
export async function readStored(
  store: BlobStore,
  location: ObjectLocation,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const content = new Uint8Array(location.sizeBytes);
  // A store answers an empty range with an error.
  if (content.length > 0) {
    await using reader = await openLocated(store, location, options);
    await fill(reader, location, content);
  }
  return content;
}

/**
 * Reads a whole plain content into memory and checks it.
 *
 * @throws {ObjectError} `object-mismatch`.
 * @throws {StoreError} If the blob is missing, or the store unavailable.
 */
export async function readChecked(
  store: BlobStore,
  location: ObjectLocation,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const content = await readStored(store, location, options);
  const check = new ObjectCheck(location);
  check.update(content);
  check.finish();
  return content;
}

/** Chunk size for large objects. */
const CHUNK_BYTES = 256 * 1024;

/** Chunks that the consumer may keep. */
export type Chunks = AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;

/**
 * Reads the next content from an open blob in chunks, as it is stored.
 *
 * @param reader Must be at the first byte of the content. Ends up behind its last byte.
 * @throws {ObjectError} `object-mismatch` if the blob ends earlier or was replaced meanwhile.
 */
export async function* storedChunks(
  reader: Pick<BlobReader, "read">,
  location: ObjectLocation,
): Chunks {
  for (let leftBytes = location.sizeBytes; leftBytes > 0;) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, leftBytes));
    await fill(reader, location, chunk);
    leftBytes -= chunk.length;
    yield chunk;
  }
}

/**
 * Passes a plain content on and hashes it. The last chunk is delivered only after the digest has
 * matched, so a consumer that received all bytes received the right ones.
 *
 * @throws {ObjectError} `object-mismatch`.
 */
export async function* checkedChunks(
  plain: AsyncIterable<Uint8Array<ArrayBuffer>>,
  location: ObjectLocation,
): Chunks {
  const check = new ObjectCheck(location);
  let held: Uint8Array<ArrayBuffer> | undefined;
  for await (const chunk of plain) {
    check.update(chunk);
    if (held !== undefined) yield held;
    held = chunk;
  }
  check.finish();
  if (held !== undefined) yield held;
}

/**
 * Reads exactly as many bytes as `into` has.
 *
 * @throws {ObjectError} `object-mismatch` if the blob ends earlier or was replaced meanwhile.
 */
async function fill(
  reader: Pick<BlobReader, "read">,
  location: ObjectLocation,
  into: Uint8Array,
): Promise<void> {
  let readBytes: number;
  try {
    readBytes = await reader.read(into);
  } catch (error) {
    throw asMismatch(location, error);
  }
  if (readBytes < into.length) throw mismatch(location, "the blob ended before them");
}
