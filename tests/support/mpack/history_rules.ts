/**
 * The rules of docs/format.md for records as packs: what has to be accepted, and what has to be
 * refused with which code at which byte, if history is read.
 *
 * @module
 */

import type { MpackErrorCode } from "../../../src/errors.ts";
import {
  commitRecord,
  digestOf,
  type Fields,
  snapshotIdOf,
  snapshotRecord,
} from "../history/records.ts";
import { array, bin, buildMpack, map, mpackKey, raw, str, type Value } from "./mpacks.ts";
import { mark, marked, type Refused } from "./rules.ts";

/** A pack of records that is accepted. */
export interface AcceptedHistory {
  /** What is odd about it. */
  readonly name: string;
  /** Its bytes. */
  readonly pack: Uint8Array;
}

const ID = mpackKey(new TextEncoder().encode("hello")), BARE = ID.slice(-64);
const TIME = "2026-11-27T10:15:37.325180+00:00";
/** Sorted by code point, and not by UTF-16 units. */
const WIDE_PATHS = ["a", "\u{ff61}", "\u{1f600}"];

const commits = (...records: Value[]) => buildMpack({ commits: records });
const snapshots = (...records: Value[]) => buildMpack({ snapshots: records });
const tags = (...records: Value[]) => buildMpack({ tags: records });
/** A snapshot with this manifest, under the id of another one. */
const files = (manifest: Value) => snapshots({ snapshot_id: ID, manifest });
const file = (path: Value) => files(map([[mark(path), ID]]));

/** A commit whose id is made of the usual fields and these. */
function ruled(last: readonly Value[], fields: Fields = {}): Fields {
  const record = commitRecord(fields);
  return { ...record, commit_id: digestOf(record, last) };
}

/** Packs of records that are accepted. */
export function acceptedHistories(): AcceptedHistory[] {
  const parents = { parent_commit_id: ID, parent2_commit_id: `0${BARE.slice(1)}` };
  const whole = commitRecord({
    ...parents,
    message: "two lines\nand é",
    metadata: { ticket: "T-1", __proto__x: "", "": "é" },
    reviewed_by: ["grace", ""],
    test_runs: 2n ** 40n,
    structured_delta: { ops: [{ op: "insert", metadata: 1, reviewed_by: 2 }] },
  });
  const manifest = { "src/a.txt": ID, "src/b.txt": BARE, "src/a/…/x y": ID };
  const reversed = Object.fromEntries(Object.entries(manifest).reverse());
  const wide = Object.fromEntries(WIDE_PATHS.map((path) => [path, ID]));
  const long = { [`${"d/".repeat(200)}f`]: ID, z: ID, [`${"y".repeat(300)}`]: ID };
  const delta = { snapshot_id: ID, parent_snapshot_id: ID, delta_add: { b: ID, a: BARE } };
  const cases: Record<string, Uint8Array> = {
    "every field of a commit": commits(whole),
    "a commit without what may be absent": commits({
      commit_id: digestOf({ snapshot_id: ID, message: "" }, [""]),
      snapshot_id: ID,
    }),
    "nil in place of what may be absent": commits({
      ...ruled([""], { message: "", author: null, committed_at: null }),
      message: null,
      metadata: null,
      reviewed_by: null,
      test_runs: null,
      signer_public_key: null,
    }),
    "a commit by the rule with the author": commits(ruled(["ada"])),
    "a commit by the rule with six fields": commits({
      ...ruled([TIME, "ada", "key"]),
      signer_public_key: "key",
    }),
    "the rule with six fields and no key": commits(ruled([TIME, "ada", ""], parents)),
    "wide headers, strange keys, the id last": commits(map([
      [str("message", 32), str("m", 16)],
      [1, null],
      [raw([0xa1, 0xff]), [ID]],
      ["snapshot_id", str(BARE, 32)],
      ["x".repeat(19), "commit_id"],
      [str("commit_id", 8), digestOf({ snapshot_id: BARE, message: "m" }, [""])],
    ], 32)),
    "the same commit twice": commits(whole, whole),
    "a manifest": snapshots(snapshotRecord(manifest, { created_at: TIME })),
    "an unsorted manifest": snapshots(snapshotRecord(reversed)),
    "an empty manifest, and an empty delta beside it": snapshots(
      snapshotRecord({}, { delta_add: {}, delta_remove: [], parent_snapshot_id: ID }),
    ),
    "paths in the order of code points": snapshots(snapshotRecord(wide)),
    "long paths": snapshots(snapshotRecord(long)),
    "a manifest before its id": snapshots({ manifest, snapshot_id: snapshotIdOf(manifest) }),
    "several manifests": snapshots(
      ...[wide, reversed, manifest].map((each) => snapshotRecord(each)),
    ),
    "a manifest in wide headers": snapshots({
      snapshot_id: snapshotIdOf({ a: ID, b: BARE }),
      manifest: map([[str("a", 32), str(ID, 16)], [str("b", 8), str(BARE, 32)]], 32),
    }),
    "a delta without a parent": snapshots(
      { snapshot_id: snapshotIdOf(manifest), parent_snapshot_id: null, delta_add: manifest },
      { snapshot_id: snapshotIdOf({}), delta_remove: ["a"] },
    ),
    "deltas": snapshots(
      { ...delta, delta_remove: array(["c", "c/d"], 32), directories: [] },
      { snapshot_id: ID, parent_snapshot_id: ID },
    ),
    "an id that no rule can check": snapshots({ ...delta, directories: ["d", 1] }, {
      snapshot_id: ID,
      manifest: { a: ID },
      directories: ["d"],
    }),
    "names that only look dangerous": snapshots(
      snapshotRecord({ "...": ID, "..a/b..": ID, ".a/.b": ID, "a\\b": ID, "a\n\x7f": ID }),
    ),
    "tags": tags({ tag: "v1", tag_id: "", commit_id: BARE, created_at: null }, {
      commit_id: ID,
      tag: "é".repeat(500),
      x: [{}],
    }),
    "branch heads": buildMpack({ branch_heads: { "feat/x": ID, "": BARE, none: null } }),
    "no records": buildMpack({ branch_heads: null, tags: [], snapshots: null, commits: [] }),
  };
  return Object.entries(cases).map(([name, pack]) => ({ name, pack }));
}

/** Packs of records that are refused. */
export function refusedHistories(): Refused[] {
  const field = (name: string, value: Value) => commits(commitRecord({}, { [name]: mark(value) }));
  const metadata = (pairs: [Value, Value][]) => commits(commitRecord({}, { metadata: map(pairs) }));
  const tagged = (fields: Fields) => tags({ commit_id: ID, tag: "v1", ...fields });
  const never = raw([0xc1]), notUtf8 = raw([0xa1, 0xff]);
  const delta = (fields: Fields) => snapshots({ snapshot_id: ID, ...fields });
  const good = commitRecord(), hex = good.commit_id as string;
  const other = hex.slice(0, -1) + (hex.endsWith("0") ? "1" : "0");
  const { commit_id: _, ...idless } = good;
  const long = "k".repeat(1025);
  type Case = [MpackErrorCode, string, Uint8Array, Refused["limits"]?];
  const falseIds: Case[] = [
    ["false-id", "a commit under another id", commits(good, mark({ ...good, commit_id: other }))],
    ["false-id", "another message", commits(mark({ ...good, message: "another" }))],
    ["false-id", "another parent", commits(mark({ ...good, parent_commit_id: ID }))],
    ["false-id", "another snapshot", commits(mark({ ...good, snapshot_id: ID }))],
    ["false-id", "another time", commits(mark({ ...good, committed_at: TIME.replace("5", "6") }))],
    [
      "false-id",
      "another signer",
      commits(mark({ ...ruled([TIME, "ada", "key"]), signer_public_key: "k" })),
    ],
    [
      "false-id",
      "another author by a rule that counts him",
      commits(mark({
        ...ruled(["ada"]),
        author: "bob",
      })),
    ],
    [
      "false-id",
      "a snapshot under another id",
      snapshots(mark({
        snapshot_id: ID,
        manifest: { a: ID },
      })),
    ],
    [
      "false-id",
      "an unsorted one",
      snapshots(mark({
        manifest: { b: ID, a: ID },
        snapshot_id: ID,
      })),
    ],
    ["false-id", "an empty one", snapshots(mark({ snapshot_id: ID, manifest: {} }))],
    [
      "false-id",
      "a path and an id that are joined otherwise",
      snapshots(mark({
        snapshot_id: snapshotIdOf({ ab: ID }),
        manifest: { a: ID },
      })),
    ],
    [
      "false-id",
      "a delta without a parent",
      snapshots(mark({
        snapshot_id: ID,
        parent_snapshot_id: null,
        delta_add: { a: ID },
      })),
    ],
  ];
  const ids: Case[] = [
    ["bad-record-id", "bin as id", field("commit_id", bin(new Uint8Array(64)))],
    ["bad-record-id", "upper case", field("commit_id", ID.toUpperCase())],
    ["bad-record-id", "70 characters", field("snapshot_id", ID.slice(1))],
    ["bad-record-id", "nil as snapshot", field("snapshot_id", null)],
    ["bad-record-id", "an empty parent", field("parent_commit_id", "")],
    ["bad-record-id", "a list of parents", field("parent2_commit_id", [ID])],
    ["bad-record-id", "a parent with NUL", field("parent_commit_id", `${BARE.slice(1)}\0`)],
    ["bad-record-id", "a commit without id", commits(mark(idless))],
    ["bad-record-id", "an empty commit", commits(mark({}))],
    ["bad-record-id", "a commit without snapshot", commits(mark({ commit_id: ID }))],
    ["bad-record-id", "a snapshot without id", snapshots(mark({ manifest: {} }))],
    ["bad-record-id", "a parent snapshot", delta({ parent_snapshot_id: mark(1) })],
    ["bad-record-id", "a tag without commit", tags(mark({ tag: "v1" }))],
    ["bad-record-id", "a tag of nil", tagged({ commit_id: mark(null) })],
    ["bad-record-id", "a branch of a number", buildMpack({ branch_heads: { main: mark(1) } })],
    ["bad-object-id", "no id in a manifest", files({ a: ID, b: mark("x") })],
    ["bad-object-id", "bin in a manifest", files({ a: mark(new Uint8Array(64)) })],
    ["bad-object-id", "no digits", files({ a: mark("g".repeat(64)), b: ID })],
    ["bad-object-id", "another prefix", files({ a: mark(`sha257:${BARE}`), b: ID })],
    ["bad-object-id", "nil in a delta", delta({ delta_add: { a: mark(null) } })],
  ];
  const texts: Case[] = [
    ["bad-text", "NUL in a message", field("message", "a\0b")],
    ["bad-text", "NUL in a time", field("committed_at", `${TIME}\0`)],
    ["bad-text", "an author not UTF-8", field("author", notUtf8)],
    ["bad-text", "NUL in a signer's key", field("signer_public_key", "\0")],
    ["bad-text", "NUL in the metadata", metadata([["a", "1"], ["b", mark("\0")]])],
    ["bad-text", "NUL in a name of the metadata", metadata([[mark("a\0"), ""]])],
    [
      "bad-text",
      "a reviewer not UTF-8",
      commits(commitRecord({}, { reviewed_by: [mark(notUtf8)] })),
    ],
    ["bad-text", "NUL in a path", file("a\0b")],
    ["bad-text", "a path not UTF-8", file(notUtf8)],
    ["bad-text", "a surrogate in a path", file(raw([0xa4, 0x61, 0xed, 0xa0, 0x80]))],
    ["bad-text", "NUL in a path that a delta removes", delta({ delta_remove: [mark("\0")] })],
    ["bad-text", "NUL in a tag", tagged({ tag: mark("v\0") })],
    ["bad-text", "a tag without name", tags(mark({ commit_id: ID }))],
    ["bad-text", "an empty tag", tags(mark({ commit_id: ID, tag: "" }))],
    ["bad-text", "a tag of 501 characters", tags(mark({ commit_id: ID, tag: "é".repeat(501) }))],
    ["bad-text", "a branch with NUL", buildMpack({ branch_heads: map([[mark("\0"), ID]]) })],
  ];
  const paths = ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "../a", "a/../b", "a/.."];
  const backslashes = ["\\a", "a\\", "a\\..\\b", "..\\a", "a\\\\b", "a/\\b", "é/.."];
  const badPaths = [...paths, ...backslashes].map((path): Case => [
    "bad-path",
    JSON.stringify(path),
    file(path),
  ]);
  const shapes: Case[] = [
    ["unexpected-shape", "a commit is a number", commits(mark(1))],
    ["unexpected-shape", "a message in bin", field("message", bin(new Uint8Array(2)))],
    ["unexpected-shape", "an author that is a map", field("author", {})],
    ["unexpected-shape", "a time that is a number", field("committed_at", 1)],
    ["unexpected-shape", "metadata in an array", field("metadata", [])],
    ["unexpected-shape", "0xc1 as metadata", field("metadata", never)],
    [
      "unexpected-shape",
      "a number in the metadata",
      commits(commitRecord({}, {
        metadata: { a: mark(1) },
      })),
    ],
    [
      "unexpected-shape",
      "a key of the metadata",
      commits(commitRecord({}, {
        metadata: map([[mark(1), ""]]),
      })),
    ],
    ["unexpected-shape", "reviewers in a map", field("reviewed_by", {})],
    [
      "unexpected-shape",
      "a reviewer that is nil",
      commits(commitRecord({}, {
        reviewed_by: ["a", mark(null)],
      })),
    ],
    ["unexpected-shape", "test runs as a text", field("test_runs", "1")],
    ["unexpected-shape", "negative test runs", field("test_runs", -1)],
    ["unexpected-shape", "half a test run", field("test_runs", 0.5)],
    ["unexpected-shape", "2^53 test runs", field("test_runs", 2n ** 53n)],
    ["unexpected-shape", "a manifest in an array", files(mark([]))],
    ["unexpected-shape", "a path in bin", file(new Uint8Array(1))],
    ["unexpected-shape", "a path that is nil", file(null)],
    ["unexpected-shape", "a snapshot without manifest", snapshots(mark({ snapshot_id: ID }))],
    [
      "unexpected-shape",
      "a manifest that is nil",
      snapshots(mark({
        snapshot_id: ID,
        manifest: null,
      })),
    ],
    [
      "unexpected-shape",
      "a manifest and a delta",
      snapshots(mark(
        snapshotRecord({ a: ID }, { delta_add: { b: ID } }),
      )),
    ],
    [
      "unexpected-shape",
      "a delta and a manifest",
      snapshots(mark({
        delta_remove: ["b"],
        ...snapshotRecord({ a: ID }),
      })),
    ],
    ["unexpected-shape", "a delta in an array", delta({ delta_add: mark([ID]) })],
    ["unexpected-shape", "removed paths in a map", delta({ delta_remove: mark({}) })],
    ["unexpected-shape", "a removed path that is a number", delta({ delta_remove: [mark(1)] })],
    ["unexpected-shape", "directories in a map", delta({ directories: mark({}) })],
    ["unexpected-shape", "a tag that is a number", tagged({ tag: mark(1) })],
    ["unexpected-shape", "branches in an array", buildMpack({ branch_heads: mark([]) })],
    [
      "unexpected-shape",
      "a branch that is a number",
      buildMpack({
        branch_heads: map([[mark(1), ID]]),
      }),
    ],
    ["malformed-msgpack", "0xc1 in a record", field("agent_id", never)],
  ];
  const twice: Case[] = [
    [
      "duplicate-key",
      "a message twice",
      commits(map([
        ...Object.entries(good),
        [mark("message"), "other"],
      ])),
    ],
    ["duplicate-key", "an unknown key twice", commits(map([["x", 1], [mark("x"), 1]]))],
    ["duplicate-key", "a path twice", files(map([["a", ID], [mark("a"), ID]]))],
    [
      "duplicate-key",
      "a path twice, not in turn",
      files(map([
        ["a", ID],
        ["b", ID],
        [mark(str("a", 8)), BARE],
      ])),
    ],
    [
      "duplicate-key",
      "a path twice in a sorted beginning",
      files(map([
        ["a", ID],
        ["b", ID],
        ["é", ID],
        ["c", ID],
        [mark("é"), BARE],
      ])),
    ],
    [
      "duplicate-key",
      "a name of the metadata twice",
      commits(commitRecord({}, {
        metadata: map([["a", ""], [mark("a"), ""]]),
      })),
    ],
    [
      "duplicate-key",
      "a branch twice",
      buildMpack({
        branch_heads: map([["a", ID], [mark("a"), ID]]),
      }),
    ],
  ];
  const limits: Case[] = [
    ["limit-exceeded", "a second commit", commits(good, mark(good)), { maxCommits: 1 }],
    [
      "limit-exceeded",
      "a second snapshot",
      snapshots(snapshotRecord({}), mark(snapshotRecord({}))),
      { maxSnapshots: 1 },
    ],
    ["limit-exceeded", "a message", field("message", "12345"), { maxMessageBytes: 4 }],
    ["limit-exceeded", "an author", field("author", long)],
    ["limit-exceeded", "a tag", tagged({ tag: mark(long) })],
    [
      "limit-exceeded",
      "a branch",
      buildMpack({ branch_heads: map([[mark(long), ID]]) }),
    ],
    [
      "limit-exceeded",
      "a second annotation",
      commits(commitRecord({}, {
        metadata: { ab: "cd" },
        reviewed_by: [mark("e")],
      })),
      { maxAnnotationBytes: 4 },
    ],
    ["limit-exceeded", "a path", file("12345"), { maxPathBytes: 4 }],
    ["limit-exceeded", "a path of 4,097 bytes", file("x".repeat(4097))],
    ["limit-exceeded", "a removed path", delta({ delta_remove: [mark("12345")] }), {
      maxPathBytes: 4,
    }],
    [
      "limit-exceeded",
      "paths that do not come sorted",
      files(map([
        ["b", ID],
        ["c", ID],
        ["d", ID],
        [mark("a"), ID],
      ])),
      { maxUnsortedManifestBytes: 3 * 67 },
    ],
    [
      "limit-exceeded",
      "too many paths that do not come sorted",
      files(map([
        ["c", ID],
        ["b", ID],
        ["d", ID],
        [mark("e"), ID],
      ])),
      { maxUnsortedManifestBytes: 3 * 67 },
    ],
    [
      "limit-exceeded",
      "a large delta",
      snapshots(mark({
        snapshot_id: ID,
        parent_snapshot_id: ID,
        delta_add: { a: ID, b: ID },
      })),
      { maxManifestBytes: 133 },
    ],
    ["limit-exceeded", "many removed paths", delta({ delta_remove: ["a", mark("b")] }), {
      maxManifestBytes: 3,
    }],
    ["limit-exceeded", "a third path", files(map([["a", ID], ["b", ID], [mark("c"), ID]])), {
      maxOpenKeys: 5,
    }],
    [
      "limit-exceeded",
      "a third path, not sorted",
      files(map([["b", ID], ["a", ID], [mark("c"), ID]])),
      {
        maxOpenKeys: 5,
      },
    ],
    ["limit-exceeded", "entries count as nodes", files(map([["a", ID], ["b", mark(ID)]])), {
      maxNodes: 8,
    }],
    ["limit-exceeded", "a depth", files(mark({})), { maxDepth: 3 }],
  ];
  const cases = [...falseIds, ...ids, ...texts, ...badPaths, ...shapes, ...twice, ...limits];
  return cases.map(([code, name, pack, limits]) => ({ code, name, ...marked(pack), limits }));
}
