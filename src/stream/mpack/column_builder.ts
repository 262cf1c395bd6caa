/**
 * The objects found and not yet taken, in columns.
 *
 * Ids are kept as bytes with commas between, and become one string at once: a string for each id
 * took a quarter of the decoder's time on small objects.
 *
 * @module
 */

import type { Encoding, ObjectColumns } from "../../lib/object_columns.ts";
import { BARE_ID_BYTES, notHex, PREFIXED_ID_BYTES } from "./object_id.ts";
import type { OrderState } from "./types.ts";

const FIRST_BYTES = 4096;
const COMMA = 0x2c;
const ASCII = new TextDecoder();
/** `sha256:` as two numbers of four bytes that overlap by one. */
const SHA2 = 0x73686132, A256 = 0x3235363a;

/** Memory for ids, as bytes and as a view. */
class Room {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(readonly sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
    this.view = new DataView(this.bytes.buffer);
  }
}

const NONE = new Room(0);
/** An unused Room of the first size: allocating one took a tenth of a tiny pack's time. */
let spare: Room | undefined;

/** Collects objects, and notes whether their ids are sorted. */
export class ColumnBuilder {
  /** Whether each id was greater than the one before it. */
  sortedUnique = true;
  /** How many rows `take()` would return. */
  get length(): number {
    return this.#contentOffsets.length;
  }

  readonly #isKept: boolean;
  #ids: Room = NONE;
  /** The ids are from here to `#end`. Before it may lie the last id that was taken. */
  #begin = 0;
  #end = 0;
  #lastAt = 0;
  #lastBytes = 0;
  /** The last id, while its bytes are not in `#ids`. */
  #lastId = "";
  #contentOffsets: number[] = [];
  #sizesBytes: number[] = [];
  /** As long as the other columns from the first encoded content on; undefined before it. */
  #encodings: (Encoding | null)[] | undefined;

  /** With `isKept` false it keeps no rows and only notes the order. */
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
    encoding: Encoding | null = null,
  ): void {
    while (this.#end + idBytes + 1 > this.#ids.sizeBytes) this.#grow();
    const { bytes: ids } = this.#ids, end = this.#end;
    for (let i = 0; i < idBytes; i++) ids[end + i] = source[at + i];
    this.#add(idBytes, contentOffset, sizeBytes, encoding);
  }

  /**
   * As `push()` if the bytes are an id; else adds nothing and returns false. Checks four bytes at a
   * time while copying, which takes half as long.
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
    this.#add(idBytes, contentOffset, sizeBytes, null);
    return true;
  }

  /** Returns the rows since the last call. */
  take(): ObjectColumns {
    const contentOffsets = this.#contentOffsets, sizesBytes = this.#sizesBytes;
    const { length } = contentOffsets;
    // Arrays of its own: a batch without rows is being sent while later rows are pushed.
    if (length === 0) return { length, idsText: "", contentOffsets: [], sizesBytes: [] };
    const ids = this.#ids, idsText = ASCII.decode(ids.bytes.subarray(this.#begin, this.#end - 1));
    const encodings = this.#encodings;
    this.#contentOffsets = [];
    this.#sizesBytes = [];
    this.#encodings = undefined;
    if (ids.sizeBytes > FIRST_BYTES) this.#forget();
    else {
      // The slice keeps the whole text alive, but the text is small.
      this.#lastId = idsText.slice(-this.#lastBytes);
      this.#ids = NONE;
      spare = ids;
      this.#begin = this.#end = 0;
      this.#lastAt = this.#lastBytes = 0;
    }
    return { length, idsText, contentOffsets, sizesBytes, ...(encodings && { encodings }) };
  }

  /** What a later instance needs to go on. */
  save(): OrderState {
    const { sortedUnique } = this;
    if (this.#lastBytes === 0) return { lastId: this.#lastId, sortedUnique };
    const last = this.#ids.bytes.subarray(this.#lastAt, this.#lastAt + this.#lastBytes);
    return { lastId: ASCII.decode(last), sortedUnique };
  }

  /** Adds a row whose id was already copied to `#end`. */
  #add(
    idBytes: number,
    contentOffset: number,
    sizeBytes: number,
    encoding: Encoding | null,
  ): void {
    const end = this.#end;
    if (this.sortedUnique) this.sortedUnique = this.#isGreater(end, idBytes);
    this.#ids.bytes[end + idBytes] = COMMA;
    this.#lastAt = end;
    this.#lastBytes = idBytes;
    this.#end = end + idBytes + 1;
    if (!this.#isKept) return this.#forget();
    if (encoding !== null) this.#encodings ??= this.#sizesBytes.map(() => null);
    this.#encodings?.push(encoding);
    this.#contentOffsets.push(contentOffset);
    this.#sizesBytes.push(sizeBytes);
  }

  /** Drops all ids but the last. */
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
    // The last id goes first, so that the next one can be compared with it.
    const lastId = this.#lastId;
    for (let i = 0; i < lastId.length; i++) ids[i] = lastId.charCodeAt(i);
    this.#begin = this.#end = this.#lastBytes = lastId.length;
  }
}
