/**
 * The rows found and not yet taken, in columns.
 *
 * Ids are kept as bytes, one after the other with a comma between, and become strings all at once:
 * a string made for each of them was a quarter of the decoder's time on small objects.
 *
 * @module
 */

import { idText } from "./object_id.ts";
import type { ObjectRows, OrderState } from "./types.ts";

const FIRST_BYTES = 4096;
const COMMA = 0x2c;
const ASCII = new TextDecoder();

/** Collects rows, and watches whether their ids keep rising. */
export class RowColumns {
  /** Whether each id so far was greater than the one before it. */
  sortedUnique = true;
  /** How many rows `take()` would return. */
  get length(): number {
    return this.#contentOffsets.length;
  }

  readonly #isKept: boolean;
  #ids = new Uint8Array(FIRST_BYTES);
  /** The rows' ids are from here to `#end`; before it may lie the last id of rows taken already. */
  #begin = 0;
  #end = 0;
  #lastAt = 0;
  #lastBytes = 0;
  #contentOffsets: number[] = [];
  #sizesBytes: number[] = [];

  /** Starts with no rows; `isKept` false only watches the order. */
  constructor(options: { isKept: boolean; state?: OrderState }) {
    this.#isKept = options.isKept;
    if (!options.state) return;
    const { lastId, sortedUnique } = options.state;
    this.sortedUnique = sortedUnique;
    new TextEncoder().encodeInto(lastId, this.#ids);
    this.#begin = this.#end = this.#lastBytes = lastId.length;
  }

  /** Adds a row whose id is the `idBytes` bytes of `source` from `at`. */
  push(
    source: Uint8Array,
    at: number,
    idBytes: number,
    contentOffset: number,
    sizeBytes: number,
  ): void {
    if (this.sortedUnique) this.sortedUnique = this.#isGreater(source, at, idBytes);
    if (this.#end + idBytes + 1 > this.#ids.length) this.#grow();
    const ids = this.#ids, end = this.#end;
    for (let i = 0; i < idBytes; i++) ids[end + i] = source[at + i];
    ids[end + idBytes] = COMMA;
    this.#lastAt = end;
    this.#lastBytes = idBytes;
    this.#end = end + idBytes + 1;
    if (!this.#isKept) return this.#forget();
    this.#contentOffsets.push(contentOffset);
    this.#sizesBytes.push(sizeBytes);
  }

  /** The rows since the last call. */
  take(): ObjectRows {
    const contentOffsets = this.#contentOffsets, sizesBytes = this.#sizesBytes;
    const text = ASCII.decode(
      this.#ids.subarray(this.#begin, Math.max(this.#begin, this.#end - 1)),
    );
    const objectIds = contentOffsets.length === 0 ? [] : text.split(",");
    this.#contentOffsets = [];
    this.#sizesBytes = [];
    this.#forget();
    return { objectIds, contentOffsets, sizesBytes };
  }

  /** What a later instance needs to go on watching. */
  save(): OrderState {
    const last = this.#ids.subarray(this.#lastAt, this.#lastAt + this.#lastBytes);
    return { lastId: idText(last), sortedUnique: this.sortedUnique };
  }

  /** Lets go of all ids but the last. */
  #forget(): void {
    this.#ids.copyWithin(0, this.#lastAt, this.#lastAt + this.#lastBytes);
    this.#lastAt = 0;
    this.#begin = this.#end = this.#lastBytes;
  }

  #isGreater(source: Uint8Array, at: number, idBytes: number): boolean {
    const ids = this.#ids, lastAt = this.#lastAt;
    const common = Math.min(idBytes, this.#lastBytes);
    for (let i = 0; i < common; i++) {
      const difference = source[at + i] - ids[lastAt + i];
      if (difference !== 0) return difference > 0;
    }
    return idBytes > this.#lastBytes;
  }

  #grow(): void {
    const grown = new Uint8Array(2 * this.#ids.length);
    grown.set(this.#ids);
    this.#ids = grown;
  }
}
