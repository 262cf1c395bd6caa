/**
 * Records that plant history under somebody else's id, or files outside a clone's folder. A reader
 * that skips records accepts these packs.
 *
 * @module
 */

import { acceptedHistories, refusedHistories } from "../../support/mpack/history_rules.ts";
import type { MaliciousCase } from "./case.ts";

/** File name, code, name in the table of rules, and what a careless reader does. */
const REFUSED: readonly (readonly [string, string, string, string])[] = [
  ["commit-false", "false-id", "a commit under another id", "history under somebody else's id"],
  ["commit-other-parent", "false-id", "another parent", "a commit with another past"],
  ["commit-other-signer", "false-id", "another signer", "a commit with another signer's key"],
  [
    "snapshot-false",
    "false-id",
    "a snapshot under another id",
    "files under another snapshot's id",
  ],
  [
    "snapshot-joined",
    "false-id",
    "a path and an id that are joined otherwise",
    "a manifest that hashes to the id if path and object id are joined without a NUL",
  ],
  [
    "snapshot-delta-false",
    "false-id",
    "a delta without a parent",
    "a delta over nothing, unchecked",
  ],
  ["commit-without-id", "bad-record-id", "a commit without id", "a commit that has no name"],
  ["commit-parent-empty", "bad-record-id", "an empty parent", "an empty text in place of nil"],
  ["message-nul", "bad-text", "NUL in a message", "fields are joined by NUL: two commits, one id"],
  ["path-nul", "bad-text", "NUL in a path", "a path and an id in one: two manifests, one id"],
  ["path-not-utf8", "bad-text", "a path not UTF-8", "a path that becomes another one as text"],
  ["path-parent", "bad-path", '"../a"', "a file beside the clone's folder"],
  ["path-inside-out", "bad-path", '"a/../b"', "a file under a name that is another one's"],
  ["path-absolute", "bad-path", '"/a"', "a file at the root of the disk"],
  ["path-backslash", "bad-path", '"a\\\\..\\\\b"', "a file elsewhere on Windows"],
  ["path-late", "duplicate-key", "a path twice in a sorted beginning", "two files, one path"],
  ["snapshot-both", "unexpected-shape", "a manifest and a delta", "which of the two counts"],
  ["test-runs-negative", "unexpected-shape", "negative test runs", "a count below zero"],
  [
    "manifest-unsorted",
    "limit-exceeded",
    "paths that do not come sorted",
    "to sort them is memory",
  ],
];

const ACCEPTED: readonly (readonly [string, string, string])[] = [
  [
    "paths-look-dangerous",
    "names that only look dangerous",
    "dots and a backslash inside names: no path leaves the folder",
  ],
  [
    "manifest-backwards",
    "an unsorted manifest",
    "the id is of the sorted paths, whatever their order in the pack",
  ],
  [
    "commits-twice",
    "the same commit twice",
    "a commit may be there twice; its annotations may differ",
  ],
];

/** The histories. */
export function histories(): MaliciousCase[] {
  const refused = refusedHistories(), accepted = acceptedHistories();
  return [
    ...REFUSED.map(([name, wanted, rule, why]): MaliciousCase => {
      const found = refused.find((one) => one.name === rule && one.code === wanted);
      if (found === undefined) throw new RangeError(`Cannot write ${name}: no rule "${rule}"`);
      const { code, pack: bytes, offsetBytes, limits } = found;
      return { name: `history-${name}`, code, offsetBytes, why, bytes, limits, history: true };
    }),
    ...ACCEPTED.map(([name, rule, why]): MaliciousCase => {
      const { pack: bytes } = accepted.find((one) => one.name === rule)!;
      return { name: `history-${name}`, code: null, offsetBytes: null, why, bytes, history: true };
    }),
  ];
}
