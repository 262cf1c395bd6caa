/**
 * Pulls MessagePack values out of a byte range, of which a piece is in memory at a time.
 *
 * @module
 */

import { headerBytes, MAX_HEADER_BYTES, TokenReader, Type } from "../stream/mpack/token.ts";

/** Reads the next bytes of the range into `into`; fewer than asked only at its end. */
export type ReadNext = (into: Uint8Array) => Promise<number>;

const PIECE_BYTES = 256 * 1024;
/** The longest string that is kept: the decoder's limit on one. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A string and the string that it maps to. */
export type TextPair = readonly [key: string, value: string];

/** A position in the range, which moves forward only. */
export class ValueCursor {
  readonly #readNext: ReadNext;
  readonly #token = new TokenReader();
  #piece: Uint8Array;
  #at = 0;
  #end = 0;
  #leftBytes: number;

  /** @param sizeBytes Length of the range. */
  constructor(readNext: ReadNext, sizeBytes: number) {
    this.#readNext = readNext;
    this.#leftBytes = sizeBytes;
    this.#piece = new Uint8Array(Math.min(PIECE_BYTES, sizeBytes));
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
    let left = await this.mapLength();
    while (left > 0) {
      const page: TextPair[] = [];
      while (left > 0) {
        const pair = this.#pairHere();
        if (pair === undefined) break;
        page.push(pair);
        left--;
      }
      if (page.length > 0) yield page;
      else {
        const key = await this.text(), value = await this.text();
        if (key === undefined || value === undefined) throw new RangeError("no string is there");
        left--;
        yield [[key, value]];
      }
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

  /** A pair of strings, if all of it is in the piece. */
  #pairHere(): TextPair | undefined {
    const start = this.#at;
    const key = this.#textHere();
    const value = key === undefined ? undefined : this.#textHere();
    if (key !== undefined && value !== undefined) return [key, value];
    this.#at = start;
    return undefined;
  }

  #textHere(): string | undefined {
    const at = this.#at, token = this.#token;
    if (this.#end - at < MAX_HEADER_BYTES) return undefined;
    token.read(this.#piece, at);
    const from = at + token.headerBytes, to = from + token.length;
    if (token.type !== Type.Str || to > this.#end) return undefined;
    this.#at = to;
    return UTF8.decode(this.#piece.subarray(from, to));
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
    const piece = count > this.#piece.length ? new Uint8Array(count) : this.#piece;
    piece.set(this.#piece.subarray(this.#at, this.#end));
    this.#piece = piece;
    const wanted = Math.min(piece.length - there, this.#leftBytes);
    const readBytes = await this.#readNext(piece.subarray(there, there + wanted));
    this.#at = 0;
    this.#end = there + readBytes;
    this.#leftBytes -= readBytes;
    if (readBytes < wanted) throw new RangeError("the blob ended in the record");
  }
}
