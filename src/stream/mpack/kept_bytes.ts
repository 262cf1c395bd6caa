/**
 * A few bytes that outlive their chunk: part of a header, a key, an id.
 *
 * @module
 */

const NONE = new Uint8Array(0);

const NO_ROOM = new Uint8Array(0);
const FIRST_BYTES = 256;
/** A larger room, for a long message, is not kept. */
const KEPT_BYTES = 64 * 1024;

/** Collects a few bytes from any number of chunks. Memory for them grows as they come. */
export class KeptBytes {
  /** The kept bytes are the `sizeBytes` bytes from `at` in here. */
  bytes: Uint8Array = NONE;
  at = 0;
  sizeBytes = 0;
  readonly #maxBytes: number;
  #room: Uint8Array<ArrayBuffer> = NO_ROOM;

  /** Never keeps more than `maxBytes`. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds the bytes of `source` from `at` to `end`. */
  push(source: Uint8Array, at: number, end: number): void {
    let size = this.sizeBytes;
    if (size + end - at > this.#room.length) this.#grow(size + end - at);
    const bytes = this.bytes = this.#room;
    // For tens of bytes a loop is faster than set() with a subarray().
    for (; at < end; at++) bytes[size++] = source[at];
    this.sizeBytes = size;
  }

  /** Refers to these bytes without a copy until `clear()`; nothing may be kept yet. */
  lend(source: Uint8Array, at: number, end: number): void {
    this.bytes = source;
    this.at = at;
    this.sizeBytes = end - at;
  }

  /** Forgets the bytes. */
  clear(): void {
    this.bytes = NONE;
    this.at = 0;
    this.sizeBytes = 0;
    if (this.#room.length > KEPT_BYTES) this.#room = NO_ROOM;
  }

  /** A view of the bytes, valid until they change. */
  view(): Uint8Array {
    return this.bytes.subarray(this.at, this.at + this.sizeBytes);
  }

  equals(other: Uint8Array): boolean {
    const { bytes, at } = this;
    if (this.sizeBytes !== other.length) return false;
    for (let i = 0; i < other.length; i++) if (bytes[at + i] !== other[i]) return false;
    return true;
  }

  /** The bytes in hex. */
  save(): string {
    return this.view().toHex();
  }

  /** Restores what `save()` returned. */
  load(hex: string): void {
    this.clear();
    const saved = Uint8Array.fromHex(hex);
    if (saved.length > this.#maxBytes) throw new RangeError("Cannot keep bytes: they are too many");
    this.push(saved, 0, saved.length);
  }

  #grow(neededBytes: number): void {
    const old = this.#room;
    let sizeBytes = Math.max(FIRST_BYTES, 2 * old.length);
    while (sizeBytes < neededBytes) sizeBytes *= 2;
    this.#room = new Uint8Array(Math.min(sizeBytes, this.#maxBytes));
    this.#room.set(old.subarray(0, this.sizeBytes));
  }
}
