/**
 * Reads an mpack once and hashes the whole and each object.
 *
 * @module
 */

import type { ObjectPlaces } from "../../db/damaged_refs.ts";
import { InvalidMpackError } from "../../errors.ts";
import { isSameId, withPrefix } from "../../lib/ids.ts";
import { openSha256 } from "../../hash/sha256.ts";
import type { BlobReader } from "../../stream/store/blob_store.ts";
import { DEFAULT_LIMITS, type MpackLimits } from "../../stream/mpack/limits.ts";
import { MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";
import { ContentHashes, type HashedObject } from "../content_hashes.ts";

/** Locations per call of the sink. */
const BATCH_ROWS = 5_000;

/** Receives the locations found. The reading waits for it. */
export interface ScanSink {
  /** The contents hash to their ids. */
  valid(rows: ObjectPlaces): Promise<void>;
  /** The contents hash to other ids. */
  mismatched(rows: ObjectPlaces): Promise<void>;
}

/** The result of a reading. */
export interface Scan {
  /** `sha256:` and the hex digest of all bytes. */
  readonly mpackKey: string;
  /** Bytes read. */
  readonly sizeBytes: number;
  /** Objects seen. */
  readonly objects: number;
  /** What stopped the decoder, if anything. Objects at or behind its offset were not seen. */
  readonly problem: InvalidMpackError | undefined;
}

class Columns implements ObjectPlaces {
  readonly objectIds: string[] = [];
  readonly contentOffsets: number[] = [];
  readonly sizesBytes: number[] = [];
  readonly encodings: (string | null)[] = [];

  add({ objectId, contentOffset, sizeBytes, encoding }: HashedObject): void {
    this.objectIds.push(objectId);
    this.contentOffsets.push(contentOffset);
    this.sizesBytes.push(sizeBytes);
    this.encodings.push(encoding);
  }
}

/** Reads an open mpack to its end, in bounded memory. */
export async function scanMpack(
  reader: BlobReader,
  sink: ScanSink,
  { limits, signal, onProgress }: {
    readonly limits: Partial<MpackLimits>;
    readonly signal: AbortSignal;
    readonly onProgress?: (bytes: number) => void;
  },
): Promise<Scan> {
  let valid = new Columns(), mismatched = new Columns();
  const { maxContentBytes } = { ...DEFAULT_LIMITS, ...limits };
  const hashes = new ContentHashes({
    maxContentBytes,
    onObject(object) {
      const { digest, objectId } = object;
      (digest !== undefined && isSameId(digest, objectId) ? valid : mismatched).add(object);
    },
  });
  const decoder = new MpackDecoder({ limits, rows: false, hooks: hashes.hooks });
  const flush = async (leastRows: number) => {
    if (valid.objectIds.length >= leastRows) {
      await sink.valid(valid);
      valid = new Columns();
    }
    if (mismatched.objectIds.length >= leastRows) {
      await sink.mismatched(mismatched);
      mismatched = new Columns();
    }
  };
  using hasher = await openSha256({ engine: "native", worker: false });
  let problem: InvalidMpackError | undefined;
  for (;;) {
    signal.throwIfAborted();
    const buffer = await hasher.borrow();
    const readBytes = await reader.read(buffer);
    try {
      if (problem === undefined && readBytes > 0) decoder.write(buffer.subarray(0, readBytes));
      else if (problem === undefined) decoder.end();
    } catch (error) {
      if (!(error instanceof InvalidMpackError)) throw error;
      problem = error;
    }
    await hashes.drain();
    if (readBytes === 0) break;
    hasher.update(buffer, readBytes);
    onProgress?.(hasher.bytesHashed);
    await flush(BATCH_ROWS);
  }
  await hashes.close();
  await flush(1);
  const { bytesHashed: sizeBytes } = hasher, { objects } = decoder.counts;
  return { mpackKey: withPrefix(await hasher.digest()), sizeBytes, objects, problem };
}
