/**
 * Finds the end of one MessagePack value in a stream of chunks.
 *
 * @module
 */

import {
  headerBytes,
  MAX_HEADER_BYTES,
  TokenReader,
  Type,
  wholeBytes,
} from "../../../stream/mpack/token.ts";

/** Scans one value: nothing is kept but a count, whatever its size and depth. */
export class ValueScanner {
  readonly #token = new TokenReader();
  readonly #header = new Uint8Array(MAX_HEADER_BYTES);
  /** Bytes of a header that a chunk has cut. */
  #headerFilled = 0;
  /** Bytes of a string, binary or extension still to come. */
  #skipBytes = 0;
  /** Values still to come, in all open containers together. */
  #pending = 1;

  /** Whether the value has ended. */
  get isDone(): boolean {
    return this.#pending === 0 && this.#skipBytes === 0 && this.#headerFilled === 0;
  }

  /** Scans on from `at`; returns where the value ended, else the end of the chunk. */
  scan(chunk: Uint8Array, at: number): number {
    const end = chunk.length;
    while (!this.isDone && at < end) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, end - at);
        this.#skipBytes -= skipped;
        at += skipped;
      } else if (this.#headerFilled > 0) {
        this.#header[this.#headerFilled++] = chunk[at++];
        if (this.#headerFilled < headerBytes(this.#header[0])) continue;
        this.#headerFilled = 0;
        this.#take(this.#header, 0);
      } else {
        at = this.#scanWhole(chunk, at);
        if (at === end || this.#pending === 0 || this.#skipBytes > 0) continue;
        this.#header[0] = chunk[at++];
        this.#headerFilled = 1;
      }
    }
    return at;
  }

  /** Scans the headers that are whole; stops at a cut one, at the end, and before bytes to skip. */
  #scanWhole(chunk: Uint8Array, at: number): number {
    const end = chunk.length;
    while (this.#pending > 0 && at < end) {
      const first = chunk[at], whole = wholeBytes(first);
      if (whole > 0 && at + whole <= end) {
        at += whole;
        this.#pending--;
        continue;
      }
      const header = headerBytes(first);
      if (at + header > end) return at;
      this.#take(chunk, at);
      at += header;
      const skipped = Math.min(this.#skipBytes, end - at);
      this.#skipBytes -= skipped;
      at += skipped;
    }
    return at;
  }

  #take(source: Uint8Array, at: number): void {
    this.#token.read(source, at);
    const { type, length } = this.#token;
    this.#pending--;
    if (type === Type.Array) this.#pending += length;
    else if (type === Type.Map) this.#pending += 2 * length;
    else this.#skipBytes = length;
  }
}
