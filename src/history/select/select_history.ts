/**
 * Finds all that a fetch sends: commits, their snapshots, and the objects that these name.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { type CommitRow, findCommits } from "../../db/history/commits.ts";
import { findSnapshots, type SnapshotRow } from "../../db/history/snapshots.ts";
import { HistoryError } from "../../errors.ts";
import { DigestSet } from "../../lib/digest_set.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { ByteBudget } from "./byte_budget.ts";
import { scanSnapshots, type VisitId } from "./scan_snapshots.ts";
import { snapshotRecordBytes } from "../records/snapshot_record.ts";
import { walkDifference } from "../walk_difference.ts";

/** Ids per statement. */
const PAGE_IDS = 5_000;
/** So many snapshots of `have` are read, for the objects that need not be sent. */
const MAX_EDGES = 16;

/** What to send. */
export interface SelectOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** Well-formed ids of the commits to send, with all their ancestors. */
  readonly want: readonly string[];
  /**
   * Well-formed ids of commits that are there, with all their ancestors and objects. Those that the
   * repo does not have are ignored.
   */
  readonly have: readonly string[];
  /** Ends the work with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** All that is to be sent. */
export interface HistorySelection {
  /** Children before parents. */
  readonly commits: readonly CommitRow[];
  /** In the order of their bytes in the store. */
  readonly snapshots: readonly SnapshotRow[];
  /** Those whose record does not hold the whole manifest. */
  readonly rewritten: ReadonlySet<string>;
  /** In no order. */
  readonly objectIds: readonly string[];
}

/**
 * Finds what is to be sent. The ids of snapshots are checked on the way. All records are counted
 * against the budget.
 *
 * @throws {HistoryError} `history-not-found`, `record-mismatch` or `fetch-too-large`.
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function selectHistory(
  options: SelectOptions,
  budget: ByteBudget,
): Promise<HistorySelection> {
  const commits: CommitRow[] = [], edges = new Set<string>();
  for await (const page of walkDifference(options)) {
    for (const edge of page.edges) edges.add(edge);
    for (const row of await commitRows(options, page.commits.map(({ commitId }) => commitId))) {
      budget.add(sentBytes(row));
      commits.push(row);
    }
  }
  const wanted = new Set(commits.map(({ snapshotId }) => snapshotId));
  const snapshots = await snapshotRows(options, wanted);
  for (const { recordBytes } of snapshots) budget.add(recordBytes);

  const there = await objectsThere(options, [...edges].slice(0, MAX_EDGES));
  const objects = new DigestSet(), rewritten = new Set<string>();
  const visit: VisitId = (bytes, from, to) => {
    if (!there.has(bytes, from, to)) objects.add(bytes, from, to);
  };
  for await (
    const { row, createdAt, manifest } of scanSnapshots({ ...options, rows: snapshots, visit })
  ) {
    if (manifest === undefined) continue;
    const { snapshotId, recordBytes } = row;
    rewritten.add(snapshotId);
    budget.add(snapshotRecordBytes({ snapshotId, createdAt, manifest }) - recordBytes);
  }
  return { commits, snapshots, rewritten, objectIds: [...objects.ids()] };
}

/** The objects of the commits that the missing ones build upon. */
async function objectsThere(
  options: SelectOptions,
  commitIds: readonly string[],
): Promise<DigestSet> {
  const there = new DigestSet();
  const visit: VisitId = (bytes, from, to) => void there.add(bytes, from, to);
  const commits = await findCommits(options.db, options.repoId, commitIds);
  const rows = await snapshotRows(options, new Set(commits.map(({ snapshotId }) => snapshotId)));
  const scanned = scanSnapshots({ ...options, rows, visit });
  while (!(await scanned.next()).done);
  return there;
}

/** The rows in the order of the ids. */
async function commitRows(
  { db, repoId }: SelectOptions,
  commitIds: readonly string[],
): Promise<CommitRow[]> {
  const rows = await findCommits(db, repoId, commitIds);
  const byId = new Map(rows.map((row) => [row.commitId, row]));
  return commitIds.map((id) => byId.get(id) ?? notThere(`commit ${id}`));
}

async function snapshotRows(
  { db, repoId }: SelectOptions,
  snapshotIds: ReadonlySet<string>,
): Promise<SnapshotRow[]> {
  const ids = [...snapshotIds], rows: SnapshotRow[] = [];
  for (let at = 0; at < ids.length; at += PAGE_IDS) {
    const page = await findSnapshots(db, repoId, ids.slice(at, at + PAGE_IDS));
    for (const row of page) rows.push(row);
  }
  const found = new Set(rows.map(({ snapshotId }) => snapshotId));
  for (const id of ids) if (!found.has(id)) notThere(`snapshot ${id}`);
  return ids.length <= PAGE_IDS ? rows : rows.sort(byPlace);
}

function byPlace(one: SnapshotRow, other: SnapshotRow): number {
  if (one.blobKey !== other.blobKey) return one.blobKey < other.blobKey ? -1 : 1;
  return one.recordOffset - other.recordOffset;
}

function notThere(what: string): never {
  throw new HistoryError("history-not-found", `Cannot send ${what}: this repo does not have it`);
}

/** Length of a commit's record as it is sent, or a little more. */
function sentBytes({ recordBytes, merged }: CommitRow): number {
  return merged === null ? recordBytes : recordBytes + JSON.stringify(merged).length + 100;
}
