/**
 * Reading one located object: the blob in its pinned version, the range, the digest, the verdict.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import { ObjectError, StoreError } from "../errors.ts";
import { isSameId, ObjectHash } from "../hash/object_hash.ts";
import type { BlobReader, BlobStore } from "../stream/store/blob_store.ts";

/** The error of an object whose bytes are not its id's; names the object, the mpack and the range. */
export function mismatch(
  location: ObjectLocation,
  why: string,
  options: ErrorOptions = {},
): ObjectError {
  const { objectId, mpackKey, contentOffset, sizeBytes } = location;
  return new ObjectError(
    "object-mismatch",
    `Cannot hand out object ${objectId}, bytes ${contentOffset} to ${contentOffset + sizeBytes} ` +
      `of mpack ${mpackKey}: ${why}`,
    options,
  );
}

/** Compares a content that passes by with the id it is filed under. */
export class ObjectCheck {
  readonly #location: ObjectLocation;
  readonly #hash = new ObjectHash();

  /** Starts with nothing seen. */
  constructor(location: ObjectLocation) {
    this.#location = location;
  }

  /** The next bytes of the content. */
  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /**
   * The content has ended.
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
 * Throws if the ref of this object is known to point at other bytes.
 *
 * @throws {ObjectError} `object-mismatch`.
 */
export function refuseDamaged(location: ObjectLocation): void {
  const { damagedAt } = location;
  if (damagedAt === null) return;
  throw mismatch(
    location,
    `an audit found them damaged at ${damagedAt.toISOString()}; push the object again to heal it`,
  );
}

/**
 * Opens the object's mpack in the version that was indexed, for the object's bytes only.
 *
 * @throws {ObjectError} `object-mismatch` if the blob is another version, or too short.
 * @throws {StoreError} If the blob is gone, or the store unavailable.
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
    reader = await store.open(blobKey, { ...range, etag, signal: options.signal });
  } catch (error) {
    throw asMismatch(location, error);
  }
  if (reader.stat.sizeBytes >= contentOffset + sizeBytes) return reader;
  await reader.close();
  throw mismatch(location, `the blob has ${reader.stat.sizeBytes} bytes`);
}

/** What the store said, as a verdict on the object where it is one. */
export function asMismatch(location: ObjectLocation, error: unknown): unknown {
  const options = { cause: error };
  if (error instanceof RangeError) return mismatch(location, "the blob is too short", options);
  const isReplaced = error instanceof StoreError && error.status === 412;
  if (!isReplaced) return error;
  return mismatch(location, "the blob is not the one that was indexed", options);
}

/**
 * Reads a whole content into memory and checks it.
 *
 * @throws {ObjectError} `object-mismatch`.
 * @throws {StoreError} If the blob is gone, or the store unavailable.
 */
export async function readChecked(
  store: BlobStore,
  location: ObjectLocation,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const content = new Uint8Array(location.sizeBytes);
  // Nothing to ask for: a store would answer an empty range with an error.
  if (content.length > 0) {
    await using reader = await openLocated(store, location, options);
    await fill(reader, location, content);
  }
  const check = new ObjectCheck(location);
  check.update(content);
  check.finish();
  return content;
}

/** How much of a large object is read at once, in bytes. */
export const CHUNK_BYTES = 256 * 1024;

/**
 * Reads the next content from an open blob in chunks, hashing as it goes. The last chunk is held
 * back until the digest has matched, so that a consumer that got all bytes got the right ones.
 *
 * @param reader Stands at the first byte of the content, and afterwards at the first byte behind.
 * @throws {ObjectError} `object-mismatch`.
 */
export async function* checkedChunks(
  reader: Pick<BlobReader, "read">,
  location: ObjectLocation,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const check = new ObjectCheck(location);
  let held: Uint8Array<ArrayBuffer> | undefined;
  for (let leftBytes = location.sizeBytes; leftBytes > 0;) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, leftBytes));
    await fill(reader, location, chunk);
    check.update(chunk);
    leftBytes -= chunk.length;
    if (held !== undefined) yield held;
    held = chunk;
  }
  check.finish();
  if (held !== undefined) yield held;
}

/**
 * Reads exactly as many bytes as `into` has.
 *
 * @throws {ObjectError} `object-mismatch` if the blob ends before or was replaced meanwhile.
 */
export async function fill(
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
