/**
 * Opens the bytes of records in their packs: neighbours by one request.
 *
 * @module
 */

import type { RecordPlace } from "../../db/history/places.ts";
import { HistoryError } from "../../errors.ts";
import { BlockReader } from "../../objects/block_reader.ts";
import { openAhead } from "../../objects/open_ahead.ts";
import { isOtherVersion } from "../../objects/open_version.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { BlockBytes } from "./block_bytes.ts";
import { type ReadNext, ValueCursor } from "./value_cursor.ts";

/** Records at most this far apart are read by one request. */
const MAX_GAP_BYTES = 256 * 1024;
const CUT = "the blob ended before them";

/** A record that is open for reading. */
export interface OpenRecord<R> {
  readonly record: R;
  /** Its values. What is left unread is skipped before the next record. */
  readonly cursor: ValueCursor;
  /** Reads its next bytes; use one of the three. */
  readonly readNext: ReadNext;
  /**
   * All its bytes, mostly without a copy. Only for a record that may be held in memory.
   *
   * @throws {HistoryError} `record-mismatch` if the blob ends earlier or was replaced.
   */
  whole(): Promise<Uint8Array<ArrayBuffer>>;
}

/** A record and what to call it in an error: `commit sha256:…`. */
export interface NamedPlace extends RecordPlace {
  readonly name: string;
}

/** The error for a record that is not what its id says. Names the record, the mpack and the range. */
export function mismatch(place: NamedPlace, why: string, options: ErrorOptions = {}): HistoryError {
  const { name, mpackKey, recordOffset, recordBytes } = place;
  return new HistoryError(
    "record-mismatch",
    `Cannot read ${name}, bytes ${recordOffset} to ${recordOffset + recordBytes} of mpack ` +
      `${mpackKey}: ${why}`,
    options,
  );
}

/**
 * Converts an error of a cursor, or of opening the blob, to one about the record; returns other
 * errors as they are.
 */
export function asMismatch(place: NamedPlace, error: unknown): unknown {
  const options = { cause: error };
  if (error instanceof RangeError || error instanceof TypeError) {
    return mismatch(place, error.message, options);
  }
  if (!isOtherVersion(error)) return error;
  return mismatch(place, "the blob is not the one that was indexed", options);
}

/**
 * Opens records one after the other, in the order given. Consecutive ones that are near each other
 * in one mpack, in the order of their bytes, share a request.
 *
 * @throws {HistoryError} `record-mismatch` if an audit found a record damaged, or its bytes are gone.
 * @throws {StoreError} If the blob is missing, or the store unavailable.
 */
export async function* openRecords<R extends NamedPlace>(
  store: BlobStore,
  records: readonly R[],
  signal?: AbortSignal,
): AsyncGenerator<OpenRecord<R>, void, undefined> {
  const openRun = (run: readonly NamedPlace[]) => open(store, run, signal);
  for await (const [run, reader] of openAhead([...runsOf(records)], openRun, 1)) {
    const bytes = new BlockBytes(reader);
    let at = run[0].recordOffset;
    for (const record of run) {
      const end = record.recordOffset + record.recordBytes;
      if (!await bytes.skip(record.recordOffset - at)) throw mismatch(record, CUT);
      at = record.recordOffset;
      const readNext = async (into: Uint8Array) => {
        const readBytes = await bytes.read(into.subarray(0, end - at));
        at += readBytes;
        return readBytes;
      };
      const whole = async () => {
        at = end;
        let found: Uint8Array<ArrayBuffer> | undefined;
        try {
          found = await bytes.take(record.recordBytes);
        } catch (error) {
          throw asMismatch(record, error);
        }
        if (found === undefined) throw mismatch(record, CUT);
        return found;
      };
      yield { record, readNext, whole, cursor: new ValueCursor(readNext, record.recordBytes) };
    }
  }
}

function refuseDamaged(record: NamedPlace): void {
  if (record.damagedAt === null) return;
  const at = record.damagedAt.toISOString();
  throw mismatch(record, `an audit found them damaged at ${at}; push it again to repair it`);
}

function* runsOf<R extends RecordPlace>(records: readonly R[]): Generator<R[], void, undefined> {
  let run: R[] = [];
  for (const record of records) {
    const last = run.at(-1);
    if (last !== undefined && !isNear(last, record)) {
      yield run;
      run = [];
    }
    run.push(record);
  }
  if (run.length > 0) yield run;
}

function isNear(last: RecordPlace, next: RecordPlace): boolean {
  const gapBytes = next.recordOffset - last.recordOffset - last.recordBytes;
  return last.blobKey === next.blobKey && last.etag === next.etag && gapBytes >= 0 &&
    gapBytes <= MAX_GAP_BYTES;
}

async function open(
  store: BlobStore,
  run: readonly NamedPlace[],
  signal?: AbortSignal,
): Promise<BlockReader> {
  for (const record of run) refuseDamaged(record);
  const first = run[0], last = run[run.length - 1];
  const lengthBytes = last.recordOffset + last.recordBytes - first.recordOffset;
  try {
    const range = { ...first, offsetBytes: first.recordOffset, lengthBytes };
    return await BlockReader.open(store, range, { signal });
  } catch (error) {
    throw asMismatch(first, error);
  }
}
