/**
 * Decodes and checks bodies that are maps of lists of ids. 200,000 ids take 300 ms of processor time
 * from the body to the answer, so each step is done in slices, and others have their turn between.
 *
 * @module
 */

import { decode } from "@msgpack/msgpack";
import { isObjectId } from "../../lib/ids.ts";
import { headerBytes, TokenReader, Type } from "../../stream/mpack/token.ts";
import { HttpProblem } from "../problem.ts";
import { nextTurn, slicesOf } from "../../lib/sleep.ts";
import { decodeBody } from "./decode_body.ts";

/** Ids in one slice: about 10 ms of decoding. */
const SLICE = 10_000;
/** Longest id, in characters and in bytes: real ones have 71. */
const MAX_ID_LENGTH = 200;
const MAX_MEMBERS = 16;
/** Longest member that is no list. */
const MAX_SCALAR_BYTES = 1_024;
/** The bytes of one id with a prefix, quotes and a comma in JSON, and some more. */
const ID_BYTES = 80;
const OTHER_BYTES = 64 * 1024;

/** The longest body that is needed for so many ids. */
export function bytesOfIds(ids: number): number {
  return ids * ID_BYTES + OTHER_BYTES;
}

/**
 * Decodes a body whose members are lists of strings, or short scalars.
 *
 * @param maxIds The most elements of all lists together.
 * @throws {HttpProblem} 400 if it is malformed, 413 if it has too many ids, 422 if a list holds
 * something else.
 */
export async function decodeIdLists(
  body: Uint8Array,
  codec: "json" | "msgpack",
  { maxIds }: { readonly maxIds: number },
): Promise<unknown> {
  const value = codec === "json"
    ? await decodeBody(body, codec, { maxValues: maxIds + 2 * MAX_MEMBERS })
    : await new IdListDecoder(body, maxIds).decode();
  if (typeof value !== "object" || value === null) return value;
  let ids = 0;
  for (const [name, list] of Object.entries(value)) {
    if (!Array.isArray(list)) continue;
    if ((ids += list.length) > maxIds) throw tooMany(maxIds);
    // 200,000 take 2 ms.
    for (const [i, id] of list.entries()) {
      if (typeof id !== "string") throw invalid(name, i, "not a string");
      if (id.length > MAX_ID_LENGTH) throw invalid(name, i, tooLong());
    }
  }
  return value;
}

/** Decodes a MessagePack map of lists, without allocating what a header only declares. */
class IdListDecoder {
  readonly #body: Uint8Array;
  readonly #maxIds: number;
  readonly #token = new TokenReader();
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #latin1 = new TextDecoder("latin1");
  #at = 0;
  #ids = 0;

  constructor(body: Uint8Array, maxIds: number) {
    this.#body = body;
    this.#maxIds = maxIds;
  }

  async decode(): Promise<unknown> {
    if (this.#header() !== Type.Map) return undefined;
    const { length } = this.#token, members: Record<string, unknown> = Object.create(null);
    if (length > MAX_MEMBERS) throw malformed();
    for (let i = 0; i < length; i++) {
      if (this.#header() !== Type.Str) throw malformed();
      const name = this.#string(this.#token.length);
      if (name in members) throw malformed();
      members[name] = await this.#member(name);
    }
    if (this.#at < this.#body.length) throw malformed();
    return members;
  }

  async #member(name: string): Promise<unknown> {
    const from = this.#at, type = this.#header(), { length } = this.#token;
    if (type !== Type.Array) {
      if (type === Type.Map || type === Type.Never) throw malformed();
      this.#at += length;
      if (this.#at > this.#body.length || this.#at - from > MAX_SCALAR_BYTES) throw malformed();
      return decode(this.#body.subarray(from, this.#at));
    }
    this.#ids += length;
    if (this.#ids > this.#maxIds) throw tooMany(this.#maxIds);
    // Each element has one byte or more.
    if (length > this.#body.length - this.#at) throw malformed();
    const ids: string[] = [];
    while (ids.length < length) {
      if (ids.length > 0) await nextTurn();
      this.#slice(name, ids, Math.min(length, ids.length + SLICE));
    }
    return ids;
  }

  /** Decodes up to element `end`: 10,000 strings of ASCII at once take 1 ms, one by one 5. */
  #slice(name: string, ids: string[], end: number): void {
    const ends: number[] = [], from = this.#at, first = ids.length;
    for (let i = first; i < end; i++) {
      if (this.#header() !== Type.Str) throw invalid(name, i, "not a string");
      const { length } = this.#token;
      if (length > MAX_ID_LENGTH) throw invalid(name, i, tooLong());
      ends.push(this.#at - from, this.#at - from + length);
      this.#at += length;
    }
    if (this.#at > this.#body.length) throw malformed();
    const text = this.#latin1.decode(this.#body.subarray(from, this.#at));
    for (let i = 0; i < ends.length; i += 2) {
      const id = text.slice(ends[i], ends[i + 1]);
      ids.push(isObjectId(id) ? id : this.#text(from + ends[i], from + ends[i + 1]));
    }
  }

  #header(): Type {
    const at = this.#at, body = this.#body;
    if (at >= body.length || at + headerBytes(body[at]) > body.length) throw malformed();
    this.#token.read(body, at);
    this.#at += this.#token.headerBytes;
    return this.#token.type;
  }

  #string(length: number): string {
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#body.length || length > MAX_SCALAR_BYTES) throw malformed();
    return this.#text(from, this.#at);
  }

  #text(from: number, to: number): string {
    try {
      return this.#utf8.decode(this.#body.subarray(from, to));
    } catch {
      throw malformed();
    }
  }
}

/** Encodes `{name: ids}` as MessagePack or JSON. */
export async function encodeIdList(
  name: string,
  ids: readonly string[],
  codec: "json" | "msgpack",
): Promise<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder(), parts: Uint8Array[] = [];
  const isJson = codec === "json", key = encoder.encode(name);
  parts.push(isJson ? encoder.encode(`{"${name}":[`) : Uint8Array.from([0x81, 0xa0 | key.length]));
  if (!isJson) parts.push(key, arrayHeader(ids.length));
  let at = 0;
  for await (const slice of slicesOf(ids)) {
    const comma = at === 0 ? "" : ",";
    parts.push(
      isJson ? encoder.encode(comma + JSON.stringify(slice).slice(1, -1)) : stringsOf(slice),
    );
    at += slice.length;
  }
  if (isJson) parts.push(encoder.encode("]}"));
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let filled = 0;
  for (const part of parts) {
    whole.set(part, filled);
    filled += part.length;
  }
  return whole;
}

function arrayHeader(length: number): Uint8Array {
  const header = new Uint8Array(5);
  header[0] = 0xdd;
  new DataView(header.buffer).setUint32(1, length);
  return header;
}

/** Each string with a header of two bytes, str 8: they have 200 characters, so 600 bytes, at most. */
function stringsOf(ids: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const bytes = new Uint8Array(ids.reduce((sum, id) => sum + 3 + 3 * id.length, 0));
  let at = 0;
  for (const id of ids) {
    const { written } = encoder.encodeInto(id, bytes.subarray(at + 3));
    if (written <= 0xff) {
      bytes[at] = 0xd9;
      bytes[at + 1] = written;
      bytes.copyWithin(at + 2, at + 3, at + 3 + written);
      at += 2 + written;
    } else {
      bytes.set([0xda, written >>> 8, written & 0xff], at);
      at += 3 + written;
    }
  }
  return bytes.subarray(0, at);
}

function tooLong(): string {
  return `longer than ${MAX_ID_LENGTH} characters`;
}

function invalid(name: string, index: number, why: string): HttpProblem {
  const pointer = `/${name.slice(0, 40)}/${index}`;
  return new HttpProblem(422, "invalid-body", `Cannot use the body: ${pointer}: ${why}`, {
    members: { errors: [{ pointer, detail: why }] },
  });
}

function tooMany(maxIds: number): HttpProblem {
  const detail = `Cannot read the body: it has more than ${maxIds} ids`;
  return new HttpProblem(413, "too-large", detail);
}

function malformed(): HttpProblem {
  return new HttpProblem(400, "bad-request", "Cannot read the body: it is not msgpack");
}
