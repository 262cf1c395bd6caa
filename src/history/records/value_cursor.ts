/**
 * Pulls MessagePack values out of a byte range, of which a piece is in memory at a time.
 *
 * @module
 */

import { headerBytes, TokenReader, Type } from "../../stream/mpack/token.ts";

/** Reads the next bytes of the range into `into`; fewer than asked only at its end. */
export type ReadNext = (into: Uint8Array) => Promise<number>;

const NONE = new Uint8Array(0);
const PIECE_BYTES = 256 * 1024;
/** The longest string that is kept: the decoder's limit on one. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Called with an entry: where its key and its value are in the bytes, which are overwritten later. */
export type VisitPair = (
  bytes: Uint8Array,
  keyAt: number,
  keyEnd: number,
  valueAt: number,
  valueEnd: number,
) => void;

/** A string and the string that it maps to. */
export type TextPair = readonly [key: string, value: string];

/** A position in the range, which moves forward only. */
export class ValueCursor {
  readonly #readNext: ReadNext;
  readonly #token = new TokenReader();
  #piece: Uint8Array;
  #at = 0;
  #end = 0;
  #readBytes = 0;
  #leftBytes: number;

  /**
   * @param sizeBytes Length of the range, without what has been read of it.
   * @param read The first bytes of the range.
   */
  constructor(readNext: ReadNext, sizeBytes: number, read: Uint8Array = NONE) {
    this.#readNext = readNext;
    this.#leftBytes = sizeBytes;
    this.#piece = read;
    this.#end = this.#readBytes = read.length;
  }

  /** Bytes of the range that come before the next value. */
  get positionBytes(): number {
    return this.#readBytes - (this.#end - this.#at);
  }

  /** Whether every byte of the range was read. */
  get isAtEnd(): boolean {
    return this.#at === this.#end && this.#leftBytes === 0;
  }

  /** Whether the next value is a map. */
  async isMap(): Promise<boolean> {
    await this.#header();
    return this.#token.type === Type.Map;
  }

  /** Enters a map; returns the number of its entries. */
  mapLength(): Promise<number> {
    return this.#container(Type.Map);
  }

  /** Enters an array; returns the number of its elements. */
  arrayLength(): Promise<number> {
    return this.#container(Type.Array);
  }

  /** Reads a string; skips a value of another type, and returns undefined. */
  async text(): Promise<string | undefined> {
    await this.#header();
    const { type, length } = this.#token;
    if (type !== Type.Str) {
      await this.skip();
      return undefined;
    }
    this.#at += this.#token.headerBytes;
    await this.#fill(length);
    const text = UTF8.decode(this.#piece.subarray(this.#at, this.#at + length));
    this.#at += length;
    return text;
  }

  /** Reads a whole number from 0; skips another value, and returns undefined. */
  async count(): Promise<number | undefined> {
    await this.#header();
    const { type } = this.#token;
    if (type !== Type.Int) {
      await this.skip();
      return undefined;
    }
    const scalar = new DataView(this.#token.canonicalScalar().buffer);
    this.#at += this.#token.headerBytes;
    const value = scalar.getUint8(0) === 0 ? Number(scalar.getBigUint64(1)) : -1;
    return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  }

  /** Reads an array of strings; leaves elements of another type out. */
  async texts(): Promise<string[] | undefined> {
    await this.#header();
    if (this.#token.type !== Type.Array) {
      await this.skip();
      return undefined;
    }
    const found: string[] = [];
    for (let left = await this.arrayLength(); left > 0; left--) {
      const text = await this.text();
      if (text !== undefined) found.push(text);
    }
    return found;
  }

  /** Reads a map of strings to strings, in pages: those entries that lie in one piece. */
  async *textPairs(): AsyncGenerator<TextPair[], void, undefined> {
    for (let left = await this.mapLength(); left > 0;) {
      const page: TextPair[] = [];
      await this.pairs(left, (bytes, keyAt, keyEnd, valueAt, valueEnd) => {
        const key = UTF8.decode(bytes.subarray(keyAt, keyEnd));
        page.push([key, UTF8.decode(bytes.subarray(valueAt, valueEnd))]);
      });
      left -= page.length;
      yield page;
    }
  }

  /**
   * Visits the next entries of a map of strings to strings: those that lie in the piece, one or more.
   *
   * @param left Entries that are left in the map.
   * @returns How many were visited.
   */
  async pairs(left: number, visit: VisitPair): Promise<number> {
    for (;;) {
      const visited = this.#pairsHere(left, visit);
      if (visited > 0 || left === 0) return visited;
      await this.#fill(this.#end - this.#at + 1);
    }
  }

  /** Skips one value with all that is in it. */
  async skip(): Promise<void> {
    for (let values = 1; values > 0; values--) {
      await this.#header();
      const { type, length } = this.#token;
      this.#at += this.#token.headerBytes;
      if (type === Type.Map) values += 2 * length;
      else if (type === Type.Array) values += length;
      else if (type === Type.Never) throw new RangeError("a byte is not MessagePack");
      else await this.#skipBytes(length);
    }
  }

  #pairsHere(left: number, visit: VisitPair): number {
    let visited = 0;
    while (visited < left) {
      const start = this.#at;
      const keyEnd = this.#stringEnd(start);
      const keyAt = start + this.#token.headerBytes;
      if (keyEnd < 0) break;
      const valueEnd = this.#stringEnd(keyEnd);
      if (valueEnd < 0) break;
      visit(this.#piece, keyAt, keyEnd, keyEnd + this.#token.headerBytes, valueEnd);
      this.#at = valueEnd;
      visited++;
    }
    return visited;
  }

  /** Reads the header of a string; returns the string's end, or -1 if that is not in the piece. */
  #stringEnd(at: number): number {
    if (at >= this.#end || at + headerBytes(this.#piece[at]) > this.#end) return -1;
    const token = this.#token;
    token.read(this.#piece, at);
    if (token.type !== Type.Str) throw new RangeError("a string was expected");
    const end = at + token.headerBytes + token.length;
    return end <= this.#end ? end : -1;
  }

  async #container(type: Type): Promise<number> {
    await this.#header();
    if (this.#token.type !== type) {
      throw new RangeError(`${type === Type.Map ? "a map" : "an array"} was expected`);
    }
    this.#at += this.#token.headerBytes;
    return this.#token.length;
  }

  /** Reads the header of the next value, and stays before it. */
  async #header(): Promise<void> {
    if (this.#at === this.#end) await this.#fill(1);
    await this.#fill(headerBytes(this.#piece[this.#at]));
    this.#token.read(this.#piece, this.#at);
  }

  async #skipBytes(count: number): Promise<void> {
    while (count > this.#end - this.#at) {
      count -= this.#end - this.#at;
      this.#at = this.#end;
      await this.#fill(1);
    }
    this.#at += count;
  }

  /** Has at least `count` bytes in the piece. */
  async #fill(count: number): Promise<void> {
    const there = this.#end - this.#at;
    if (count <= there) return;
    if (count - there > this.#leftBytes) throw new RangeError("a value is longer than the record");
    if (count > MAX_TEXT_BYTES) throw new RangeError(`a string has ${count} bytes`);
    const piece = count > this.#piece.length ? this.#longer(count) : this.#piece;
    piece.set(this.#piece.subarray(this.#at, this.#end));
    this.#piece = piece;
    const wanted = Math.min(piece.length - there, this.#leftBytes);
    const readBytes = await this.#readNext(piece.subarray(there, there + wanted));
    this.#at = 0;
    this.#end = there + readBytes;
    this.#readBytes += readBytes;
    this.#leftBytes -= readBytes;
    if (readBytes < wanted) throw new RangeError("the blob ended in the record");
  }

  /** A buffer that is twice as long, so that a string of any length is moved a few times only. */
  #longer(count: number): Uint8Array {
    const there = this.#end - this.#at, wanted = Math.max(PIECE_BYTES, 2 * this.#piece.length);
    return new Uint8Array(Math.max(count, Math.min(wanted, there + this.#leftBytes)));
  }
}

/** A cursor over bytes in memory, which are not copied. */
export function cursorOver(bytes: Uint8Array): ValueCursor {
  return new ValueCursor(() => Promise.resolve(0), 0, bytes);
}
