/**
 * The records of a pack's history: the fields that the index needs, and where each record lies. The
 * decoder makes them, the database takes them. A record is located, not copied: its manifest stays
 * in the pack.
 *
 * @module
 */

/** Where a record's map lies in the pack. */
export interface RecordLocation {
  /** First byte of the map's header, counted from the start of the pack. */
  readonly offsetBytes: number;
  /** Length of the whole map in bytes. */
  readonly sizeBytes: number;
}

/** A commit. Ids are as the pack has them, with or without `sha256:`. */
export interface CommitRecord extends RecordLocation {
  /** The id, which was verified. */
  readonly commitId: string;
  /** None, one or two, the first parent first. */
  readonly parentIds: readonly string[];
  /** The snapshot of the files. */
  readonly snapshotId: string;
  /** As sent; may be empty. */
  readonly author: string;
  /** ISO 8601 as sent: the id may depend on every character of it. May be empty. */
  readonly committedAt: string;
  /** As sent; may be empty. */
  readonly message: string;
  /** An annotation: it may change under the same id. */
  readonly metadata: Readonly<Record<string, string>>;
  /** An annotation that only grows. */
  readonly reviewedBy: readonly string[];
  /** An annotation that only grows; 0 or more. */
  readonly testRuns: number;
}

/** A snapshot, without its manifest. */
export interface SnapshotRecord extends RecordLocation {
  /** The id; verified if `isVerifiable` and `parentSnapshotId` is null. */
  readonly snapshotId: string;
  /** Entries of its manifest or, of a delta, of `delta_add`. */
  readonly entries: number;
  /** The snapshot that this one is a delta to; null if its manifest is complete. */
  readonly parentSnapshotId: string | null;
  /** False if no known rule makes its id: it has `directories`. Such a record must not be stored. */
  readonly isVerifiable: boolean;
}

/** A tag. */
export interface TagRecord {
  /** The tag's own id; may be empty. */
  readonly tagId: string;
  /** Its name. */
  readonly tag: string;
  /** The commit it names. */
  readonly commitId: string;
  /** ISO 8601 as sent; may be empty. */
  readonly createdAt: string;
}

/** One entry of `branch_heads`. */
export interface BranchHead {
  /** The branch. */
  readonly name: string;
  /** The commit that it names. */
  readonly commitId: string;
}

/** Records that were completed since the last call, each kind in the order of the pack. */
export interface PackRecords {
  /** Commits. */
  readonly commits: readonly CommitRecord[];
  /** Snapshots. */
  readonly snapshots: readonly SnapshotRecord[];
  /** Tags. */
  readonly tags: readonly TagRecord[];
  /** The branches that the pack names. They say nothing that a push relies on. */
  readonly branchHeads: readonly BranchHead[];
}
