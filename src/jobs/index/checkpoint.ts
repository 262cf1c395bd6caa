import type { GuardState } from "../../db/publish/ghost_guard.ts";
import { decodeMidstate } from "../../hash/midstate.ts";
import type { DecoderState } from "../../stream/mpack/mpack_decoder.ts";

/** Checkpoints of another version are not used. */
export const CHECKPOINT_VERSION = 3;

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
  /** The SHA-256 midstate in hex; it does not depend on the engine. */
  readonly midstate: string;
  readonly decoder: DecoderState;
  readonly history: HistoryCheckpoint;
}

/** What was staged of the pack's history. */
export interface HistoryCheckpoint {
  /** How many of the batches have records. */
  readonly record_batches: number;
  /** The ids that its snapshots name, if the job checks them. */
  readonly guard?: GuardState;
}

/** The checkpoint in a job's row; undefined if this version cannot read it. */
export function readCheckpoint(stored: unknown): Checkpoint | undefined {
  if (typeof stored !== "object" || stored === null) return undefined;
  const checkpoint = stored as Checkpoint;
  const { offset_bytes, rows_staged, batches, size_bytes, etag, midstate, decoder } = checkpoint;
  const { history } = checkpoint;
  const isComplete = checkpoint.version === CHECKPOINT_VERSION &&
    [offset_bytes, rows_staged, batches, size_bytes].every(isCount) &&
    offset_bytes <= size_bytes && decoder?.offsetBytes === offset_bytes &&
    typeof etag === "string" && isCount(history?.record_batches) &&
    hashedBytes(midstate) === offset_bytes;
  return isComplete ? checkpoint : undefined;
}

/** How many bytes a midstate in hex has hashed; undefined if it is not one. */
function hashedBytes(midstate: unknown): number | undefined {
  try {
    return decodeMidstate(Uint8Array.fromHex(midstate as string)).lengthBytes;
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
