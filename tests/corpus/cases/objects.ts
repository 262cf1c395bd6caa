/**
 * Packs whose objects are a trap: ids and contents.
 *
 * @module
 */

import {
  bin,
  buildMpack,
  bytesOf,
  header,
  map,
  mpackKey,
  object,
  Raw,
  raw,
  str,
  type Value,
} from "../../support/mpack/mpacks.ts";
import { HELLO, mark } from "../../support/mpack/rules.ts";
import { type MaliciousCase, refused, valid } from "./case.ts";

const ID = mpackKey(HELLO);
const BARE = ID.slice("sha256:".length);

function one(entry: Value): Uint8Array {
  return buildMpack({ objects: [entry] });
}

function ids(): MaliciousCase[] {
  const badId = (name: string, value: Value, why: string) =>
    refused("bad-object-id", name, one({ object_id: mark(value), content: HELLO }), why);
  const broken = bytesOf(ID).slice();
  broken[40] = 0xff;
  return [
    badId("id-upper-case", ID.toUpperCase(), "an id in upper case: the same object, another row"),
    badId("id-mixed-case", `sha256:${BARE.slice(0, -1)}A`, "one digit in upper case"),
    badId("id-prefix-case", `SHA256:${BARE}`, "the prefix in upper case"),
    badId("id-other-prefix", `sha512:${BARE}`, "another algorithm"),
    badId("id-double-prefix", `sha256:${ID}`, "the prefix twice"),
    badId("id-short", ID.slice(0, -1), "one digit too few"),
    badId("id-long", `${BARE}0`, "one digit too many"),
    badId("id-space", ` ${BARE.slice(1)}`, "a space in place of a digit"),
    badId(
      "id-newline",
      `${BARE.slice(1)}\n`,
      "a newline at the end: a pattern with $ may accept it",
    ),
    badId("id-nul", `${BARE.slice(0, 63)}\0`, "a NUL: Postgres refuses it in text, in mid-batch"),
    badId(
      "id-path",
      "../".repeat(21) + "a",
      "a path of 64 characters: where ids name files, it leaves",
    ),
    badId(
      "id-comma",
      BARE.slice(0, 60) + ",{}'",
      "what an array literal or a statement would read",
    ),
    badId("id-full-width", "１".repeat(21) + "a", "64 bytes of full-width digits"),
    badId("id-not-utf8", new Raw(broken), "an id that is not UTF-8"),
    badId("id-bin", new TextEncoder().encode(BARE), "an id in bin"),
    badId("id-nil", null, "nil as id"),
    badId("id-number", 7, "a number as id"),
    badId("id-declared-long", header("str", 2 ** 32 - 1, 32), "an id of 4 GiB"),
    refused("bad-object-id", "id-missing", one(mark({ content: HELLO })), "no id"),
    valid(
      "id-bare-and-prefixed",
      buildMpack({
        objects: [
          object({ content: HELLO, objectId: BARE }),
          object({ content: HELLO }),
        ],
      }),
      "one object under both forms of its id: two rows, for ids are stored as sent",
    ),
    valid(
      "id-twice",
      buildMpack({ objects: [object({ content: HELLO }), object({ content: HELLO })] }),
      "the same object twice; whether that is allowed is the index's matter, not the format's",
    ),
    valid("id-wide-header", one({ object_id: str(ID, 32), content: HELLO }), "an id under str 32"),
    valid(
      "id-wrong-hash",
      one({ object_id: "0".repeat(64), content: HELLO }),
      "content that does not hash to its id: nothing in the format; readers have to verify",
    ),
  ];
}

function contents(): MaliciousCase[] {
  const bad = (name: string, value: Value, why: string) =>
    refused("bad-content", name, one({ object_id: ID, content: mark(value) }), why);
  const inner = buildMpack({ objects: [object({ content: new Uint8Array(3) })] });
  return [
    bad("content-str", "hello", "text as content: older encoders write bytes so"),
    bad("content-nil", null, "nil as content"),
    bad("content-array", [104, 101], "numbers as content"),
    bad("content-ext", raw([0xd4, 0, 1]), "an extension as content"),
    bad("content-never", raw([0xc1]), "the byte 0xc1 as content"),
    refused(
      "unsupported-encoding",
      "encoding-unknown",
      one({ object_id: ID, encoding: mark("gzip"), content: HELLO }),
      "an encoding that no reader can undo: only the plain bytes hash to the id",
    ),
    valid(
      "encoding-zstd",
      one({ object_id: ID, encoding: "zstd", content: HELLO }),
      "no zstd at all, or a bomb: nothing in the format; readers have to decode within bounds",
    ),
    refused(
      "unsupported-encoding",
      "encoding-number",
      one({ object_id: ID, content: HELLO, encoding: mark(1) }),
      "an encoding that is not a name",
    ),
    valid(
      "encoding-nil",
      one({ object_id: ID, encoding: null, content: HELLO }),
      "nil as encoding: the content is plain",
    ),
    refused("bad-content", "content-missing", one(mark({ object_id: ID })), "no content"),
    refused("bad-object-id", "object-empty", one(mark({})), "an object with nothing in it"),
    refused(
      "limit-exceeded",
      "content-large",
      one({ object_id: ID, content: mark(HELLO) }),
      "a content above the limit, which is lowered to keep the file small",
      { maxContentBytes: 4 },
    ),
    valid("content-empty", one(object({ content: new Uint8Array(0) })), "zero bytes are a value"),
    valid(
      "content-mpack",
      one(object({ content: inner })),
      "an mpack inside an mpack: a reader that searches for keys finds an object that is not there",
    ),
    valid(
      "content-looks-like-object",
      one(object({ content: bytesOf(object({ content: HELLO })) })),
      "a content that is itself the bytes of an object",
    ),
    valid("content-first", one({ content: HELLO, object_id: ID }), "content before id"),
    valid(
      "content-wide-header",
      one({ object_id: ID, content: bin(HELLO, 32) }),
      "5 bytes under bin 32",
    ),
    valid(
      "object-wide-map",
      buildMpack({ objects: [map([["object_id", ID], ["content", HELLO]], 32)] }, 32),
      "maps under map 32 headers",
    ),
    valid(
      "object-extras",
      one({ a: [{ object_id: "x", content: 1 }], object_id: ID, content: HELLO, z: null }),
      "extra keys, with an object's keys inside them",
    ),
  ];
}

/** The traps of objects. */
export function objects(): MaliciousCase[] {
  return [...ids(), ...contents()];
}
