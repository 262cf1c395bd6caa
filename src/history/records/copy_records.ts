/**
 * Copies records out of the packs, checked against their ids, and rewrites those that have changed.
 *
 * @module
 */

import type { CommitRow } from "../../db/history/commits.ts";
import type { SnapshotRow } from "../../db/history/snapshots.ts";
import { DigestSet } from "../../lib/digest_set.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { checkCommit } from "./commit_check.ts";
import { annotatedRecord, type RecordPart } from "./commit_record.ts";
import { asMismatch, mismatch, type NamedPlace, openRecords } from "./open_records.ts";
import { commitOf } from "../read_commit.ts";
import { named } from "../read_manifest.ts";
import { ManifestCache } from "../select/manifest_cache.ts";
import { scanSnapshots } from "../select/scan_snapshots.ts";
import type { SelectOptions } from "../select/select_history.ts";
import { snapshotRecord } from "./snapshot_record.ts";
import { cursorOver, type ReadNext } from "./value_cursor.ts";

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
  for await (const { record, cursor, whole } of openRecords(store, records, signal)) {
    const { recordBytes, merged } = record;
    if (recordBytes > MAX_HELD_BYTES) {
      await commitOf(record, cursor);
      yield* copyLong(store, record, signal);
      continue;
    }
    const bytes = await whole();
    checkCommit(record, bytes);
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

/** How snapshots are written. */
export interface SnapshotCopies {
  /** Whether all are written with their whole manifest. Otherwise deltas stay what they are. */
  readonly isWhole: boolean;
  /** Snapshots that are deltas over nothing. */
  readonly overNothing: DigestSet;
}

/** So many snapshots written last may be the base of a delta; another delta is written whole. */
const MAX_BASES = 100_000;

/** Writes the records of snapshots, which were checked. A delta comes after what it builds upon. */
export class SnapshotCopier {
  readonly #options: SelectOptions;
  readonly #copies: SnapshotCopies;
  readonly #cache: ManifestCache;
  readonly #written = [new DigestSet(), new DigestSet()];

  constructor(options: SelectOptions, copies: SnapshotCopies) {
    this.#options = options;
    this.#copies = copies;
    this.#cache = new ManifestCache(options);
  }

  /**
   * Writes some snapshots.
   *
   * @param rows In the order of their bytes in the store.
   * @throws {HistoryError} `record-mismatch`.
   */
  async *copy(rows: readonly SnapshotRow[]): AsyncGenerator<Bytes, void, undefined> {
    let group: SnapshotRow[] = [], isCopied = true;
    for (const row of rows) {
      const next = this.#isCopied(row);
      if (next !== isCopied) {
        yield* this.#write(group, isCopied);
        group = [];
        isCopied = next;
      }
      group.push(row);
    }
    yield* this.#write(group, isCopied);
  }

  #isCopied({ snapshotId, parentSnapshotId }: SnapshotRow): boolean {
    const [last, before] = this.#written, { isWhole, overNothing } = this.#copies;
    if (isWhole) return parentSnapshotId === null && !overNothing.hasText(snapshotId);
    last.addText(snapshotId);
    if (last.size >= MAX_BASES) this.#written.splice(0, 2, new DigestSet(), last);
    return parentSnapshotId === null || last.hasText(parentSnapshotId) ||
      before.hasText(parentSnapshotId);
  }

  async *#write(
    rows: readonly SnapshotRow[],
    isCopied: boolean,
  ): AsyncGenerator<Bytes, void, undefined> {
    const { store, signal } = this.#options, cache = this.#cache;
    if (isCopied) {
      const records = openRecords(store, rows.map(named), signal);
      for await (const { record, readNext, whole } of records) {
        const { recordBytes } = record;
        if (recordBytes <= MAX_HELD_BYTES) yield await whole();
        else yield* pieces(record, readNext, recordBytes);
      }
      return;
    }
    const scanned = scanSnapshots({ ...this.#options, rows, cache, visit: () => {} });
    for await (const { row: { snapshotId }, createdAt, manifest } of scanned) {
      yield* snapshotRecord({ snapshotId, createdAt, manifest: manifest! });
    }
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
