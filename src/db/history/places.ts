import type { Database } from "../client/database.ts";
import { readArray } from "../client/read_array.ts";

/** Where one record of a repo's history lies: the bytes of its map in a pack of the same repo. */
export interface RecordPlace {
  readonly mpackId: number;
  /** The mpack that holds the record. */
  readonly mpackKey: string;
  /** Key of the mpack's blob in the store. */
  readonly blobKey: string;
  /** The version of the blob that was indexed. */
  readonly etag: string;
  /** First byte of the record in the mpack. */
  readonly recordOffset: number;
  /** Length of the record in bytes. */
  readonly recordBytes: number;
  /** When an audit found other bytes there; null if none did. */
  readonly damagedAt: Date | null;
}

/** The columns of a place, of the records `r` and their mpacks `m`. */
export function placeColumns({ sql }: Database) {
  return sql`m.mpack_id as "mpackId", m.mpack_key as "mpackKey", m.blob_key as "blobKey", m.etag,
    r.record_offset as "recordOffset", r.record_bytes as "recordBytes",
    r.damaged_at as "damagedAt"`;
}

/** Whether another program wrote the row without a place, or its mpack without a blob. */
export function isPlaced({ sql }: Database) {
  return sql`r.record_offset is not null and r.record_bytes is not null
    and m.blob_key is not null and m.etag is not null`;
}

/** What the records of one pack have in common, and the others as arrays. */
export interface PlacesInPack extends Omit<RecordPlace, "recordOffset" | "recordBytes"> {
  readonly offsets: string;
  readonly sizes: string;
}

/** The columns of {@link PlacesInPack}, grouped by `m.mpack_id, r.damaged_at`. */
export function packColumns({ sql }: Database) {
  return sql`m.mpack_id as "mpackId", m.mpack_key as "mpackKey", m.blob_key as "blobKey", m.etag,
    r.damaged_at as "damagedAt", array_agg(r.record_offset)::text as offsets,
    array_agg(r.record_bytes)::text as sizes`;
}

/** The places of records, each with what `row` reads for its number. */
export function* placesOf<R>(
  { offsets, sizes, mpackId, mpackKey, blobKey, etag, damagedAt }: PlacesInPack,
  row: (i: number) => R,
): Generator<R & RecordPlace, void, undefined> {
  const recordOffsets = readArray(offsets), recordsBytes = readArray(sizes);
  for (let i = 0; i < recordOffsets.length; i++) {
    const recordOffset = Number(recordOffsets[i]), recordBytes = Number(recordsBytes[i]);
    const place = { mpackId, mpackKey, blobKey, etag, recordOffset, recordBytes, damagedAt };
    yield { ...row(i), ...place };
  }
}

/** Sorts records by the order of their bytes. */
export function inStoredOrder(one: RecordPlace, other: RecordPlace): number {
  return one.mpackId - other.mpackId || one.recordOffset - other.recordOffset;
}
