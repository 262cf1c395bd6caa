/**
 * Bytes that have to outlive their chunk: a header that was cut, a key, an id.
 *
 * @module
 */

/** A few bytes, put together from however many chunks; the room for them is taken once. */
export class KeptBytes {
  /** The room; only the first `sizeBytes` bytes mean something. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many are kept. */
  sizeBytes = 0;

  /** Keeps nothing yet, and never more than `maxBytes`. */
  constructor(maxBytes: number) {
    this.bytes = new Uint8Array(maxBytes);
  }

  /** Adds the bytes of `source` from `at` to `end`. */
  push(source: Uint8Array, at: number, end: number): void {
    const { bytes } = this;
    let size = this.sizeBytes;
    // These are tens of bytes: set() with a subarray() costs more than the loop.
    for (; at < end; at++) bytes[size++] = source[at];
    this.sizeBytes = size;
  }

  /** The bytes kept, valid until they change. */
  view(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.sizeBytes);
  }

  /** Whether these are the bytes kept. */
  equals(other: Uint8Array): boolean {
    if (this.sizeBytes !== other.length) return false;
    for (let i = 0; i < other.length; i++) if (this.bytes[i] !== other[i]) return false;
    return true;
  }

  /** The bytes kept in hex. */
  save(): string {
    return this.view().toHex();
  }

  /** Keeps what `save()` gave, and nothing else. */
  load(hex: string): void {
    const saved = Uint8Array.fromHex(hex);
    this.bytes.set(saved);
    this.sizeBytes = saved.length;
  }
}
