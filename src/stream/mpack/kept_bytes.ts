/**
 * Bytes that have to outlive their chunk: a header that was cut, a key, an id.
 *
 * @module
 */

const NONE = new Uint8Array(0);

/** A few bytes, put together from however many chunks; the room for them is taken once, if at all. */
export class KeptBytes {
  /** Where they lie: the `sizeBytes` bytes from `at`. */
  bytes: Uint8Array = NONE;
  /** The first of them in `bytes`. */
  at = 0;
  /** How many are kept. */
  sizeBytes = 0;
  readonly #maxBytes: number;
  #room: Uint8Array | undefined;

  /** Keeps nothing yet, and never more than `maxBytes`. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds the bytes of `source` from `at` to `end`. */
  push(source: Uint8Array, at: number, end: number): void {
    const bytes = this.bytes = this.#room ??= new Uint8Array(this.#maxBytes);
    let size = this.sizeBytes;
    // These are tens of bytes: set() with a subarray() costs more than the loop.
    for (; at < end; at++) bytes[size++] = source[at];
    this.sizeBytes = size;
  }

  /** Stands for these bytes where they lie, until `clear()`; none may be kept. */
  lend(source: Uint8Array, at: number, end: number): void {
    this.bytes = source;
    this.at = at;
    this.sizeBytes = end - at;
  }

  /** Keeps nothing, and lets go of what was lent. */
  clear(): void {
    this.bytes = NONE;
    this.at = 0;
    this.sizeBytes = 0;
  }

  /** The bytes kept, valid until they change. */
  view(): Uint8Array {
    return this.bytes.subarray(this.at, this.at + this.sizeBytes);
  }

  /** Whether these are the bytes kept. */
  equals(other: Uint8Array): boolean {
    const { bytes, at } = this;
    if (this.sizeBytes !== other.length) return false;
    for (let i = 0; i < other.length; i++) if (bytes[at + i] !== other[i]) return false;
    return true;
  }

  /** The bytes kept in hex. */
  save(): string {
    return this.view().toHex();
  }

  /** Keeps what `save()` gave, and nothing else. */
  load(hex: string): void {
    this.clear();
    const saved = Uint8Array.fromHex(hex);
    if (saved.length > this.#maxBytes) throw new RangeError("Cannot keep bytes: they are too many");
    this.push(saved, 0, saved.length);
  }
}
