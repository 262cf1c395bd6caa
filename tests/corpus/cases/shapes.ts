/**
 * Packs that are no mpack: other documents, other types, too short or too long.
 *
 * @module
 */

import {
  buildMpack,
  bytesOf,
  concat,
  header,
  object,
  Raw,
  raw,
  type Value,
} from "../../support/mpack/mpacks.ts";
import { HELLO, mark } from "../../support/mpack/rules.ts";
import { type MaliciousCase, refused, truncated, valid } from "./case.ts";

const OBJECTS = [object({ content: HELLO })];
const NEVER = raw([0xc1]);

function wrongTypes(): MaliciousCase[] {
  const cases: [name: string, pack: Uint8Array, why: string][] = [
    ["document-array", bytesOf(mark([])), "the document is an array"],
    ["document-nil", bytesOf(mark(null)), "the document is nil"],
    ["document-never", bytesOf(mark(NEVER)), "the document is the byte 0xc1"],
    [
      "document-text",
      concat([bytesOf(mark(new Raw(new TextEncoder().encode('{"objects":[]}'))))]),
      "JSON",
    ],
    ["document-gzip", bytesOf(mark(raw([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]))), "a gzip stream"],
    ["objects-map", buildMpack({ objects: mark({ a: OBJECTS[0] }) }), "objects is a map"],
    ["objects-bin", buildMpack({ objects: mark(HELLO) }), "objects is bin"],
    ["objects-false", buildMpack({ objects: mark(false) }), "objects is false"],
    ["objects-never", buildMpack({ objects: mark(NEVER) }), "objects is the byte 0xc1"],
    [
      "objects-ext",
      buildMpack({ objects: mark(raw([0xc7, 1, 5, 0x90])) }),
      "objects in an extension",
    ],
    ["commits-number", buildMpack({ commits: mark(0) }), "commits is a number"],
    ["snapshots-map", buildMpack({ snapshots: mark({}) }), "snapshots is a map"],
    ["tags-str", buildMpack({ tags: mark("v1") }), "tags is a string"],
    ["object-nil", buildMpack({ objects: [...OBJECTS, mark(null)] }), "an object is nil"],
    ["object-array", buildMpack({ objects: [mark(["id", HELLO])] }), "an object is a pair"],
    ["object-nested", buildMpack({ objects: [mark(OBJECTS)] }), "objects one level too deep"],
    ["commit-nil", buildMpack({ commits: [{}, mark(null)] }), "a commit is nil"],
    ["snapshot-str", buildMpack({ snapshots: [mark("s")] }), "a snapshot is a string"],
    ["tag-array", buildMpack({ tags: [mark([])] }), "a tag is an array"],
  ];
  return cases.map(([name, pack, why]) => refused("unexpected-shape", name, pack, why));
}

/** Packs of a wrong shape, and some of an odd one. */
export function shapes(): MaliciousCase[] {
  const whole = buildMpack({ objects: OBJECTS, tags: null });
  const odd: Value = [
    raw([0xa2, 0xff, 0xfe]),
    "\uFEFFx",
    "a\0b",
    raw([0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
  ];
  const never = (name: string, pack: Uint8Array, why: string) =>
    refused("malformed-msgpack", name, pack, why);
  return [
    ...wrongTypes(),
    never("never-value", buildMpack({ x: [1, mark(NEVER)] }), "0xc1 in a value that is not read"),
    never(
      "never-key",
      buildMpack({ x: new Map<Value, Value>([[mark(NEVER), 1]]) }),
      "0xc1 as a key",
    ),
    never("never-in-commit", buildMpack({ commits: [{ a: mark(NEVER) }] }), "0xc1 in a commit"),
    truncated("empty", new Uint8Array(0), "nothing at all"),
    truncated("cut-in-content", whole.subarray(0, whole.length - 9), "ends inside a content"),
    truncated(
      "cut-in-header",
      bytesOf(header("map", 1, 32)).subarray(0, 3),
      "ends inside a header",
    ),
    truncated("cut-after-key", whole.subarray(0, whole.length - 1), "ends between key and value"),
    truncated(
      "cut-count-too-high",
      concat([header("map", 3).bytes, whole.subarray(1)]),
      "declares a section more than there is: everything before it looks whole",
    ),
    refused(
      "trailing-bytes",
      "trailing-document",
      concat([whole, mark(new Raw(whole)).bytes]),
      "a second pack follows: a reader of sequences indexes both",
    ),
    refused(
      "trailing-bytes",
      "trailing-nul",
      concat([whole, mark(raw([0])).bytes]),
      "a NUL follows",
    ),
    refused("trailing-bytes", "trailing-never", concat([whole, mark(NEVER).bytes]), "0xc1 follows"),
    refused(
      "trailing-bytes",
      "trailing-count-too-low",
      concat([
        header("map", 1).bytes,
        buildMpack({ objects: OBJECTS }).subarray(1),
        mark("tags").bytes,
        Uint8Array.of(0xc0),
      ]),
      "declares a section fewer than there is",
    ),
    valid(
      "nil-everywhere",
      buildMpack({ commits: null, snapshots: null, objects: null, tags: null, x: null }),
      "nil for every section",
    ),
    valid("nothing", buildMpack({}), "an empty map"),
    valid(
      "commits-empty-maps",
      buildMpack({ commits: [{}, {}], snapshots: [{}], tags: [{}] }),
      "records with nothing in them",
    ),
    valid(
      "text-oddities",
      buildMpack({ commits: [{ message: odd }], x: odd }),
      "strings that are not UTF-8, hold a NUL or a byte order mark, in values that are not read",
    ),
    valid(
      "paths-oddities",
      buildMpack({
        snapshots: [{
          manifest: { "../../etc/passwd": "x", "a\0": "x", "": "x", "con\u202e": "x" },
        }],
      }),
      "paths that leave the folder, hold a NUL, are empty, or turn text around",
    ),
    valid(
      "sections-backwards",
      buildMpack({ zz: 1, tags: null, objects: OBJECTS, snapshots: [], commits: [] }),
      "sections from back to front",
    ),
    valid(
      "deep-enough",
      buildMpack({ x: raw(Array(63).fill(0x91), [0xc0]) }),
      "64 containers deep, as many as are allowed",
    ),
  ];
}
