/**
 * Packs whose keys are a trap: twice, of strange types, or dangerous as names.
 *
 * @module
 */

import {
  buildMpack,
  map,
  mpackKey,
  object,
  raw,
  str,
  type Value,
} from "../../support/mpack/mpacks.ts";
import { HELLO, mark } from "../../support/mpack/rules.ts";
import { type MaliciousCase, refused, valid } from "./case.ts";

const ID = mpackKey(HELLO);
const OBJECT: readonly [Value, Value][] = [["object_id", ID], ["content", HELLO]];

function inObject(pairs: readonly (readonly [Value, Value])[]): Uint8Array {
  return buildMpack({ objects: [map(pairs)] });
}

/** The same pack with a key twice, in each place where a map can be. */
function duplicates(): MaliciousCase[] {
  const twice = map([["k", 1], [mark("k"), 2]]);
  const places: [name: string, pack: Uint8Array, why: string][] = [
    [
      "objects",
      buildMpack([["objects", [object({ content: HELLO })]], [mark("objects"), []]]),
      "two objects sections: one reader takes the first, another the last",
    ],
    [
      "objects-wide-key",
      buildMpack([["objects", []], [mark(str("objects", 32)), [object({ content: HELLO })]]]),
      "two objects sections, the second under a key with a wide header",
    ],
    ["unknown-section", buildMpack([["x", 1], [mark("x"), 1]]), "an unknown section twice"],
    [
      "object-id",
      inObject([...OBJECT, [mark("object_id"), "0".repeat(64)]]),
      "two ids for one content",
    ],
    ["content", inObject([...OBJECT, [mark("content"), new Uint8Array(9)]]), "two contents"],
    ["object-extra", inObject([["p", 1], ...OBJECT, [mark("p"), 1]]), "an extra key twice"],
    ["commit", buildMpack({ commits: [twice] }), "in a commit"],
    ["snapshot", buildMpack({ snapshots: [twice] }), "in a snapshot"],
    ["manifest", buildMpack({ snapshots: [{ manifest: twice }] }), "a path twice in a manifest"],
    ["tag", buildMpack({ tags: [twice] }), "in a tag"],
    ["deep", buildMpack({ x: [[{ y: [twice] }]] }), "far inside a value that is not read"],
    ["map-in-object", inObject([["p", twice], ...OBJECT]), "in a map under an object's extra key"],
  ];
  return places.map(([name, pack, why]) =>
    refused("duplicate-key", `duplicate-${name}`, pack, why)
  );
}

/** Keys that are the same though their bytes differ. */
function disguises(): MaliciousCase[] {
  const pair = (first: Value, second: Value) =>
    buildMpack({ x: map([[first, 0], [mark(second), 0]]) });
  const zeros = (count: number) => Array<number>(count).fill(0);
  return [
    ["int-width", pair(1, raw([0xcf, ...zeros(7), 1])), "1 as fixint and as uint 64"],
    ["int-sign", pair(raw([0xcc, 5]), raw([0xd3, ...zeros(7), 5])), "5 as uint 8 and as int 64"],
    [
      "float-width",
      pair(raw([0xca, 0x3f, 0x80, 0, 0]), raw([0xcb, 0x3f, 0xf0, ...zeros(6)])),
      "1.0",
    ],
    ["minus-zero", pair(raw([0xcb, ...zeros(8)]), raw([0xcb, 0x80, ...zeros(7)])), "0.0 and -0.0"],
    ["nan", pair(raw([0xca, 0x7f, 0xc0, 0, 0]), raw([0xca, 0xff, 0xff, 0, 0])), "two NaNs"],
    ["ext", pair(raw([0xd4, 1, 2]), raw([0xc9, 0, 0, 0, 1, 1, 2])), "fixext 1 and ext 32"],
    ["nil", pair(null, null), "nil as key, twice"],
  ].map(([name, pack, why]) =>
    refused("duplicate-key", `same-key-${name}`, pack as Uint8Array, `one key in two forms: ${why}`)
  );
}

/** The traps of keys. */
export function keys(): MaliciousCase[] {
  const prototype = {
    ["__proto__"]: { objects: [] },
    constructor: 1,
    prototype: [],
    toString: null,
  };
  const names = Object.entries(prototype) as [string, Value][];
  return [
    ...duplicates(),
    ...disguises(),
    refused("unexpected-shape", "key-number", buildMpack([[mark(7), []]]), "a section named 7"),
    refused("unexpected-shape", "key-nil", buildMpack([[mark(null), []]]), "a section named nil"),
    refused(
      "unexpected-shape",
      "key-bin",
      inObject([[mark(new TextEncoder().encode("content")), HELLO], ["object_id", ID]]),
      "content as bin: many readers take bytes and text for the same key",
    ),
    refused(
      "unexpected-shape",
      "key-array",
      buildMpack({ x: map([[mark([]), 1]]) }),
      "an array as key",
    ),
    refused("unexpected-shape", "key-map", buildMpack({ x: map([[mark({}), 1]]) }), "a map as key"),
    refused(
      "malformed-msgpack",
      "key-not-utf8",
      buildMpack([[mark(raw([0xa2, 0xc3, 0x28])), 1]]),
      "a section whose name is not UTF-8: a lenient reader makes two such names one",
    ),
    refused(
      "malformed-msgpack",
      "key-surrogate",
      inObject([[mark(raw([0xa3, 0xed, 0xa0, 0x80])), 1], ...OBJECT]),
      "half of a surrogate pair as an object's key",
    ),
    refused(
      "malformed-msgpack",
      "key-overlong",
      buildMpack([[mark(raw([0xa8, 0x6f, 0x62, 0x6a, 0x65, 0x63, 0x74, 0xc1, 0xb3])), []]]),
      "objects with an overlong s",
    ),
    valid("prototype-sections", buildMpack(names), "sections named __proto__ and constructor"),
    valid(
      "prototype-in-object",
      inObject([...names, ...OBJECT]),
      "an object with a key __proto__: a reader that builds plain objects loses or gains fields",
    ),
    valid(
      "prototype-in-manifest",
      buildMpack({ snapshots: [map([["manifest", map([["__proto__", ID], ["a", ID]])]])] }),
      "a path named __proto__",
    ),
    valid(
      "key-bom",
      buildMpack([["\uFEFFobjects", 1], ["objects", [object({ content: HELLO })]]]),
      "objects after a byte order mark is another key: a text decoder that drops it sees a duplicate",
    ),
    valid(
      "key-nul",
      buildMpack([["objects\0", 1], ["objects", [object({ content: HELLO })]]]),
      "objects with a NUL at its end is another key: C strings end there",
    ),
    valid("key-normal-forms", buildMpack([["\u00e9", 1], ["e\u0301", 1]]), "é in two normal forms"),
    valid(
      "key-types",
      buildMpack({ x: map([[1, 0], ["1", 0], [true, 0], [1.5, 0]]) }),
      '1 and "1"',
    ),
    valid("key-empty", buildMpack([["", 1], ["objects", []]]), "an empty key"),
  ];
}
