/**
 * Writes many objects as one stream that has the form of an mpack.
 *
 * @module
 */

import { readObjects, type ReadObjectsOptions } from "../objects/read_objects.ts";

/** Small objects are sent together: each chunk of an answer costs 50 µs on its way. */
const CHUNK_BYTES = 256 * 1024;
/** The longest header of an object: of a map, two keys, an id and a content. */
const MAX_HEADER_BYTES = 256;
const MAX_FIX_ARRAY = 15;
const MAX_8 = 0xff;
const MAX_16 = 0xffff;

/** The objects to write: ids that the repo has, each once. */
export interface PackOptions extends Omit<ReadObjectsOptions, "objectIds"> {
  readonly objectIds: readonly string[];
}

/** Yields `{objects: [{object_id, content}, …]}` in the given order; fails at an unreadable one. */
export function packOf(options: PackOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(chunks(options));
}

async function* chunks(
  options: PackOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const chunk = new Chunk();
  chunk.byte(0x81);
  chunk.text("objects");
  chunk.header(options.objectIds.length, { fix: 0x90, fixMax: MAX_FIX_ARRAY, of16: 0xdc });
  for await (const entry of readObjects(options)) {
    const { objectId, sizeBytes, content } = entry;
    if (!chunk.fits(MAX_HEADER_BYTES)) yield chunk.take();
    chunk.byte(0x82);
    chunk.text("object_id");
    chunk.text(objectId);
    chunk.text("content");
    chunk.header(sizeBytes, { of8: 0xc4, of16: 0xc5 });
    if (content !== undefined && chunk.fits(content.length)) {
      chunk.bytes(content);
      continue;
    }
    yield chunk.take();
    yield* entry.chunks();
  }
  yield chunk.take();
}

/** MessagePack in a buffer of fixed length. */
class Chunk {
  #buffer = new Uint8Array(CHUNK_BYTES);
  #filledBytes = 0;
  readonly #utf8 = new TextEncoder();

  fits(sizeBytes: number): boolean {
    return this.#filledBytes + sizeBytes <= CHUNK_BYTES;
  }

  /** What was written so far; goes on in another buffer. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#buffer.subarray(0, this.#filledBytes);
    this.#buffer = new Uint8Array(CHUNK_BYTES);
    this.#filledBytes = 0;
    return taken;
  }

  byte(value: number): void {
    this.#buffer[this.#filledBytes++] = value;
  }

  bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#filledBytes);
    this.#filledBytes += bytes.length;
  }

  /** A key or an id, which have less than 256 bytes. */
  text(value: string): void {
    if (value.length <= 31) this.byte(0xa0 | value.length);
    else this.#number(0xd9, value.length, 1);
    this.#filledBytes += this.#utf8.encodeInto(
      value,
      this.#buffer.subarray(this.#filledBytes),
    ).written;
  }

  /** The header of an array or a binary, whose 32-bit form follows its 16-bit form. */
  header(
    length: number,
    { fix, fixMax = -1, of8, of16 }: {
      readonly fix?: number;
      readonly fixMax?: number;
      readonly of8?: number;
      readonly of16: number;
    },
  ): void {
    if (fix !== undefined && length <= fixMax) this.byte(fix | length);
    else if (of8 !== undefined && length <= MAX_8) this.#number(of8, length, 1);
    else if (length <= MAX_16) this.#number(of16, length, 2);
    else this.#number(of16 + 1, length, 4);
  }

  /** Big-endian, after a byte that names its type. */
  #number(type: number, value: number, sizeBytes: number): void {
    this.byte(type);
    for (let i = sizeBytes - 1; i >= 0; i--) this.byte((value >>> (8 * i)) & 0xff);
  }
}
