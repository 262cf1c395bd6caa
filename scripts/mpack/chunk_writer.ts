/**
 * MessagePack as a stream of chunks: headers, strings and raw bytes, written one after the other.
 *
 * It exists because no JavaScript encoder can stop in the middle of a map: they build the whole
 * document first, which a pack of 10 GiB does not allow. Small whole values are still encoded by
 * `@msgpack/msgpack` and appended with `bytes()`.
 *
 * @see {@link https://github.com/msgpack/msgpack/blob/master/spec.md | MessagePack specification}
 * @module
 */

const CHUNK_BYTES = 512 * 1024;
const UTF8 = new TextEncoder();

/** Collects bytes into chunks. A chunk that was handed out is never written to again. */
export class ChunkWriter {
  #chunk = new Uint8Array(CHUNK_BYTES);
  #usedBytes = 0;
  #full: Uint8Array[] = [];

  /** Appends bytes as they are; they are copied. */
  bytes(bytes: Uint8Array): void {
    // Most strings are short: looping beats making two views (a third off 3 million objects).
    if (bytes.length < 128 && bytes.length <= CHUNK_BYTES - this.#usedBytes) {
      for (let i = 0; i < bytes.length; i++) this.#chunk[this.#usedBytes++] = bytes[i];
      return;
    }
    for (let fromByte = 0; fromByte < bytes.length;) {
      const room = this.space(bytes.length - fromByte);
      room.set(bytes.subarray(fromByte, fromByte + room.length));
      fromByte += room.length;
    }
  }

  /** Hands out the next 1 to `maxBytes` bytes of the stream for the caller to fill at once. */
  space(maxBytes: number): Uint8Array {
    if (this.#usedBytes === CHUNK_BYTES) this.#turn();
    const room = this.#chunk.subarray(
      this.#usedBytes,
      Math.min(CHUNK_BYTES, this.#usedBytes + maxBytes),
    );
    this.#usedBytes += room.length;
    return room;
  }

  /** Appends a map header for `pairs` pairs, in the smallest form. */
  map(pairs: number): void {
    if (pairs < 16) this.#byte(0x80 | pairs);
    else if (pairs < 2 ** 16) this.#header(0xde, pairs, 2);
    else this.#header(0xdf, pairs, 4);
  }

  /** Appends an array header for `items` items, in the smallest form. */
  array(items: number): void {
    if (items < 16) this.#byte(0x90 | items);
    else if (items < 2 ** 16) this.#header(0xdc, items, 2);
    else this.#header(0xdd, items, 4);
  }

  /** Appends the header of a bin of `sizeBytes` bytes, in the smallest form. */
  bin(sizeBytes: number): void {
    if (sizeBytes < 2 ** 8) this.#header(0xc4, sizeBytes, 1);
    else if (sizeBytes < 2 ** 16) this.#header(0xc5, sizeBytes, 2);
    else this.#header(0xc6, sizeBytes, 4);
  }

  /** Appends a string of less than 64 KiB. */
  str(text: string | Uint8Array): void {
    const bytes = typeof text === "string" ? UTF8.encode(text) : text;
    if (bytes.length < 32) this.#byte(0xa0 | bytes.length);
    else if (bytes.length < 2 ** 8) this.#header(0xd9, bytes.length, 1);
    else this.#header(0xda, bytes.length, 2);
    this.bytes(bytes);
  }

  /** Yields the chunks that are full by now. Call it often: they wait in memory. */
  *drain(): Generator<Uint8Array> {
    const full = this.#full;
    this.#full = [];
    yield* full;
  }

  /** Yields everything that is left. */
  *end(): Generator<Uint8Array> {
    yield* this.drain();
    if (this.#usedBytes > 0) yield this.#chunk.subarray(0, this.#usedBytes);
    this.#usedBytes = 0;
  }

  /** Whether `drain()` has anything to yield. */
  get isDrainable(): boolean {
    return this.#full.length > 0;
  }

  #turn(): void {
    this.#full.push(this.#chunk);
    this.#chunk = new Uint8Array(CHUNK_BYTES);
    this.#usedBytes = 0;
  }

  #byte(byte: number): void {
    if (this.#usedBytes === CHUNK_BYTES) this.#turn();
    this.#chunk[this.#usedBytes++] = byte;
  }

  #header(tag: number, value: number, widthBytes: number): void {
    this.#byte(tag);
    for (let shift = (widthBytes - 1) * 8; shift >= 0; shift -= 8) this.#byte(value >>> shift);
  }
}
