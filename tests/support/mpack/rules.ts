/**
 * The rules of docs/format.md as packs: what has to be accepted, and what has to be refused with
 * which code at which byte. Every reader of packs is held to the same table.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { MpackErrorCode } from "../../../src/errors.ts";
import {
  array,
  bin,
  buildMpack,
  bytesOf,
  concat,
  header,
  map,
  mpackKey,
  object,
  Raw,
  raw,
  str,
  type Value,
} from "./mpacks.ts";
import type { WholeLimits } from "./whole_document.ts";

/** A pack that is accepted. */
export interface Accepted {
  /** What is odd about it. */
  readonly name: string;
  /** Its bytes; every content but the empty one is `HELLO`. */
  readonly pack: Uint8Array;
  /** How many objects it holds. */
  readonly rows: number;
}

/** A pack that is refused. */
export interface Refused {
  /** The code. */
  readonly code: MpackErrorCode;
  /** What is wrong with it. */
  readonly name: string;
  /** Its bytes. */
  readonly pack: Uint8Array;
  /** The byte blamed. */
  readonly offsetBytes: number;
  /** Limits other than the defaults. */
  readonly limits?: Partial<WholeLimits>;
}

/** The one content of all these packs. */
export const HELLO: Uint8Array = new TextEncoder().encode("hello");
const ID = mpackKey(HELLO);

/** Packs that are accepted. */
export function acceptedPacks(): Accepted[] {
  const one = (entry: Value) => buildMpack({ objects: [entry] });
  const wide = map([[str("content", 8), bin(HELLO, 32)], [str("object_id", 16), str(ID, 32)]], 32);
  const timestamp = raw([0xc7, 12, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  const scalars: Value[] = [null, true, false, 0, -1, 200, 70_000, -70_000, 2n ** 63n, 1.5, "a"];
  const strange = new Map<Value, Value>([
    [raw([0xd4, 1, 1]), timestamp],
    ...scalars.map((scalar) => [scalar, [scalar, scalar]] as const),
    [raw([0xca, 0x3f, 0x80, 0, 0]), "the float 1, beside the integer 200"],
    [new Uint8Array(1), raw([0xa1, 0xff])],
    [raw([0xa1, 0xff]), { __proto__x: 1, constructor: {} }],
  ]);
  const cases: Record<string, [pack: Uint8Array, rows: number]> = {
    "an empty map": [buildMpack({}), 0],
    "nil and empty sections": [buildMpack({ tags: null, objects: null, commits: [] }), 0],
    "an object": [one(object({ content: HELLO })), 1],
    "the empty object": [one(object({ content: new Uint8Array(0) })), 1],
    "a bare id": [one(object({ content: HELLO, objectId: ID.slice(7) })), 1],
    "content first, wide headers": [buildMpack([["objects", array([wide], 16)]], 32), 1],
    "extra keys": [one({ path: "", object_id: ID, x: [{}], content: HELLO, y: scalars }), 1],
    "an object whose encoding is nil": [
      one({ object_id: ID, encoding: null, content: HELLO }),
      1,
    ],
    "objects in zstd beside a plain one": [
      buildMpack({
        objects: [
          object({ content: HELLO }),
          { object_id: ID, encoding: "zstd", content: HELLO },
          { content: HELLO, encoding: str("zstd", 8), object_id: ID },
          object({ content: HELLO }),
        ],
      }),
      4,
    ],
    "the same object twice": [
      buildMpack({ objects: [object({ content: HELLO }), object({ content: HELLO })] }),
      2,
    ],
    "any type in a value that is not read": [buildMpack({ heads: strange, commits: [strange] }), 0],
    "a key that only looks like objects": [buildMpack({ "\uFEFFobjects": 1, objects: [] }), 0],
  };
  return Object.entries(cases).map(([name, [pack, rows]]) => ({ name, pack, rows }));
}

const MINUS_ZERO = raw([0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]);

const MARK = "<here>";
/** Takes out the one mark of a pack; what is blamed has to be the first byte after it. */
export function marked(pack: Uint8Array): { pack: Uint8Array; offsetBytes: number } {
  const text = Array.from(pack, (byte) => String.fromCharCode(byte)).join("");
  const offsetBytes = text.indexOf(MARK);
  assert.ok(offsetBytes >= 0 && text.indexOf(MARK, offsetBytes + 1) < 0, "one mark");
  const rest = pack.subarray(offsetBytes + MARK.length);
  return { pack: concat([pack.subarray(0, offsetBytes), rest]), offsetBytes };
}
/** A value with the mark before it. */
export function mark(value: Value): Raw {
  return raw(new Raw(new TextEncoder().encode(MARK)), new Raw(bytesOf(value)));
}

/** Packs that are refused. */
export function refusedPacks(): Refused[] {
  const never = raw([0xc1]);
  const entry = (fields: Value) => buildMpack({ objects: [fields] });
  const nest = (levels: number): Value => levels === 0 ? mark([]) : [nest(levels - 1)];
  const many = (count: number): [Value, Value][] =>
    Array.from({ length: count }, (_, i) => [i === 64 ? mark("k") : `k${i}`, 0]);
  const long = mark("k".repeat(1025));
  const cases: [MpackErrorCode, string, Uint8Array, Partial<WholeLimits>?][] = [
    ["unexpected-shape", "the pack is an array", bytesOf(mark([]))],
    ["unexpected-shape", "the pack is 0xc1", bytesOf(mark(never))],
    ["unexpected-shape", "a top key is a number", buildMpack([[mark(1), 1]])],
    ["unexpected-shape", "objects is a map", buildMpack({ objects: mark({}) })],
    ["unexpected-shape", "tags is false", buildMpack({ tags: mark(false) })],
    ["unexpected-shape", "an object is nil", entry(mark(null))],
    ["unexpected-shape", "a commit is an array", buildMpack({ commits: [{}, mark([])] })],
    ["unexpected-shape", "an object's key is bin", entry(map([[mark(HELLO), 1]]))],
    ["unexpected-shape", "a skipped key is a map", buildMpack({ x: map([[mark({}), 1]]) })],
    ["malformed-msgpack", "0xc1 as a skipped value", buildMpack({ x: [mark(never)] })],
    ["malformed-msgpack", "0xc1 as a skipped key", buildMpack({ x: map([[mark(never), 1]]) })],
    ["malformed-msgpack", "a top key not UTF-8", buildMpack([[mark(raw([0xa1, 0xff])), 1]])],
    ["malformed-msgpack", "an object's key not UTF-8", entry(map([[mark(raw([0xa1, 0x80])), 1]]))],
    ["duplicate-key", "a section twice", buildMpack([["objects", []], [mark("objects"), []]])],
    ["duplicate-key", "under a wider header", buildMpack([["x", 1], [mark(str("x", 32)), 1]])],
    ["duplicate-key", "content twice", entry(map([["content", HELLO], [mark("content"), HELLO]]))],
    ["duplicate-key", "an integer in two widths", twice(1, raw([0xcf, 0, 0, 0, 0, 0, 0, 0, 1]))],
    ["duplicate-key", "a negative in two widths", twice(-1, raw([0xd1, 0xff, 0xff]))],
    ["duplicate-key", "a float in two widths", twice(1.5, raw([0xca, 0x3f, 0xc0, 0, 0]))],
    ["duplicate-key", "zero and minus zero", twice(raw([0xca, 0, 0, 0, 0]), MINUS_ZERO)],
    ["duplicate-key", "an ext twice", twice(raw([0xd4, 5, 9]), raw([0xc7, 1, 5, 9]))],
    ["duplicate-key", "nil twice", twice(null, null)],
    ["bad-object-id", "bin as id", entry({ object_id: mark(HELLO), content: HELLO })],
    ["bad-object-id", "upper case", entry({ object_id: mark(ID.toUpperCase()) })],
    ["bad-object-id", "70 characters", entry({ object_id: mark(ID.slice(1)) })],
    ["bad-object-id", "71 wrong ones", entry({ object_id: mark(ID.replace(":", "-")) })],
    ["bad-object-id", "a long id cut off", entry({ object_id: mark(header("str", 9999)) })],
    ["bad-object-id", "no id", entry(mark({ content: HELLO }))],
    ["bad-object-id", "neither id nor content", entry(mark({}))],
    [
      "unsupported-encoding",
      "another one",
      entry({ object_id: ID, encoding: mark("gzip"), content: HELLO }),
    ],
    ["unsupported-encoding", "after the content", entry({ content: HELLO, encoding: mark("") })],
    ["unsupported-encoding", "in capitals", entry({ content: HELLO, encoding: mark("ZSTD") })],
    ["unsupported-encoding", "a number", entry({ encoding: mark(1) })],
    ["unsupported-encoding", "a long name", entry({ encoding: mark("z".repeat(33)) })],
    ["bad-content", "a string as content", entry({ content: mark("hello") })],
    ["bad-content", "nil as content", entry({ object_id: ID, content: mark(null) })],
    ["bad-content", "no content", entry(mark({ object_id: ID }))],
    ["limit-exceeded", "65 containers deep", buildMpack({ x: nest(63) })],
    ["limit-exceeded", "65 top keys", buildMpack(many(65))],
    ["limit-exceeded", "65 keys in an object", entry(map(many(65)))],
    ["limit-exceeded", "a long top key", buildMpack([[long, 1]])],
    ["limit-exceeded", "a long key in an object", entry(map([[long, 1]]))],
    ["limit-exceeded", "a long value", buildMpack({ x: mark("12345") }), { maxValueBytes: 4 }],
    ["limit-exceeded", "a third node", buildMpack({ x: [1, mark(2)] }), { maxNodes: 2 }],
    ["limit-exceeded", "keys count as nodes", buildMpack({ x: { k: mark(2) } }), { maxNodes: 2 }],
    [
      "limit-exceeded",
      "a second object",
      buildMpack({
        objects: [object({ content: HELLO }), mark(object({ content: HELLO }))],
      }),
      { maxObjects: 1 },
    ],
    ["limit-exceeded", "a large content", entry({ content: mark(HELLO) }), { maxContentBytes: 4 }],
    ["limit-exceeded", "a third open key", buildMpack({ x: map([["a", 1], [mark("b"), 1]]) }), {
      maxOpenKeys: 2,
    }],
    ["trailing-bytes", "a second document", concat([buildMpack({}), bytesOf(mark({}))])],
  ];
  return cases.map(([code, name, pack, limits]) => ({ code, name, ...marked(pack), limits }));
}

function twice(first: Value, second: Value): Uint8Array {
  return buildMpack({ commits: [map([[first, 0], [mark(second), 0]])] });
}
