/**
 * A few bytes that outlive their chunk: part of a header, a key, an id.
 *
 * @module
 */

const NONE = new Uint8Array(0);

/** Collects a few bytes from any number of chunks. Memory for them is allocated once, when needed. */
export class KeptBytes {
  /** The kept bytes are the `sizeBytes` bytes from `at` in here. */
  bytes: Uint8Array = NONE;
  at = 0;
  sizeBytes = 0;
  readonly #maxBytes: number;
  #room: Uint8Array | undefined;

  /** Never keeps more than `maxBytes`. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds the bytes of `source` from `at` to `end`. */
  push(source: Uint8Array, at: number, end: number): void {
    const bytes = this.bytes = this.#room ??= new Uint8Array(this.#maxBytes);
    let size = this.sizeBytes;
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
}
