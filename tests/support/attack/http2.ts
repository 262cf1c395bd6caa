/**
 * HTTP/2 frames over cleartext, as RFC 9113 has them and as it forbids them.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9113 | RFC 9113}
 * @see {@link https://www.rfc-editor.org/rfc/rfc7541 | RFC 7541: HPACK}
 * @module
 */

import { concat } from "../store/blobs.ts";
import type { Random } from "./random.ts";

export const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** Frame types. */
export const DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4;
export const PING = 6, WINDOW_UPDATE = 8, CONTINUATION = 9;
/** Flags. */
export const END_STREAM = 1, END_HEADERS = 4;

/** A frame. */
export interface Frame {
  readonly type: number;
  readonly flags?: number;
  readonly stream?: number;
  readonly payload?: Uint8Array;
  /** What its head says, if that is not the payload's length. */
  readonly length?: number;
}

/** Writes a frame. */
export function frame({ type, flags = 0, stream = 0, payload, length }: Frame) {
  const bytes = payload ?? new Uint8Array(), declared = length ?? bytes.length;
  const head = [declared >>> 16 & 0xff, declared >>> 8 & 0xff, declared & 0xff, type, flags];
  return concat([Uint8Array.from([...head, ...bigEndian(stream)]), bytes]);
}

/** How an honest connection begins. */
export const OPENING = concat([PREFACE, frame({ type: SETTINGS })]);

function bigEndian(value: number): number[] {
  return [value >>> 24 & 0xff, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}

/** Writes fields as literals, added to no table and without Huffman coding. */
export function headerBlock(
  fields: readonly (readonly [string, string])[],
): Uint8Array<ArrayBuffer> {
  return concat(fields.map(([name, value]) => concat([Uint8Array.of(0), text(name), text(value)])));
}

/** Writes a field that also goes into the dynamic table, where it gets the index 62. */
export function indexedField(name: string, value: string): Uint8Array<ArrayBuffer> {
  return concat([Uint8Array.of(0x40), text(name), text(value)]);
}

function text(value: string): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(value, (character) => character.charCodeAt(0) & 0xff);
  return concat([Uint8Array.from(integer(bytes.length, 7)), bytes]);
}

/** RFC 7541, section 5.1. */
function integer(value: number, prefixBits: number): number[] {
  const most = 2 ** prefixBits - 1;
  if (value < most) return [value];
  const bytes = [most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}

/** The fields of a plain request. */
export function requestFields(path: string, method = "GET"): [string, string][] {
  return [[":method", method], [":scheme", "http"], [":authority", "127.0.0.1"], [":path", path]];
}

const PSEUDO: readonly (readonly [string, string])[] = [
  [":method", "GET"],
  [":method", "G T"],
  [":method", ""],
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "file"],
  [":scheme", "https"],
  [":scheme", "\u0000"],
  [":authority", "a b"],
  [":authority", "user:secret@x:99999"],
  [":authority", "[::1"],
  [":authority", ""],
  [":path", "*"],
  [":path", ""],
  [":path", "no-slash"],
  [":path", "/\u0000"],
  [":path", "http://other.example/"],
  [":path", "/api/jobs?after=%00"],
  [":path", `/${"x".repeat(9_000)}`],
  [":status", "200"],
  [":unknown", "x"],
];
const FIELDS: readonly (readonly [string, string])[] = [
  ["Upper-Case", "x"],
  ["connection", "keep-alive"],
  ["transfer-encoding", "chunked"],
  ["te", "gzip"],
  ["host", "other.example"],
  ["host", "a b"],
  ["content-length", "5"],
  ["content-length", "-1"],
  ["content-length", "99999999999999999999"],
  ["", "x"],
  ["x y", "z"],
  ["x", "a\u0000b"],
  ["x", "a\r\nb: c"],
  ["cookie", "a=b"],
  ["authorization", "Bearer x"],
  ["signature-input", 'sig=("a b");created=1;keyid="x"'],
  ["signature", "sig=:AA==:"],
  ["x-forwarded-for", "1.2.3.4"],
  ["content-encoding", "gzip"],
];

/** The bytes of one connection: a preface, mostly settings, and frames at random. */
export function makeConnection(random: Random): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [PREFACE];
  if (random.below(10) > 0) parts.push(frame({ type: SETTINGS, payload: settings(random) }));
  const count = 1 + random.below(8);
  for (let i = 0; i < count; i++) {
    parts.push(random.below(2) === 0 ? randomFrame(random) : randomRequest(random, 2 * i + 1));
  }
  const bytes = concat(parts);
  if (random.below(6) === 0) bytes[random.below(bytes.length)] = random.below(256);
  return random.below(12) === 0 ? bytes.slice(0, random.below(bytes.length)) : bytes;
}

function settings(random: Random): Uint8Array<ArrayBuffer> {
  const count = random.below(3), values = [0, 1, 16_384, 2 ** 24 - 1, 2 ** 31 - 1, 2 ** 32 - 1];
  const entries = Array.from(
    { length: count },
    () => Uint8Array.from([0, random.below(10), ...bigEndian(random.pick(values))]),
  );
  return concat(entries);
}

function randomFrame(random: Random): Uint8Array<ArrayBuffer> {
  const payload = random.bytes(random.below(60));
  return frame({
    type: random.below(12),
    flags: random.below(256),
    stream: random.pick([0, 1, 2, 3, 5, 7, 2 ** 31 - 1]),
    payload,
    ...(random.below(5) === 0 ? { length: random.pick([0, 1, 16_385, 2 ** 24 - 1]) } : {}),
  });
}

function randomRequest(random: Random, stream: number): Uint8Array<ArrayBuffer> {
  const method = random.pick(["GET", "GET", "POST", "DELETE", "OPTIONS"]);
  const path = random.pick(["/healthz", "/api/jobs", "/me/repo/filter-objects", "/openapi.json"]);
  const fields: (readonly [string, string])[] = requestFields(path, method);
  for (let i = random.below(3); i > 0; i--) {
    const at = random.below(fields.length + 1);
    fields.splice(at, random.below(2), random.pick(random.below(2) === 0 ? PSEUDO : FIELDS));
  }
  const block = headerBlock(fields), cut = random.below(3) === 0 ? random.below(block.length) : 0;
  const end = random.below(2) === 0 ? END_STREAM : 0;
  const parts = cut === 0
    ? [frame({ type: HEADERS, flags: end | END_HEADERS, stream, payload: block })]
    : [
      frame({ type: HEADERS, flags: end, stream, payload: block.subarray(0, cut) }),
      frame({ type: CONTINUATION, flags: END_HEADERS, stream, payload: block.subarray(cut) }),
    ];
  if (end === 0) {
    const payload = random.bytes(random.below(40));
    parts.push(frame({ type: DATA, flags: random.below(2), stream, payload }));
  }
  return concat(parts);
}
