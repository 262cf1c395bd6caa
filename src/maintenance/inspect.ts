/**
 * Inspects one mpack: its contents, sizes and problems.
 *
 * @module
 */

import { InvalidMpackError } from "../errors.ts";
import { packWarnings } from "../lib/text/pack_warnings.ts";
import { isSameId, withPrefix } from "../lib/ids.ts";
import type { Encoding } from "../lib/object_columns.ts";
import { recordHasher } from "../hash/record_hash.ts";
import { openSha256 } from "../hash/sha256.ts";
import type { BlobReader } from "../stream/store/blob_store.ts";
import { DeltaVerifier } from "../stream/mpack/history/delta_verifier.ts";
import { DEFAULT_LIMITS, type MpackLimits } from "../stream/mpack/limits.ts";
import { type MpackCounts, MpackDecoder, type SectionSpan } from "../stream/mpack/mpack_decoder.ts";
import { ContentHashes, type HashedObject } from "./content_hashes.ts";

/** The most problems listed; the others are only counted. */
const MAX_PROBLEMS = 100;

/** One problem. */
export interface MpackProblem {
  /** The code with which `index` would reject the mpack, or `object-mismatch` for a reader. */
  readonly code: string;
  /** For people. */
  readonly message: string;
  /** Position of the first wrong byte, if known. */
  readonly offset_bytes?: number;
}

/** One of the largest objects. */
export interface LargeObject {
  /** As the mpack spells it. */
  readonly object_id: string;
  /** Position of the content in the mpack. */
  readonly content_offset: number;
  /** Length of the content in bytes. */
  readonly size_bytes: number;
}

/** The objects of one size range. */
export interface SizeClass {
  /** The smallest length in bytes. */
  readonly from_bytes: number;
  /** The largest length in bytes. */
  readonly to_bytes: number;
  /** Number of objects. */
  readonly objects: number;
  /** Sum of their lengths. */
  readonly bytes: number;
}

/** The report on one mpack. snake_case, because it is printed as JSON. */
export interface MpackReport {
  /** `sha256:` and the hex digest of the bytes. */
  readonly mpack_key: string;
  /** Length of the mpack in bytes. */
  readonly size_bytes: number;
  /** Whether `index` would accept it under this key. Object mismatches do not matter for that. */
  readonly is_valid: boolean;
  /** The values of the top map, in order. An unfinished one has the length read so far. */
  readonly sections: readonly { name: string; offset_bytes: number; size_bytes: number }[];
  /** Counts, up to the problem that stopped the decoder. */
  readonly counts: MpackCounts;
  /** Sum of the lengths of all contents, as the mpack has them. */
  readonly content_bytes: number;
  /** Objects whose id lacks the prefix `sha256:`. */
  readonly bare_ids: number;
  /** Objects whose content is encoded. */
  readonly encoded: number;
  /** Snapshots that are deltas to one outside the mpack: `index` verifies them with the repo's. */
  readonly unverified_deltas: number;
  /** What is probably not meant, by code: `no-manifest` if no snapshot names the objects. */
  readonly warnings: readonly string[];
  /** Whether each id is greater than the one before. Then none is repeated. */
  readonly is_sorted: boolean;
  /** The deepest nesting. The top map is level 1. */
  readonly deepest: number;
  /** Objects by size, without the empty size classes. */
  readonly histogram: readonly SizeClass[];
  /** The largest objects, largest first. */
  readonly largest: readonly LargeObject[];
  /** The first problems, in the order of the mpack. */
  readonly problems: readonly MpackProblem[];
  /** Number of all problems. */
  readonly problems_total: number;
}

/** How to inspect an mpack. */
export interface InspectOptions {
  /** The limits of the mpack. Default: all defaults. */
  readonly limits?: Partial<MpackLimits>;
  /** How many of the largest objects to list. Default 10. */
  readonly largest?: number;
  /** Whether to hash every object, too. Default false. */
  readonly isHashing?: boolean;
  /** Ends the reading. */
  readonly signal?: AbortSignal;
  /** Called after each chunk with the bytes read so far and in total. */
  readonly onProgress?: (bytes: number, sizeBytes: number) => void;
}

/** Reads an open mpack once, in bounded memory. Continues to its end even if it is broken. */
export async function inspectMpack(
  reader: BlobReader,
  options: InspectOptions = {},
): Promise<MpackReport> {
  const { limits, signal, onProgress, largest = 10, isHashing = false } = options;
  const found = new Findings(largest);
  const hashes = new ContentHashes({
    maxContentBytes: limits?.maxContentBytes ?? DEFAULT_LIMITS.maxContentBytes,
    onObject: (object) => found.checkHash(object),
  });
  const deltas = new DeltaVerifier({
    limits: { ...DEFAULT_LIMITS, ...limits },
    hasher: recordHasher,
  });
  const decoder = new MpackDecoder({
    limits,
    history: recordHasher,
    hooks: {
      ...(isHashing && hashes.hooks),
      object(...object) {
        found.object(...object);
        if (isHashing) hashes.hooks.object?.(...object);
      },
      snapshot: (...snapshot) => deltas.snapshot(...snapshot),
    },
    rows: false,
  });
  using hasher = await openSha256({ engine: "native", worker: false });
  let isBroken = false;
  for (;;) {
    signal?.throwIfAborted();
    const buffer = await hasher.borrow();
    const readBytes = await reader.read(buffer);
    // The digest also covers the bytes after a problem.
    isBroken ||= !await found.tries(async () => {
      let problem: { readonly thrown: unknown } | undefined;
      try {
        if (readBytes === 0) decoder.end();
        else decoder.write(buffer.subarray(0, readBytes));
      } catch (thrown) {
        problem = { thrown };
      }
      // What came before the decoder's problem may have one, too.
      await deltas.drain();
      if (problem) throw problem.thrown;
    });
    // They were checked; their fields are not part of the report.
    decoder.takeRecords();
    await hashes.drain();
    if (readBytes === 0) break;
    hasher.update(buffer, readBytes);
    onProgress?.(hasher.bytesHashed, reader.stat.sizeBytes);
  }
  await hashes.close();
  return {
    mpack_key: withPrefix(await hasher.digest()),
    size_bytes: hasher.bytesHashed,
    is_valid: !isBroken,
    sections: decoder.sections.map((section) => sectionOf(section, decoder.offsetBytes)),
    counts: { ...decoder.counts },
    content_bytes: found.contentBytesTotal,
    bare_ids: found.bareIds,
    encoded: found.encoded,
    unverified_deltas: deltas.unverified,
    warnings: isBroken ? [] : packWarnings(decoder.counts),
    is_sorted: decoder.sortedUnique,
    deepest: decoder.deepest,
    histogram: found.histogram(),
    largest: found.largest,
    problems: found.problems,
    problems_total: found.problemsTotal,
  };
}

function sectionOf({ name, offsetBytes, sizeBytes }: SectionSpan, endBytes: number) {
  // The length of an unfinished section is not known: use what was read of it.
  const size_bytes = sizeBytes > 0 ? sizeBytes : Math.max(0, endBytes - offsetBytes);
  return { name, offset_bytes: offsetBytes, size_bytes };
}

/** Collects what the decoder's hooks report. */
class Findings {
  contentBytesTotal = 0;
  bareIds = 0;
  encoded = 0;
  problemsTotal = 0;
  readonly problems: MpackProblem[] = [];
  readonly largest: LargeObject[] = [];
  readonly #classes: { objects: number; bytes: number }[] = [];
  readonly #largestCount: number;

  constructor(largestCount: number) {
    this.#largestCount = largestCount;
  }

  object(
    objectId: string,
    contentOffset: number,
    sizeBytes: number,
    encoding: Encoding | null,
  ): void {
    if (encoding !== null) this.encoded++;
    this.contentBytesTotal += sizeBytes;
    if (!objectId.startsWith("sha256:")) this.bareIds++;
    const sizeClass = this.#classes[classOf(sizeBytes)] ??= { objects: 0, bytes: 0 };
    sizeClass.objects++;
    sizeClass.bytes += sizeBytes;
    this.#noteSize({ object_id: objectId, content_offset: contentOffset, size_bytes: sizeBytes });
  }

  /** Notes a content that does not hash to its id. */
  checkHash({ objectId, contentOffset, digest, problem }: HashedObject): void {
    if (digest !== undefined && isSameId(digest, objectId)) return;
    const message = `The content of ${objectId} at byte ${contentOffset} ` +
      (digest === undefined ? `cannot be decoded: ${problem}` : `hashes to ${digest}`);
    this.#add({ code: "object-mismatch", message, offset_bytes: contentOffset });
  }

  /** Runs a step of the decoder. Notes the problem and returns false if it throws one. */
  async tries(step: () => Promise<void>): Promise<boolean> {
    try {
      await step();
      return true;
    } catch (error) {
      if (!(error instanceof InvalidMpackError)) throw error;
      const { code, message, offsetBytes } = error;
      this.#add({ code, message, ...(offsetBytes !== undefined && { offset_bytes: offsetBytes }) });
      return false;
    }
  }

  histogram(): SizeClass[] {
    return this.#classes.flatMap((found, number) =>
      found === undefined ? [] : [{ ...rangeOf(number), ...found }]
    );
  }

  #noteSize(object: LargeObject): void {
    const { largest } = this, least = largest.at(-1);
    const isFull = largest.length >= this.#largestCount;
    if (isFull && (least === undefined || object.size_bytes <= least.size_bytes)) return;
    if (isFull) largest.pop();
    const at = largest.findIndex(({ size_bytes }) => size_bytes < object.size_bytes);
    largest.splice(at < 0 ? largest.length : at, 0, object);
  }

  #add(problem: MpackProblem): void {
    if (this.problemsTotal++ < MAX_PROBLEMS) this.problems.push(problem);
  }
}

/** Class 0 is empty, class 1 ends at 63 bytes, and each later class ends at four times the size. */
function classOf(sizeBytes: number): number {
  let number = 0;
  for (let end = 1; sizeBytes >= end; end = end === 1 ? 64 : end * 4) number++;
  return number;
}

function rangeOf(number: number): { from_bytes: number; to_bytes: number } {
  if (number === 0) return { from_bytes: 0, to_bytes: 0 };
  if (number === 1) return { from_bytes: 1, to_bytes: 63 };
  return { from_bytes: 64 * 4 ** (number - 2), to_bytes: 64 * 4 ** (number - 1) - 1 };
}
