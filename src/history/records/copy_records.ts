/**
 * Copies records out of the packs, checked against their ids, and rewrites those that have changed.
 *
 * @module
 */

import type { CommitRow } from "../../db/history/commits.ts";
import type { SnapshotRow } from "../../db/history/snapshots.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { annotatedRecord, type RecordPart } from "./commit_record.ts";
import { asMismatch, mismatch, type NamedPlace, openRecords } from "./open_records.ts";
import { commitOf } from "../read_commit.ts";
import { named } from "../read_manifest.ts";
import { scanSnapshots } from "../select/scan_snapshots.ts";
import type { SelectOptions } from "../select/select_history.ts";
import { snapshotRecord } from "./snapshot_record.ts";
import { type ReadNext, ValueCursor } from "./value_cursor.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const PIECE_BYTES = 64 * 1024;
/** A longer record is not held in memory, but read twice. */
const MAX_HELD_BYTES = 4 * 1024 * 1024;

/**
 * The records of commits, in the order given.
 *
 * @throws {HistoryError} `record-mismatch`, before any byte of the wrong record.
 */
export async function* copyCommits(
  store: BlobStore,
  rows: readonly CommitRow[],
  signal?: AbortSignal,
): AsyncGenerator<Bytes, void, undefined> {
  const records = rows.map((row) => ({ ...row, name: `commit ${row.commitId}` }));
  for await (const { record, cursor, readNext } of openRecords(store, records, signal)) {
    const { recordBytes, merged } = record;
    if (recordBytes > MAX_HELD_BYTES) {
      await commitOf(record, cursor);
      yield* copyLong(store, record, signal);
      continue;
    }
    const bytes = new Uint8Array(recordBytes);
    await readAll(record, readNext, bytes);
    await commitOf(record, cursorOver(bytes));
    if (merged === null) yield bytes;
    else {
      for (const part of await annotatedRecord(cursorOver(bytes), merged)) {
        yield part instanceof Uint8Array ? part : bytes.subarray(part.fromBytes, part.toBytes);
      }
    }
  }
}

/** Copies a commit whose record was checked. */
async function* copyLong(
  store: BlobStore,
  record: CommitRow & NamedPlace,
  signal?: AbortSignal,
): AsyncGenerator<Bytes, void, undefined> {
  let parts: RecordPart[] = [{ fromBytes: 0, toBytes: record.recordBytes }];
  if (record.merged !== null) {
    for await (const { cursor } of openRecords(store, [record], signal)) {
      parts = await annotatedRecord(cursor, record.merged);
    }
  }
  for await (const { readNext } of openRecords(store, [record], signal)) {
    let atBytes = 0;
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        yield part;
        continue;
      }
      for await (const _ of pieces(record, readNext, part.fromBytes - atBytes));
      yield* pieces(record, readNext, part.toBytes - part.fromBytes);
      atBytes = part.toBytes;
    }
  }
}

/**
 * The records of snapshots, which were checked: first those that are copied, then those that are
 * written anew.
 *
 * @throws {HistoryError} `record-mismatch`.
 */
export async function* copySnapshots(
  options: SelectOptions,
  rows: readonly SnapshotRow[],
  rewritten: ReadonlySet<string>,
): AsyncGenerator<Bytes, void, undefined> {
  const { store, signal } = options;
  const copied = rows.filter(({ snapshotId }) => !rewritten.has(snapshotId)).map(named);
  for await (const { record, readNext } of openRecords(store, copied, signal)) {
    yield* pieces(record, readNext, record.recordBytes);
  }
  const others = rows.filter(({ snapshotId }) => rewritten.has(snapshotId));
  const scanned = scanSnapshots({ ...options, rows: others, visit: () => {} });
  for await (const { row: { snapshotId }, createdAt, manifest } of scanned) {
    yield* snapshotRecord({ snapshotId, createdAt, manifest: manifest! });
  }
}

async function* pieces(
  record: NamedPlace,
  readNext: ReadNext,
  sizeBytes: number,
): AsyncGenerator<Bytes, void, undefined> {
  for (let left = sizeBytes; left > 0;) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, left));
    await readAll(record, readNext, piece);
    left -= piece.length;
    yield piece;
  }
}

async function readAll(record: NamedPlace, readNext: ReadNext, into: Uint8Array): Promise<void> {
  let readBytes: number;
  try {
    readBytes = await readNext(into);
  } catch (error) {
    throw asMismatch(record, error);
  }
  if (readBytes < into.length) throw mismatch(record, "the blob ended before them");
}

function cursorOver(bytes: Uint8Array): ValueCursor {
  let at = 0;
  return new ValueCursor((into) => {
    const part = bytes.subarray(at, at + into.length);
    into.set(part);
    at += part.length;
    return Promise.resolve(part.length);
  }, bytes.length);
}
