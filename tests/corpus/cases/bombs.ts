/**
 * Packs that ask for more than they are worth: depth, memory, time.
 *
 * @module
 */

import {
  array,
  buildMpack,
  concat,
  header,
  map,
  object,
  raw,
  type Value,
} from "../../support/mpack/mpacks.ts";
import { HELLO, mark } from "../../support/mpack/rules.ts";
import { type MaliciousCase, refused, truncated, valid } from "./case.ts";

const MOST = 2 ** 32 - 1;
const UTF8 = new TextEncoder();

/** The beginning of a pack up to the value of its one section. */
function upTo(section: string): Uint8Array {
  return concat([
    header("map", 1).bytes,
    header("str", section.length).bytes,
    UTF8.encode(section),
  ]);
}

/** Containers inside one another, `levels` of them, given as the bytes that open one. */
function nested(levels: number, open: readonly number[], marked: number): Uint8Array {
  const parts = Array.from({ length: levels }, (_, i) => {
    const opening = raw(open);
    return i === marked ? mark(opening).bytes : opening.bytes;
  });
  return concat([upTo("x"), ...parts, Uint8Array.of(0xc0)]);
}

/** The bombs. */
export function bombs(): MaliciousCase[] {
  const hole = map([["object_id", "a".repeat(64)], ["content", header("bin", 2 ** 31, 32)]]);
  const sections = Array.from(
    { length: 70 },
    (_, i): [Value, Value] => [i === 64 ? mark("k64") : `k${i}`, null],
  );
  const manifest = (last: Value) =>
    map([...Array.from({ length: 3000 }, (_, i): [Value, Value] => [`p/${i}`, i]), [last, 0]]);
  return [
    refused(
      "limit-exceeded",
      "nest-arrays",
      nested(10_000, [0x91], 63),
      "10,000 arrays inside one another: a recursive reader overflows its stack",
    ),
    refused(
      "limit-exceeded",
      "nest-maps",
      nested(10_000, [0x81, 0xa0], 63),
      "10,000 maps inside one another",
    ),
    refused(
      "limit-exceeded",
      "nest-wide",
      nested(5_000, [0xdd, 0, 0, 0, 1], 63),
      "5,000 array 32 headers inside one another, each declaring one element",
    ),
    truncated(
      "declare-map",
      header("map", MOST, 32).bytes,
      "a map of 2^32-1 pairs in five bytes: allocating what is declared is the attack",
    ),
    truncated(
      "declare-objects",
      concat([upTo("objects"), header("array", MOST, 32).bytes]),
      "2^32-1 objects in fourteen bytes",
    ),
    truncated(
      "declare-commits",
      concat([upTo("commits"), header("array", MOST, 32).bytes, Uint8Array.of(0x80)]),
      "2^32-1 commits, of which one comes",
    ),
    truncated(
      "declare-array-of-arrays",
      concat([upTo("x"), ...Array(40).fill(header("array", MOST, 32).bytes)]),
      "40 nested arrays that each declare 2^32-1 elements",
    ),
    truncated(
      "declare-content",
      concat([upTo("objects"), array([hole]).bytes]),
      "a content of 2 GiB of which no byte comes",
    ),
    refused(
      "limit-exceeded",
      "declare-value",
      concat([upTo("x"), mark(header("str", MOST, 32)).bytes]),
      "a string of 4 GiB under a key that is not read",
    ),
    refused(
      "limit-exceeded",
      "declare-key",
      concat([header("map", 1).bytes, mark(header("str", MOST, 32)).bytes]),
      "a key of 4 GiB",
    ),
    refused(
      "limit-exceeded",
      "million-sections",
      concat([header("map", 1_000_000, 32).bytes, buildMpack(sections).subarray(3)]),
      "a million tiny sections, the 65th of which is one too many",
    ),
    refused(
      "limit-exceeded",
      "many-keys-in-object",
      buildMpack({ objects: [map(sections)] }),
      "an object with 70 keys",
    ),
    refused(
      "duplicate-key",
      "manifest-late-duplicate",
      buildMpack({ snapshots: [{ manifest: manifest(mark("p/0")) }] }),
      "the first of 3,000 paths comes again at the end: found by a scan of all keys, each key costs them all",
    ),
    refused(
      "limit-exceeded",
      "nodes",
      buildMpack({ x: [...Array(1000).fill(0), mark(0), 0] }),
      "values that are not read, one byte each; the limit is lowered to keep the file small",
      { maxNodes: 1001 },
    ),
    refused(
      "limit-exceeded",
      "objects",
      buildMpack({ objects: [object({ content: HELLO }), mark(object({ content: HELLO }))] }),
      "more objects than are allowed; the limit is lowered to keep the file small",
      { maxObjects: 1 },
    ),
    refused(
      "limit-exceeded",
      "open-keys",
      buildMpack({ x: { a: { b: map([[1, 1], [2, 2], [mark(3), 3]]) } } }),
      "keys of nested maps that have to be remembered together; the limit is lowered",
      { maxOpenKeys: 5 },
    ),
    valid(
      "slow-content",
      buildMpack({ objects: [object({ content: new Uint8Array(50_000).fill(0xc1) })] }),
      "feed it in chunks of one byte: a reader that looks again at what it has takes quadratic time",
    ),
  ];
}
