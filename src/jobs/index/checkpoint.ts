import type { DecoderState } from "../../stream/mpack/mpack_decoder.ts";

/** Checkpoints of another version are not used. */
export const CHECKPOINT_VERSION = 1;

/**
 * Where an attempt was when it last staged rows; another machine can continue from there.
 *
 * It is committed by the statement that stages the batch, so it never counts rows that are not
 * there. It contains a hash state, so it is as secret as the bytes of the pack.
 */
export interface Checkpoint {
  /** {@link CHECKPOINT_VERSION} of the writer. */
  readonly version: number;
  /** Bytes of the pack that were read, hashed and decoded. */
  readonly offset_bytes: number;
  /** Objects staged so far. */
  readonly rows_staged: number;
  /** Batches staged so far; the next batch has this number. */
  readonly batches: number;
  /** The version of the blob. */
  readonly etag: string;
  /** Length of the blob in bytes. */
  readonly size_bytes: number;
  /** The SHA-256 state in hex. */
  readonly midstate: string;
  readonly decoder: DecoderState;
}

/** The checkpoint in a job's row; undefined if this version cannot read it. */
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
