/**
 * Where an attempt was when it last wrote rows: enough for another machine to go on from there.
 *
 * A checkpoint is committed by the statement that stages a batch, so it never promises rows that
 * are not there. It is as secret as the bytes of the pack (it holds a hash state).
 *
 * @module
 */

import type { DecoderState } from "../../stream/mpack/mpack_decoder.ts";

/** The layout of this record; a checkpoint of another one is dropped. */
export const CHECKPOINT_VERSION = 1;

/** The record, as it lies in `musehub_background_jobs.checkpoint`. */
export interface Checkpoint {
  /** {@link CHECKPOINT_VERSION} of the writer. */
  readonly version: number;
  /** Bytes of the pack that were read, hashed and decoded. */
  readonly offset_bytes: number;
  /** Objects staged up to there. */
  readonly rows_staged: number;
  /** Staging statements up to there; the next batch has this number. */
  readonly batches: number;
  /** The version of the blob. */
  readonly etag: string;
  /** Length of the blob in bytes. */
  readonly size_bytes: number;
  /** The SHA-256 state, hex. */
  readonly midstate: string;
  /** The decoder's state. */
  readonly decoder: DecoderState;
}

/** The checkpoint in a job row; undefined if it is none that this version can read. */
export function readCheckpoint(stored: unknown): Checkpoint | undefined {
  if (typeof stored !== "object" || stored === null) return undefined;
  const checkpoint = stored as Checkpoint;
  const { offset_bytes, rows_staged, batches, size_bytes, etag, midstate, decoder } = checkpoint;
  const isWhole = checkpoint.version === CHECKPOINT_VERSION &&
    [offset_bytes, rows_staged, batches, size_bytes].every(isCount) &&
    offset_bytes <= size_bytes && decoder?.offsetBytes === offset_bytes &&
    typeof etag === "string" && typeof midstate === "string" && /^([0-9a-f]{2})+$/.test(midstate);
  return isWhole ? checkpoint : undefined;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
