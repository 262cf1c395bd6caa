/**
 * The streaming decoder in the oracle's words, so that the two can be compared.
 *
 * @module
 */

import { InvalidMpackError } from "../../../src/errors.ts";
import type { MpackLimits } from "../../../src/stream/mpack/limits.ts";
import { recordHasher } from "../../../src/hash/record_hash.ts";
import { objectIdsOf } from "../../../src/lib/object_columns.ts";
import { type DecoderState, MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { cut } from "./mpacks.ts";
import type { Verdict, WholeRow } from "./whole_document.ts";
import type { WholeRecords } from "./whole_history.ts";

/** How `decodeChunks()` goes about it. */
export interface DecodeOptions {
  /** Whether history is read. Default false. */
  readonly history?: boolean;
  /** The limits; the defaults where none are given. */
  readonly limits?: Partial<MpackLimits>;
  /** Called before each chunk but the first; true replaces the decoder by one loaded from JSON. */
  readonly resume?: () => boolean;
  /** Called before each chunk; true leaves its rows in the decoder, to be taken later. */
  readonly leave?: () => boolean;
  /** Called with the decoder after each chunk. */
  readonly onChunk?: (decoder: MpackDecoder) => void;
}

/** What the decoder makes of a pack that comes in these chunks. Errors other than InvalidMpackError are thrown. */
export function decodeChunks(chunks: Iterable<Uint8Array>, options: DecodeOptions = {}): Verdict {
  const { limits, resume, leave, onChunk } = options;
  const history = options.history ? recordHasher : undefined;
  let decoder = new MpackDecoder({ limits, history });
  const rows: WholeRow[] = [];
  const records: WholeRecords = { commits: [], snapshots: [], tags: [], branchHeads: [] };
  const take = () => {
    takeRows(decoder, rows);
    const { commits, snapshots, tags, branchHeads } = decoder.takeRecords();
    records.commits.push(...commits);
    records.snapshots.push(...snapshots);
    records.tags.push(...tags);
    records.branchHeads.push(...branchHeads);
  };
  try {
    for (const chunk of chunks) {
      if (decoder.offsetBytes > 0 && resume?.()) {
        take();
        const state = decoder.save();
        if (state) decoder = new MpackDecoder({ limits, history, state: throughJson(state) });
      }
      decoder.write(chunk);
      if (!leave?.()) take();
      onChunk?.(decoder);
    }
    decoder.end();
    take();
  } catch (error) {
    if (!(error instanceof InvalidMpackError)) throw error;
    return { accepted: false, code: error.code, offsetBytes: error.offsetBytes ?? -1 };
  }
  const { commits, snapshots, objects, tags } = decoder.counts;
  const verdict = { accepted: true, rows, commits, snapshots, objects, tags } as const;
  return history ? { ...verdict, records } : verdict;
}

/** What the decoder makes of a pack that comes in chunks of one size, by default whole. */
export function decodeMpack(
  bytes: Uint8Array,
  options: DecodeOptions & { readonly chunkBytes?: number } = {},
): Verdict {
  return decodeChunks(cut(bytes, options.chunkBytes ?? Math.max(1, bytes.length)), options);
}

/** Moves what the decoder has ready to the end of `rows`. */
export function takeRows(decoder: MpackDecoder, rows: WholeRow[]): void {
  const taken = decoder.take(), { contentOffsets, sizesBytes, encodings } = taken;
  for (const [i, objectId] of objectIdsOf(taken).entries()) {
    const encoding = encodings?.[i];
    rows.push({
      objectId,
      contentOffset: contentOffsets[i],
      sizeBytes: sizesBytes[i],
      ...(encoding && { encoding }),
    });
  }
}

/** The state as a checkpoint would bring it back. */
export function throughJson(state: DecoderState): DecoderState {
  return JSON.parse(JSON.stringify(state));
}
