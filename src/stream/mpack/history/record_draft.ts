/**
 * The record being read: its fields so far, and at its end the record that they make.
 *
 * @module
 */

import { digestOf } from "../../../lib/ids.ts";
import type { CommitRecord, SnapshotRecord, TagRecord } from "../../../lib/records.ts";
import { isCommitId } from "../../../lib/record_ids.ts";
import { badText, falseId, noRecordId, unexpected } from "../refusals.ts";
import { Field } from "./fields.ts";
import type { RecordDraft } from "./state.ts";
import type { ManifestReader } from "./manifest_reader.ts";
import type { RecordHasher } from "../../../lib/record_hasher.ts";

/** What the index of tags can hold. */
const MAX_TAG_CHARACTERS = 500;

/** An empty draft of a record that begins at `offsetBytes`. */
export function beginDraft(offsetBytes: number): RecordDraft {
  return {
    offsetBytes,
    texts: {},
    metadata: [],
    reviewedBy: [],
    testRuns: 0,
    annotationBytes: 0,
    hasManifest: false,
    deltaPaths: -1,
    hasDirectories: false,
    removed: [],
    removedBytes: 0,
  };
}

/** The commit. Throws unless it is whole and one of the rules makes its id. */
export function commitOf(draft: RecordDraft, endBytes: number, hasher: RecordHasher): CommitRecord {
  const { texts, offsetBytes, metadata } = draft;
  const commitId = requireId(draft, Field.CommitId, "commit_id");
  const snapshotId = requireId(draft, Field.SnapshotId, "snapshot_id");
  const parents = [texts[Field.Parent], texts[Field.SecondParent]];
  const names = metadata.filter((_, i) => i % 2 === 0);
  const commit: CommitRecord = {
    offsetBytes,
    sizeBytes: endBytes - offsetBytes,
    commitId,
    parentIds: parents.filter((id) => id !== undefined),
    snapshotId,
    author: texts[Field.Author] ?? "",
    committedAt: texts[Field.CommittedAt] ?? "",
    message: texts[Field.Message] ?? "",
    // Object.fromEntries() defines properties, so that `__proto__` is a name like any other.
    metadata: Object.fromEntries(names.map((name, i) => [name, metadata[2 * i + 1]])),
    reviewedBy: draft.reviewedBy,
    testRuns: draft.testRuns,
  };
  const fields = { ...commit, signerPublicKey: texts[Field.SignerKey] ?? "" };
  if (isCommitId(commitId, fields, (text) => hasher.hash(text))) return commit;
  throw falseId("commit", commitId, offsetBytes);
}

/** The snapshot. Throws unless it is whole and, if it is no delta, its manifest makes its id. */
export function snapshotOf(
  draft: RecordDraft,
  endBytes: number,
  manifest: ManifestReader,
): SnapshotRecord {
  const { texts, offsetBytes, hasManifest, deltaPaths } = draft;
  const snapshotId = requireId(draft, Field.SnapshotId, "snapshot_id");
  // Beside a manifest it says nothing about the files.
  const parentSnapshotId = hasManifest ? null : texts[Field.ParentSnapshot] ?? null;
  if (!hasManifest && deltaPaths < 0 && parentSnapshotId === null) {
    throw unexpected("a snapshot", "a map with a manifest or a delta", offsetBytes);
  }
  if (hasManifest && deltaPaths > 0) {
    throw unexpected("a snapshot", "either a manifest or a delta", offsetBytes);
  }
  const isVerifiable = !draft.hasDirectories;
  if (isVerifiable && parentSnapshotId === null && manifest.digest() !== digestOf(snapshotId)) {
    throw falseId("snapshot", snapshotId, offsetBytes);
  }
  const { entries } = manifest, sizeBytes = endBytes - offsetBytes;
  return { offsetBytes, sizeBytes, snapshotId, entries, parentSnapshotId, isVerifiable };
}

/** The tag. Throws unless it has a name and a commit. */
export function tagOf(draft: RecordDraft): TagRecord {
  const { texts, offsetBytes } = draft, tag = texts[Field.Tag] ?? "";
  const commitId = requireId(draft, Field.CommitId, "commit_id");
  if (tag === "" || tag.length > MAX_TAG_CHARACTERS) {
    const why =
      `a tag has a name of ${tag.length} characters, 1 to ${MAX_TAG_CHARACTERS} are allowed`;
    throw badText(why, offsetBytes);
  }
  return {
    tagId: texts[Field.TagId] ?? "",
    tag,
    commitId,
    createdAt: texts[Field.CreatedAt] ?? "",
  };
}

function requireId({ texts, offsetBytes }: RecordDraft, field: Field, name: string): string {
  const id = texts[field];
  if (id === undefined) throw noRecordId(name, offsetBytes);
  return id;
}
