/**
 * Objects whose content is encoded: the id is of the plain bytes, so they are decoded to be checked.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import { asMismatch, checkedChunks, type Chunks, mismatch, ObjectCheck } from "./check_object.ts";

/** Plain bytes up to this length stay in memory. */
const KEPT_BYTES = 1024 * 1024;

/** A bound against small contents that decode to very many bytes. */
export interface DecodeOptions {
  /** The most plain bytes of one object. More are an `object-mismatch`. */
  readonly maxContentBytes: number;
}

/** An encoded content after it was decoded and checked once. */
export interface PlainObject {
  /** Length of the plain bytes. */
  readonly sizeBytes: number;
  /** The plain bytes, if they are at most 1 MiB. */
  readonly content?: Uint8Array<ArrayBuffer>;
  /** The plain bytes, decoded and checked once more if they are not in memory. */
  chunks(): Chunks;
}

/**
 * Decodes a content to its end: only that tells its length, which a reader needs before the first
 * byte, and whether it is the object. A frame's header may name a length, but need not, and a
 * content may have several frames.
 *
 * @param stored Reads the encoded bytes. Called once for a small content, else once more for each
 * call of `chunks()`.
 * @throws {ObjectError} `object-mismatch`.
 */
export async function decodeObject(
  location: ObjectLocation,
  stored: () => AsyncIterable<Uint8Array>,
  options: DecodeOptions,
): Promise<PlainObject> {
  const check = new ObjectCheck(location);
  let kept: Uint8Array<ArrayBuffer>[] = [], sizeBytes = 0;
  for await (const chunk of plainChunks(location, stored(), options)) {
    check.update(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes <= KEPT_BYTES) kept.push(chunk);
    else kept = [];
  }
  check.finish();
  if (sizeBytes > KEPT_BYTES) {
    const again = () => checkedChunks(plainChunks(location, stored(), options), location);
    return { sizeBytes, chunks: again };
  }
  const content = join(kept, sizeBytes);
  return {
    sizeBytes,
    content,
    async *chunks() {
      yield await Promise.resolve(content);
    },
  };
}

/**
 * Passes an encoded content on as it is. The last chunk is delivered only after the plain bytes have
 * been checked.
 *
 * @throws {ObjectError} `object-mismatch`.
 */
export async function* checkedEncoded(
  location: ObjectLocation,
  stored: AsyncIterable<Uint8Array<ArrayBuffer>>,
  options: DecodeOptions,
): Chunks {
  const check = new ObjectCheck(location), passed: Uint8Array<ArrayBuffer>[] = [];
  async function* note(): Chunks {
    for await (const chunk of stored) {
      passed.push(chunk);
      yield chunk;
    }
  }
  for await (const plain of plainChunks(location, note(), options)) {
    check.update(plain);
    while (passed.length > 1) yield passed.shift()!;
  }
  check.finish();
  yield* passed;
}

/** Decodes the content, with errors that name the object. */
async function* plainChunks(
  location: ObjectLocation,
  stored: AsyncIterable<Uint8Array>,
  { maxContentBytes: maxBytes }: DecodeOptions,
): Chunks {
  const { encoding } = location;
  if (encoding !== "zstd") {
    throw mismatch(location, `their encoding is ${JSON.stringify(encoding)}`);
  }
  // Loaded here, because most contents are not encoded.
  const { decodeZstd } = await import("../stream/zstd/decode_zstd.ts");
  try {
    yield* decodeZstd(stored, { maxBytes });
  } catch (error) {
    throw asMismatch(location, error);
  }
}

function join(chunks: readonly Uint8Array[], sizeBytes: number): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(sizeBytes);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
