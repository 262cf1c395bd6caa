/**
 * Single records under ids that are right, and every field of which a test can replace.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Value } from "../mpack/mpacks.ts";
import { snapshotDigest } from "./make_history.ts";

/** Fields of a record by name, in the order in which they are written. */
export type Fields = Record<string, Value>;

/** The names of objects by path. */
export type Manifest = Readonly<Record<string, string>>;

const bare = (id: string) => id.replace(/^sha256:/, "");

/** A snapshot with a whole manifest. */
export function snapshotRecord(manifest: Manifest, extra: Fields = {}): Fields {
  return { snapshot_id: snapshotIdOf(manifest), manifest, ...extra };
}

/** The id of a snapshot of these files. */
export function snapshotIdOf(manifest: Manifest): string {
  return `sha256:${snapshotDigest(new Map(Object.entries(manifest)))}`;
}

/** A commit under the id that its fields make; `extra` goes over the fields afterwards. */
export function commitRecord(fields: Fields = {}, extra: Fields = {}): Fields {
  const record: Fields = {
    snapshot_id: snapshotIdOf({}),
    message: "a commit",
    committed_at: "2026-11-27T10:15:37.325180+00:00",
    parent_commit_id: null,
    parent2_commit_id: null,
    author: "ada",
    ...fields,
  };
  return { commit_id: `sha256:${commitDigest(record)}`, ...record, ...extra };
}

/** The digest that the fields make by the rule with the time. */
export function commitDigest(record: Fields): string {
  return digestOf(record, [record.committed_at]);
}

/** The digest of the fields that all rules know, and of these after them. */
export function digestOf(record: Fields, last: readonly Value[]): string {
  const { parent_commit_id, parent2_commit_id, snapshot_id, message } = record;
  const parents = [parent_commit_id, parent2_commit_id].filter((id) => typeof id === "string");
  const start = [parents.map(bare).sort().join("\0"), bare(snapshot_id as string), message];
  return createHash("sha256").update([...start, ...last].join("\0")).digest("hex");
}
