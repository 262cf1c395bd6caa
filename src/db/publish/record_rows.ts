/**
 * Records of history as the functions of the database take them: JSON with the names of the columns.
 *
 * @module
 */

import type { CommitRecord, SnapshotRecord, TagRecord } from "../../lib/records.ts";

/** Longer tags do not fit into an index; the hub's column has the same length. */
const MAX_TAG_CHARACTERS = 500;

/** What may change under one commit id. */
export interface Annotations {
  readonly metadata: Readonly<Record<string, string>>;
  readonly reviewed_by: readonly string[];
  readonly test_runs: number;
}

interface Located {
  readonly record_offset: number;
  readonly record_bytes: number;
}

/** A row of `musehub_commit_refs`, and the commit's parents. */
export interface CommitRow extends Located {
  readonly commit_id: string;
  readonly parent_ids: readonly string[];
  readonly snapshot_id: string;
  readonly author: string;
  readonly committed_at: string;
  readonly committed_time: string | null;
  readonly message: string;
  readonly annotations: Annotations | null;
}

/** A row of `musehub_snapshot_refs`. */
export interface SnapshotRow extends Located {
  readonly snapshot_id: string;
  readonly entries: number;
  readonly parent_snapshot_id: string | null;
  readonly delta_depth: number;
}

/** A row of `musehub_tags`. */
export interface TagRow {
  readonly tag: string;
  readonly commit_id: string;
  readonly created_at: string | null;
}

/** A row of `musehub_commit_graph`; what is null waits for an ancestor. */
export interface GraphRow {
  readonly commit_id: string;
  readonly parent_ids: readonly string[];
  readonly generation: number | null;
  readonly depth: number | null;
  readonly jump_id: string | null;
  /** The latest of its own time and 1 ms after each parent's `sort_time`, in ms since 1970. */
  readonly sort_time: number | null;
}

/** Records of one batch. */
export interface RecordRows {
  readonly commits: readonly CommitRow[];
  readonly snapshots: readonly SnapshotRow[];
  readonly tags: readonly TagRow[];
}

/** No records. */
export const NO_RECORDS: RecordRows = { commits: [], snapshots: [], tags: [] };

/** Whether there is nothing to write. */
export function isWithoutRecords({ commits, snapshots, tags }: RecordRows): boolean {
  return commits.length === 0 && snapshots.length === 0 && tags.length === 0;
}

/** A commit as a row. */
export function commitRow(record: CommitRecord): CommitRow {
  const { metadata, reviewedBy, testRuns } = record;
  const isAnnotated = testRuns > 0 || reviewedBy.length > 0 || Object.keys(metadata).length > 0;
  return {
    commit_id: record.commitId,
    parent_ids: record.parentIds,
    snapshot_id: record.snapshotId,
    author: record.author,
    committed_at: record.committedAt,
    committed_time: timeOf(record.committedAt),
    message: record.message,
    annotations: isAnnotated
      ? { metadata, reviewed_by: [...new Set(reviewedBy)].sort(), test_runs: testRuns }
      : null,
    record_offset: record.offsetBytes,
    record_bytes: record.sizeBytes,
  };
}

/** A snapshot as a row. */
export function snapshotRow(record: SnapshotRecord, deltaDepth: number): SnapshotRow {
  return {
    snapshot_id: record.snapshotId,
    entries: record.entries,
    parent_snapshot_id: record.parentSnapshotId,
    delta_depth: deltaDepth,
    record_offset: record.offsetBytes,
    record_bytes: record.sizeBytes,
  };
}

/** A tag as a row; undefined if its name cannot be stored. */
export function tagRow({ tag, commitId, createdAt }: TagRecord): TagRow | undefined {
  if (tag === "" || tag.length > MAX_TAG_CHARACTERS) return undefined;
  return { tag, commit_id: commitId, created_at: timeOf(createdAt) };
}

const ISO_8601 =
  /^(?!0000)\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?$/;

/** A time that PostgreSQL is sure to read as the client meant it, in UTC if it names no offset. */
function timeOf(text: string): string | null {
  if (!ISO_8601.test(text)) return null;
  const hasOffset = /(?:Z|[+-]\d\d:?\d\d)$/.test(text);
  const withOffset = hasOffset ? text : `${text}Z`;
  // The calendar decides about 30 February.
  const iso = withOffset.replace(" ", "T").replace(/([+-]\d\d)(\d\d)$/, "$1:$2");
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return null;
  const day = Number(iso.slice(8, 10)), month = Number(iso.slice(5, 7));
  return day <= new Date(Date.UTC(Number(iso.slice(0, 4)), month, 0)).getUTCDate() ? iso : null;
}
