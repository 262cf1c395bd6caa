/**
 * Reads many snapshots for the ids of their objects, and checks each snapshot's id.
 *
 * @module
 */

import type { SnapshotRow } from "../../db/history/snapshots.ts";
import { digestOf } from "../../lib/ids.ts";
import { comparePaths } from "../../lib/record_ids.ts";
import { type Manifest, ManifestCache } from "./manifest_cache.ts";
import { ManifestHash } from "../records/manifest_hash.ts";
import { asMismatch, mismatch, openRecords } from "../records/open_records.ts";
import { RawManifestHash } from "../records/raw_manifest_hash.ts";
import { RecentIds } from "./recent_ids.ts";
import {
  fullManifest,
  named,
  type ReadManifestOptions,
  readManifestPages,
  type SnapshotPlace,
} from "../read_manifest.ts";
import {
  cursorOver,
  type TextPair,
  type ValueCursor,
  type VisitPair,
} from "../records/value_cursor.ts";

/** A longer record is not held in memory. */
const MAX_HELD_BYTES = 1024 * 1024;
const DIGEST_CHARACTERS = 64;

/**
 * Called with the object ids that snapshots name; not always with one that the snapshot before has at
 * the same place.
 */
export type VisitId = (bytes: Uint8Array, from: number, to: number) => void;

/** One snapshot that was read. */
export interface ScannedSnapshot {
  readonly row: SnapshotRow;
  readonly createdAt: string;
  /** Its manifest, if its record does not hold all of it. */
  readonly manifest: Manifest | undefined;
}

/** Which snapshots to read. */
export interface ScanOptions extends Omit<ReadManifestOptions, "snapshotId"> {
  /** Best in the order of their bytes in the store. */
  readonly rows: readonly SnapshotRow[];
  /** Called before the snapshot's own id is checked. */
  readonly visit: VisitId;
  /** The manifests read last. Default: a new cache. */
  readonly cache?: ManifestCache;
}

/**
 * Reads snapshots in the order given.
 *
 * @throws {HistoryError} `record-mismatch`.
 */
export async function* scanSnapshots(
  { rows, visit, cache, ...from }: ScanOptions,
): AsyncGenerator<ScannedSnapshot, void, undefined> {
  cache ??= new ManifestCache(from);
  const records = openRecords(from.store, rows.map(named), from.signal);
  const scanner = new ManifestScanner(visit);
  for await (const { record, cursor, whole } of records) {
    const bytes = record.recordBytes <= MAX_HELD_BYTES ? await whole() : undefined;
    const found = await scan(record, bytes === undefined ? cursor : cursorOver(bytes), scanner);
    const { createdAt } = found;
    if (found.hash !== undefined) {
      await checkWhole(record, found.hash, bytes, from);
      yield { row: record, createdAt, manifest: undefined };
      continue;
    }
    const base = record.parentSnapshotId === null ? [] : await cache.get(record.parentSnapshotId);
    const manifest = new Map(base);
    for (const path of found.removed) manifest.delete(path);
    for (const [path, objectId] of found.added) manifest.set(path, objectId);
    checkDelta(record, manifest);
    cache.add(record.snapshotId, manifest);
    for (const objectId of manifest.values()) visitText(objectId, visit);
    yield { row: record, createdAt, manifest };
  }
}

/** What one record holds. */
interface Scanned {
  snapshotId: string | undefined;
  createdAt: string;
  /** Of its manifest; undefined if it is a delta. */
  hash: RawManifestHash | undefined;
  readonly added: TextPair[];
  removed: string[];
}

async function scan(
  record: SnapshotPlace,
  cursor: ValueCursor,
  scanner: ManifestScanner,
): Promise<Scanned> {
  const found: Scanned = {
    snapshotId: undefined,
    createdAt: "",
    hash: undefined,
    added: [],
    removed: [],
  };
  try {
    for (let left = await cursor.mapLength(); left > 0; left--) {
      const key = await cursor.text();
      if (key === "snapshot_id") found.snapshotId = await cursor.text();
      else if (key === "created_at") found.createdAt = await cursor.text() ?? "";
      else if (key === "delta_remove") found.removed = await cursor.texts() ?? [];
      else if (key === "delta_add" && await cursor.isMap()) {
        for await (const page of cursor.textPairs()) {
          for (const pair of page) found.added.push(pair);
        }
      } else if (key === "manifest" && await cursor.isMap()) {
        found.hash = await scanner.scan(cursor);
      } else await cursor.skip();
    }
  } catch (error) {
    throw asMismatch(record, error);
  }
  if (found.snapshotId !== record.snapshotId || !cursor.isAtEnd) {
    throw mismatch(record, "they are not this snapshot's record");
  }
  return found;
}

/** Reads manifests one after the other. */
class ManifestScanner {
  readonly #hash = new RawManifestHash();
  readonly #recent = new RecentIds();
  readonly #visit: VisitId;

  constructor(visit: VisitId) {
    this.#visit = visit;
  }

  /** Reads a manifest; the hash is good until the next one. */
  async scan(cursor: ValueCursor): Promise<RawManifestHash> {
    const hash = this.#hash, recent = this.#recent, visit = this.#visit;
    let nth = 0, viewed: Uint8Array | undefined, view: DataView;
    hash.reset();
    const visitPair: VisitPair = (bytes, pathAt, pathEnd, idAt, idEnd) => {
      if (idEnd - idAt < DIGEST_CHARACTERS) throw new RangeError("an id is not 64 hex digits");
      if (viewed !== bytes) {
        viewed = bytes;
        view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      }
      hash.add(view, pathAt, pathEnd, idEnd);
      if (!recent.isSame(view, nth++, idAt, idEnd)) visit(bytes, idAt, idEnd);
    };
    for (let left = await cursor.mapLength(); left > 0;) {
      left -= await cursor.pairs(left, visitPair);
    }
    return hash;
  }
}

/**
 * Checks the id. A manifest that is not sorted in its record is read again, to be sorted: from memory
 * if it is short. Reading 500 of them from the store again took 2 s.
 */
async function checkWhole(
  record: SnapshotPlace,
  hash: RawManifestHash,
  bytes: Uint8Array | undefined,
  from: Omit<ReadManifestOptions, "snapshotId">,
): Promise<void> {
  if (hash.isSorted) {
    const found = hash.digest();
    if (found === digestOf(record.snapshotId)) return;
    throw mismatch(record, `their manifest hashes to ${found}`);
  }
  const pages = bytes === undefined
    ? readManifestPages({ ...from, snapshotId: record.snapshotId })
    : fullManifest(record, cursorOver(bytes));
  while (!(await pages.next()).done);
}

function checkDelta(record: SnapshotPlace, manifest: Manifest): void {
  const hash = new ManifestHash();
  hash.update([...manifest].sort(([one], [other]) => comparePaths(one, other)));
  const found = hash.digest();
  if (found === digestOf(record.snapshotId)) return;
  throw mismatch(record, `their manifest hashes to ${found}`);
}

const UTF8 = new TextEncoder();
/** An id with its prefix has 71 bytes; a longer one is none. */
const SCRATCH = new Uint8Array(128);

function visitText(objectId: string, visit: VisitId): void {
  visit(SCRATCH, 0, UTF8.encodeInto(objectId, SCRATCH).written);
}
