/**
 * One reading of a pack that hashes the whole and each object beside it.
 *
 * @module
 */

import type { ObjectPlaces } from "../../db/damaged_refs.ts";
import { InvalidMpackError } from "../../errors.ts";
import { isSameId, withPrefix } from "../../lib/ids.ts";
import { ObjectHash } from "../../hash/object_hash.ts";
import { openSha256 } from "../../hash/sha256.ts";
import type { BlobReader } from "../../stream/store/blob_store.ts";
import type { MpackLimits } from "../../stream/mpack/limits.ts";
import { MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";

/** Locations handed on at once. */
const BATCH_ROWS = 5_000;

/** What to do with the locations found. The reading waits for it. */
export interface ScanSink {
  /** These hold what their ids say. */
  sound(rows: ObjectPlaces): Promise<void>;
  /** These do not. */
  lying(rows: ObjectPlaces): Promise<void>;
}

/** What a reading found. */
export interface Scan {
  /** `sha256:` and the hex digest of all bytes. */
  readonly mpackKey: string;
  /** How many bytes came. */
  readonly sizeBytes: number;
  /** Objects seen. */
  readonly objects: number;
  /** What stopped the decoder, if anything did; objects that begin at or after it were not seen. */
  readonly problem: InvalidMpackError | undefined;
}

/** Rows in the making. */
class Columns implements ObjectPlaces {
  readonly objectIds: string[] = [];
  readonly contentOffsets: number[] = [];
  readonly sizesBytes: number[] = [];

  add(objectId: string, contentOffset: number, sizeBytes: number): void {
    this.objectIds.push(objectId);
    this.contentOffsets.push(contentOffset);
    this.sizesBytes.push(sizeBytes);
  }
}

/** Reads an open pack to its end, in bounded memory. */
export async function scanPack(
  reader: BlobReader,
  sink: ScanSink,
  { limits, signal, onProgress }: {
    readonly limits: Partial<MpackLimits>;
    readonly signal: AbortSignal;
    readonly onProgress?: (bytes: number) => void;
  },
): Promise<Scan> {
  let sound = new Columns(), lying = new Columns(), hash = new ObjectHash();
  const decoder = new MpackDecoder({
    limits,
    rows: false,
    handler: {
      contentStart: () => hash = new ObjectHash(),
      contentBytes: (bytes) => hash.update(bytes),
      object: (objectId, contentOffset, sizeBytes) =>
        (isSameId(hash.digest(), objectId) ? sound : lying)
          .add(objectId, contentOffset, sizeBytes),
    },
  });
  const flush = async (leastRows: number) => {
    if (sound.objectIds.length >= leastRows) {
      await sink.sound(sound);
      sound = new Columns();
    }
    if (lying.objectIds.length >= leastRows) {
      await sink.lying(lying);
      lying = new Columns();
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
    if (readBytes === 0) break;
    hasher.update(buffer, readBytes);
    onProgress?.(hasher.bytesHashed);
    await flush(BATCH_ROWS);
  }
  await flush(1);
  const { bytesHashed: sizeBytes } = hasher, { objects } = decoder.counts;
  return { mpackKey: withPrefix(await hasher.digest()), sizeBytes, objects, problem };
}
