/**
 * The rows found and not yet taken, in columns.
 *
 * Ids are kept as bytes, one after the other with a comma between, and become one string all at
 * once: a string made for each of them was a quarter of the decoder's time on small objects.
 *
 * @module
 */

import type { ObjectRows, OrderState } from "./types.ts";

const FIRST_BYTES = 4096;
const COMMA = 0x2c;
const ASCII = new TextDecoder();
const NONE = new Uint8Array(0);
/** Room of the first size that nobody uses: new memory took a tenth of a tiny pack's time. */
let spare: Uint8Array<ArrayBuffer> | undefined;

/** Rows that were taken. */
class TakenRows implements ObjectRows {
  readonly length: number;
  #objectIds: string[] | undefined;

  constructor(
    readonly idsText: string,
    readonly contentOffsets: number[],
    readonly sizesBytes: number[],
  ) {
    this.length = contentOffsets.length;
  }

  get objectIds(): string[] {
    return this.#objectIds ??= this.length === 0 ? [] : this.idsText.split(",");
  }
}

/** Collects rows, and watches whether their ids keep rising. */
export class RowColumns {
  /** Whether each id so far was greater than the one before it. */
  sortedUnique = true;
  /** How many rows `take()` would return. */
  get length(): number {
    return this.#contentOffsets.length;
  }

  readonly #isKept: boolean;
  #ids: Uint8Array<ArrayBuffer> = NONE;
  /** The rows' ids are from here to `#end`; before it may lie the last id of rows taken already. */
  #begin = 0;
  #end = 0;
  #lastAt = 0;
  #lastBytes = 0;
  /** The last id, where no bytes are kept. */
  #lastId = "";
  #contentOffsets: number[] = [];
  #sizesBytes: number[] = [];

  /** Starts with no rows; `isKept` false only watches the order. */
  constructor(isKept: boolean, state?: OrderState) {
    this.#isKept = isKept;
    if (!state) return;
    this.sortedUnique = state.sortedUnique;
    this.#lastId = state.lastId;
  }

  /** Adds a row whose id is the `idBytes` bytes of `source` from `at`. */
  push(
    source: Uint8Array,
    at: number,
    idBytes: number,
    contentOffset: number,
    sizeBytes: number,
  ): void {
    while (this.#end + idBytes + 1 > this.#ids.length) this.#grow();
    if (this.sortedUnique) this.sortedUnique = this.#isGreater(source, at, idBytes);
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
    if (contentOffsets.length === 0) return new TakenRows("", [], []);
    const ids = this.#ids, text = ASCII.decode(ids.subarray(this.#begin, this.#end - 1));
    this.#contentOffsets = [];
    this.#sizesBytes = [];
    if (ids.length > FIRST_BYTES) this.#forget();
    else {
      // The text is small: that the slice keeps all of it does no harm.
      this.#lastId = text.slice(-this.#lastBytes);
      this.#ids = NONE;
      this.#begin =
        this.#end =
        this.#lastAt =
        this.#lastBytes =
          0;
      spare = ids;
    }
    return new TakenRows(text, contentOffsets, sizesBytes);
  }

  /** What a later instance needs to go on watching. */
  save(): OrderState {
    const { sortedUnique } = this;
    if (this.#lastBytes === 0) return { lastId: this.#lastId, sortedUnique };
    const last = this.#ids.subarray(this.#lastAt, this.#lastAt + this.#lastBytes);
    return { lastId: ASCII.decode(last), sortedUnique };
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
    const old = this.#ids;
    if (old.length > 0) {
      this.#ids = new Uint8Array(2 * old.length);
      this.#ids.set(old);
      return;
    }
    const ids = this.#ids = spare ?? new Uint8Array(FIRST_BYTES);
    spare = undefined;
    // The last id goes before the rows, where their order is looked at.
    const lastId = this.#lastId;
    for (let i = 0; i < lastId.length; i++) ids[i] = lastId.charCodeAt(i);
    this.#begin = this.#end = this.#lastBytes = lastId.length;
  }
}
