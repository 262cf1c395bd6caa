/**
 * Decodes request bodies under limits of depth and count.
 *
 * A linear scan checks all headers before anything is decoded: the libraries allocate what a header
 * declares (@msgpack/msgpack makes an array of 4 billion elements from five bytes), and millions of
 * small values take seconds.
 *
 * @module
 */

import { decode } from "@msgpack/msgpack";
import { headerBytes, TokenReader, Type } from "../../stream/mpack/token.ts";
import { nextTurn } from "../../lib/sleep.ts";
import { HttpProblem } from "../problem.ts";

/** Longer bodies let other requests have a turn of the event loop between two steps. */
const LONG_BYTES = 512 * 1024;
/** The API's own bodies are three levels deep. */
const MAX_DEPTH = 32;
/**
 * In one object; the API's own have less than thirty. 100,000 different ones in one object took
 * JSON.parse() 70 to 230 ms on a busy machine, and as long again to look through.
 */
const MAX_MEMBERS = 1_000;

export interface DecodeLimits {
  /** Values in the whole body; a map's key is a value, too. */
  readonly maxValues: number;
}

/**
 * Decodes a body.
 *
 * @throws {HttpProblem} 400 if it is malformed or too deep; 413 if it has more than `maxValues`.
 */
export async function decodeBody(
  body: Uint8Array,
  codec: "json" | "msgpack",
  { maxValues }: DecodeLimits,
): Promise<unknown> {
  const check = codec === "msgpack" ? checkMsgpack : checkJson;
  const pause = body.length > LONG_BYTES ? nextTurn : () => {};
  try {
    check(body, maxValues);
    await pause();
    const value = codec === "msgpack"
      ? decode(body)
      : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    await pause();
    return value;
  } catch (error) {
    if (error instanceof HttpProblem) throw error;
    throw new HttpProblem(400, "bad-request", `Cannot read the body: it is not ${codec}`);
  }
}

/** Scans one MessagePack document. Throws if it declares more than it holds. */
function checkMsgpack(body: Uint8Array, maxValues: number): void {
  const token = new TokenReader();
  /** Values still to come, in each open container. */
  const open = [1];
  /** Their sum. Each value has at least one byte, so it cannot exceed the bytes left. */
  let pending = 1, values = 0, at = 0;
  while (pending > 0) {
    if (at >= body.length || at + headerBytes(body[at]) > body.length) throw malformed();
    token.read(body, at);
    at += token.headerBytes;
    pending--;
    open[open.length - 1]--;
    if (++values > maxValues) throw tooMany(maxValues);
    const { type, length } = token;
    if (type === Type.Array || type === Type.Map) {
      if (type === Type.Map && length > MAX_MEMBERS) throw tooManyMembers();
      const count = type === Type.Map ? 2 * length : length;
      pending += count;
      if (pending > body.length - at) throw malformed();
      if (open.push(count) > MAX_DEPTH + 1) throw tooDeep();
    } else {
      if (type === Type.Never || length > body.length - at) throw malformed();
      at += length;
    }
    while (open.at(-1) === 0) open.pop();
  }
  if (at < body.length) throw malformed();
}

const QUOTE = 0x22, BACKSLASH = 0x5c, COMMA = 0x2c, COLON = 0x3a;
const OPEN_ARRAY = 0x5b, CLOSE_ARRAY = 0x5d, OPEN_OBJECT = 0x7b, CLOSE_OBJECT = 0x7d;

/** Counts values, members and depth; JSON.parse() checks the rest. */
function checkJson(body: Uint8Array, maxValues: number): void {
  const members = new Uint32Array(MAX_DEPTH + 1);
  let values = 1, depth = 0;
  for (let at = 0; at < body.length; at++) {
    switch (body[at]) {
      case QUOTE:
        for (at++; at < body.length && body[at] !== QUOTE; at++) if (body[at] === BACKSLASH) at++;
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        if (++depth > MAX_DEPTH) throw tooDeep();
        members[depth] = 0;
        values++;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth--;
        break;
      case COLON:
        if (++members[depth] > MAX_MEMBERS) throw tooManyMembers();
        values++;
        break;
      case COMMA:
        values++;
    }
    if (values > maxValues) throw tooMany(maxValues);
  }
}

function malformed(): Error {
  return new RangeError("Cannot decode the body: it ends inside a value, or goes on after it");
}

function tooDeep(): HttpProblem {
  const detail = `Cannot read the body: it is nested more than ${MAX_DEPTH} levels deep`;
  return new HttpProblem(400, "bad-request", detail);
}

function tooManyMembers(): HttpProblem {
  const detail = `Cannot read the body: an object has more than ${MAX_MEMBERS} members`;
  return new HttpProblem(413, "too-large", detail);
}

function tooMany(maxValues: number): HttpProblem {
  const detail = `Cannot read the body: it has more than ${maxValues} values`;
  return new HttpProblem(413, "too-large", detail);
}
