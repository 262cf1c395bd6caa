/**
 * The record being read, as JSON.
 *
 * @module
 */

import type { Field } from "./fields.ts";

/** The record being read. */
export interface HistoryState {
  /** What its next value is. */
  readonly field: Field;
  /** Its fields so far. */
  readonly draft: RecordDraft;
  /** The branch whose head comes next. */
  readonly branch: string;
  /** Its manifest so far. */
  readonly manifest: ManifestState;
}

/** A draft as JSON. */
export interface RecordDraft {
  /** First byte of the record's map. */
  offsetBytes: number;
  /** Ids and texts by {@link Field}. */
  readonly texts: Partial<Record<Field, string>>;
  /** Names and values in turn, the last name perhaps without its value yet. */
  readonly metadata: string[];
  readonly reviewedBy: string[];
  testRuns: number;
  /** Bytes of metadata and reviewers. */
  annotationBytes: number;
  /** Whether the snapshot has a full manifest. */
  hasManifest: boolean;
  /** Paths that its delta adds or removes; -1 if it has no delta. */
  deltaPaths: number;
  hasDirectories: boolean;
  /** The paths that a delta removes, and their bytes. */
  readonly removed: string[];
  removedBytes: number;
}

/** A manifest between two chunks. */
export interface ManifestState {
  /** Entries so far, the one being read included. */
  readonly entries: number;
  /** Their bytes, whether they are kept or not. */
  readonly sizeBytes: number;
  /** Whether each path came after the one before it. */
  readonly isSorted: boolean;
  /** The bytes that are kept, from the last path's first byte on if the others are hashed; hex. */
  readonly kept: string;
  /** First byte of the last path among them. */
  readonly lastAt: number;
  /** The midstate of the bytes before the kept ones, in hex; empty if there are none. */
  readonly midstate: string;
}
