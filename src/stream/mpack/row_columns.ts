/**
 * The rows found and not yet taken, in columns.
 *
 * Ids are kept as bytes, one after the other with a comma between, and become one string all at
 * once: a string made for each of them was a quarter of the decoder's time on small objects.
 *
 * @module
 */

import { BARE_ID_BYTES, notHex, PREFIXED_ID_BYTES } from "./object_id.ts";
import type { ObjectRows, OrderState } from "./types.ts";

const FIRST_BYTES = 4096;
const COMMA = 0x2c, LETTER_S = 0x73;
const ASCII = new TextDecoder();
/** `sha256:` as two numbers of four bytes, the last of one being the first of the other. */
const SHA2 = 0x73686132, A256 = 0x3235363a;

/** Memory for ids. */
class Room {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(readonly sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
    this.view = new DataView(this.bytes.buffer);
  }
}

const NONE = new Room(0);
/** Room of the first size that nobody uses: new memory took a tenth of a tiny pack's time. */
let spare: Room | undefined;

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
    return this.#objectIds ??= splitIds(this.idsText);
  }
}

/** What `split(",")` does in 1.5 to 2 times as long: an id's first letter says how long it is. */
function splitIds(text: string): string[] {
  const ids: string[] = [];
  for (let at = 0, end = 0; at < text.length; at = end + 1) {
    end = at + (text.charCodeAt(at) === LETTER_S ? PREFIXED_ID_BYTES : BARE_ID_BYTES);
    ids.push(text.slice(at, end));
  }
  return ids;
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
  #ids: Room = NONE;
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
    while (this.#end + idBytes + 1 > this.#ids.sizeBytes) this.#grow();
    const { bytes: ids } = this.#ids, end = this.#end;
    for (let i = 0; i < idBytes; i++) ids[end + i] = source[at + i];
    this.#add(idBytes, contentOffset, sizeBytes);
  }

  /**
   * Adds the same row if those bytes, as many as an id has, are one; false if they are not. Four at
   * a time and checked while they are copied, they take half as long.
   */
  pushIfId(
    source: DataView,
    at: number,
    idBytes: number,
    contentOffset: number,
    sizeBytes: number,
  ): boolean {
    while (this.#end + idBytes + 1 > this.#ids.sizeBytes) this.#grow();
    const { view: ids } = this.#ids;
    let to = this.#end, wrong = 0;
    if (idBytes === PREFIXED_ID_BYTES) {
      if (source.getInt32(at) !== SHA2 || source.getInt32(at + 3) !== A256) return false;
      ids.setInt32(to, SHA2);
      ids.setInt32(to + 3, A256);
      at += idBytes - BARE_ID_BYTES;
      to += idBytes - BARE_ID_BYTES;
    }
    for (let i = 0; i < BARE_ID_BYTES; i += 4) {
      const digits = source.getInt32(at + i);
      wrong |= notHex(digits);
      ids.setInt32(to + i, digits);
    }
    if (wrong !== 0) return false;
    this.#add(idBytes, contentOffset, sizeBytes);
    return true;
  }

  /** The rows since the last call. */
  take(): ObjectRows {
    const contentOffsets = this.#contentOffsets, sizesBytes = this.#sizesBytes;
    if (contentOffsets.length === 0) return new TakenRows("", [], []);
    const ids = this.#ids, text = ASCII.decode(ids.bytes.subarray(this.#begin, this.#end - 1));
    this.#contentOffsets = [];
    this.#sizesBytes = [];
    if (ids.sizeBytes > FIRST_BYTES) this.#forget();
    else {
      // The text is small: that the slice keeps all of it does no harm.
      this.#lastId = text.slice(-this.#lastBytes);
      this.#ids = NONE;
      spare = ids;
      this.#begin = this.#end = 0;
      this.#lastAt = this.#lastBytes = 0;
    }
    return new TakenRows(text, contentOffsets, sizesBytes);
  }

  /** What a later instance needs to go on watching. */
  save(): OrderState {
    const { sortedUnique } = this;
    if (this.#lastBytes === 0) return { lastId: this.#lastId, sortedUnique };
    const last = this.#ids.bytes.subarray(this.#lastAt, this.#lastAt + this.#lastBytes);
    return { lastId: ASCII.decode(last), sortedUnique };
  }

  /** Makes a row of the id whose bytes are in their place already. */
  #add(idBytes: number, contentOffset: number, sizeBytes: number): void {
    const end = this.#end;
    if (this.sortedUnique) this.sortedUnique = this.#isGreater(end, idBytes);
    this.#ids.bytes[end + idBytes] = COMMA;
    this.#lastAt = end;
    this.#lastBytes = idBytes;
    this.#end = end + idBytes + 1;
    if (!this.#isKept) return this.#forget();
    this.#contentOffsets.push(contentOffset);
    this.#sizesBytes.push(sizeBytes);
  }

  /** Lets go of all ids but the last. */
  #forget(): void {
    this.#ids.bytes.copyWithin(0, this.#lastAt, this.#lastAt + this.#lastBytes);
    this.#lastAt = 0;
    this.#begin = this.#end = this.#lastBytes;
  }

  /** Whether the id at `at` is greater than the last one. */
  #isGreater(at: number, idBytes: number): boolean {
    const { bytes: ids } = this.#ids, lastAt = this.#lastAt;
    const common = Math.min(idBytes, this.#lastBytes);
    for (let i = 0; i < common; i++) {
      const difference = ids[at + i] - ids[lastAt + i];
      if (difference !== 0) return difference > 0;
    }
    return idBytes > this.#lastBytes;
  }

  #grow(): void {
    const old = this.#ids;
    if (old !== NONE) {
      this.#ids = new Room(2 * old.sizeBytes);
      this.#ids.bytes.set(old.bytes);
      return;
    }
    const { bytes: ids } = this.#ids = spare ?? new Room(FIRST_BYTES);
    spare = undefined;
    // The last id goes before the rows, where their order is looked at.
    const lastId = this.#lastId;
    for (let i = 0; i < lastId.length; i++) ids[i] = lastId.charCodeAt(i);
    this.#begin = this.#end = this.#lastBytes = lastId.length;
  }
}
