/**
 * Reads the manifest of one snapshot of a repo.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findSnapshotChain, type SnapshotRow } from "../db/history/snapshots.ts";
import { HistoryError } from "../errors.ts";
import { digestOf, isObjectId } from "../lib/ids.ts";
import { comparePaths } from "../lib/record_ids.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { ManifestHash } from "./records/manifest_hash.ts";
import { asMismatch, mismatch, type NamedPlace, openRecords } from "./records/open_records.ts";
import type { TextPair, ValueCursor } from "./records/value_cursor.ts";

/** Which manifest to read. */
export interface ReadManifestOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** The id as it was pushed. */
  readonly snapshotId: string;
  /** A longer record must have its paths sorted. Default 64 MiB. */
  readonly maxUnsortedBytes?: number;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** One file of a snapshot. */
export type ManifestEntry = readonly [path: string, objectId: string];

/**
 * Reads a snapshot's files, sorted by path (by code point), and checks the snapshot's id. The last
 * entries come after the check.
 *
 * A record of up to `maxUnsortedBytes` is held in memory; a longer one is streamed.
 *
 * @throws {HistoryError} `history-not-found`, or `record-mismatch` if the stored bytes are not it.
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function* readManifest(
  options: ReadManifestOptions,
): AsyncGenerator<ManifestEntry, void, undefined> {
  for await (const page of readManifestPages(options)) yield* page;
}

/** The same in pages of some hundred entries: an entry by itself costs ten times as much. */
export async function* readManifestPages(
  options: ReadManifestOptions,
): AsyncGenerator<readonly ManifestEntry[], void, undefined> {
  const { db, store, repoId, snapshotId, signal } = options;
  const chain = isObjectId(snapshotId) ? await findSnapshotChain(db, repoId, snapshotId) : [];
  if (chain.length === 0) throw snapshotNotFound(snapshotId);
  const records = chain.map(named).reverse();
  const base = records[0], wanted = records[records.length - 1];
  if (base.parentSnapshotId !== null) {
    throw mismatch(wanted, `snapshot ${base.parentSnapshotId}, which it builds upon, is not there`);
  }
  if (records.length > 1) return yield* withDeltas(store, records, signal);
  for await (const { record, cursor } of openRecords(store, records, signal)) {
    yield* fullManifest(record, cursor, options.maxUnsortedBytes);
  }
}

/** The error for an id that the repo has no snapshot under. */
function snapshotNotFound(snapshotId: string): HistoryError {
  const shown = isObjectId(snapshotId) ? snapshotId : JSON.stringify(snapshotId.slice(0, 100));
  return new HistoryError("history-not-found", `Cannot find snapshot ${shown} in this repo`);
}

/** A snapshot's row, with its name. */
export type SnapshotPlace = SnapshotRow & NamedPlace;

/** What to call the snapshot in an error. */
export function named(row: SnapshotRow): SnapshotPlace {
  return { ...row, name: `snapshot ${row.snapshotId}` };
}

/** The index keeps 16 MiB to sort a manifest, counting neither prefixes nor headers. */
const MAX_UNSORTED_BYTES = 64 * 1024 * 1024;

/** The pages of a record with a whole manifest, which may be a delta over nothing. */
export async function* fullManifest(
  record: SnapshotPlace,
  cursor: ValueCursor,
  maxUnsortedBytes: number = MAX_UNSORTED_BYTES,
): AsyncGenerator<readonly ManifestEntry[], void, undefined> {
  if (record.recordBytes > maxUnsortedBytes) return yield* sortedManifest(record, cursor);
  const entries: ManifestEntry[] = [];
  for await (const { kind, page } of snapshotPages(record, cursor)) {
    if (kind !== "delta_remove") { for (const entry of page) entries.push(entry); }
  }
  yield checked(record, entries);
}

/** Holds one page back until the id is checked. */
async function* sortedManifest(record: SnapshotPlace, cursor: ValueCursor) {
  const hash = new ManifestHash();
  let held: readonly ManifestEntry[] | undefined, last: string | undefined;
  for await (const { kind, page } of snapshotPages(record, cursor)) {
    if (kind === "delta_remove") continue;
    for (const [path] of page) {
      if (last !== undefined && comparePaths(last, path) >= 0) {
        throw mismatch(record, `their paths are not sorted at ${JSON.stringify(path)}`);
      }
      last = path;
    }
    hash.update(page);
    if (held !== undefined) yield held;
    held = page;
  }
  checkId(record, hash);
  if (held !== undefined) yield held;
}

/** Applies the deltas to the first record's manifest. All states were small enough for the index. */
async function* withDeltas(
  store: BlobStore,
  records: readonly SnapshotPlace[],
  signal?: AbortSignal,
): AsyncGenerator<readonly ManifestEntry[], void, undefined> {
  const manifest = new Map<string, string>();
  for await (const { record, cursor } of openRecords(store, records, signal)) {
    const added: TextPair[] = [];
    for await (const { kind, page } of snapshotPages(record, cursor)) {
      if (kind === "delta_remove") { for (const [path] of page) manifest.delete(path); }
      else for (const entry of page) added.push(entry);
    }
    for (const [path, id] of added) manifest.set(path, id);
  }
  yield checked(records[records.length - 1], [...manifest]);
}

/** The entries, sorted, if they are those of the snapshot. */
function checked(record: SnapshotPlace, entries: ManifestEntry[]): readonly ManifestEntry[] {
  if (!isSorted(entries)) entries.sort(([one], [other]) => comparePaths(one, other));
  const hash = new ManifestHash();
  hash.update(entries);
  checkId(record, hash);
  return entries;
}

function isSorted(entries: readonly ManifestEntry[]): boolean {
  for (let i = 1; i < entries.length; i++) {
    if (comparePaths(entries[i - 1][0], entries[i][0]) >= 0) return false;
  }
  return true;
}

function checkId(record: SnapshotPlace, hash: ManifestHash): void {
  const found = hash.digest();
  if (found === digestOf(record.snapshotId)) return;
  throw mismatch(record, `their manifest hashes to ${found}`);
}

/** Entries of one map or array of a snapshot's record. A removed path comes with an empty id. */
interface Page {
  readonly kind: "manifest" | "delta_add" | "delta_remove";
  readonly page: readonly TextPair[];
}

/** The entries of a snapshot's record in the order of its bytes. */
async function* snapshotPages(
  record: SnapshotPlace,
  cursor: ValueCursor,
): AsyncGenerator<Page, void, undefined> {
  try {
    let id: string | undefined;
    for (let left = await cursor.mapLength(); left > 0; left--) {
      const kind = await cursor.text();
      if (kind === "snapshot_id") id = await cursor.text();
      else if ((kind === "manifest" || kind === "delta_add") && await cursor.isMap()) {
        for await (const page of cursor.textPairs()) yield { kind, page };
      } else if (kind === "delta_remove") {
        const paths = await cursor.texts() ?? [];
        yield { kind, page: paths.map((path) => [path, ""] as const) };
      } else await cursor.skip();
    }
    if (id !== record.snapshotId) throw new RangeError("they are not this snapshot's record");
    if (!cursor.isAtEnd) throw new RangeError("the record ends before their end");
  } catch (error) {
    throw asMismatch(record, error);
  }
}
