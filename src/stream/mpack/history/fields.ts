/**
 * The fields of records that are read. All other fields are skipped.
 *
 * @module
 */

import { In } from "../grammar.ts";
import type { KeptBytes } from "../kept_bytes.ts";

/** The field that the last key of a record named. */
export const enum Field {
  /** One that is skipped. */
  Other,
  /** A commit's id, or the commit of a tag. */
  CommitId,
  /** A snapshot's id, or the snapshot of a commit. */
  SnapshotId,
  /** The first parent. */
  Parent,
  /** The second parent of a merge. */
  SecondParent,
  /** The snapshot that a delta belongs to. */
  ParentSnapshot,
  /** Texts. */
  Message,
  Author,
  CommittedAt,
  SignerKey,
  Tag,
  TagId,
  CreatedAt,
  /** Annotations. */
  Metadata,
  ReviewedBy,
  TestRuns,
  /** A snapshot's entries. */
  Manifest,
  DeltaAdd,
  DeltaRemove,
  Directories,
}

const COMMIT = {
  commit_id: Field.CommitId,
  snapshot_id: Field.SnapshotId,
  parent_commit_id: Field.Parent,
  parent2_commit_id: Field.SecondParent,
  message: Field.Message,
  author: Field.Author,
  committed_at: Field.CommittedAt,
  signer_public_key: Field.SignerKey,
  metadata: Field.Metadata,
  reviewed_by: Field.ReviewedBy,
  test_runs: Field.TestRuns,
};
const SNAPSHOT = {
  snapshot_id: Field.SnapshotId,
  manifest: Field.Manifest,
  parent_snapshot_id: Field.ParentSnapshot,
  delta_add: Field.DeltaAdd,
  delta_remove: Field.DeltaRemove,
  directories: Field.Directories,
};
const TAG = {
  tag: Field.Tag,
  tag_id: Field.TagId,
  commit_id: Field.CommitId,
  created_at: Field.CreatedAt,
};

/** A field with its name as bytes. */
interface Named {
  readonly field: Field;
  readonly bytes: Uint8Array;
}

const UTF8 = new TextEncoder();
const named = (fields: Record<string, Field>): Named[] =>
  Object.entries(fields).map(([name, field]) => ({ field, bytes: UTF8.encode(name) }));
const FIELDS: Partial<Record<In, Named[]>> = {
  [In.Commit]: named(COMMIT),
  [In.Snapshot]: named(SNAPSHOT),
  [In.Tag]: named(TAG),
};

/** A longer key names no field. */
export const MAX_NAME_BYTES = 18;

/** The field of a record of this kind that the kept key names. */
export function fieldOf(kind: In, key: KeptBytes): Field {
  for (const { field, bytes } of FIELDS[kind] ?? []) if (key.equals(bytes)) return field;
  return Field.Other;
}
