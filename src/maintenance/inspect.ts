/**
 * A look into one pack: what it holds, how large things are, and what is wrong with it.
 *
 * @module
 */

import { InvalidMpackError } from "../errors.ts";
import { isSameId, withPrefix } from "../lib/ids.ts";
import { ObjectHash } from "../hash/object_hash.ts";
import { openSha256 } from "../hash/sha256.ts";
import type { BlobReader } from "../stream/store/blob_store.ts";
import type { MpackLimits } from "../stream/mpack/limits.ts";
import { type MpackCounts, MpackDecoder, type SectionSpan } from "../stream/mpack/mpack_decoder.ts";

/** Problems listed one by one; the others are counted. */
const MAX_PROBLEMS = 100;

/** One thing that is wrong. */
export interface MpackProblem {
  /** The code that `index` would refuse the pack with, or `object-mismatch`, which readers get. */
  readonly code: string;
  /** For people. */
  readonly message: string;
  /** First byte to blame, where one is. */
  readonly offset_bytes?: number;
}

/** One object, as a list of the largest has it. */
export interface LargeObject {
  /** As the pack spells it. */
  readonly object_id: string;
  /** First byte of the content. */
  readonly content_offset: number;
  /** Length of the content in bytes. */
  readonly size_bytes: number;
}

/** Objects of one range of sizes. */
export interface SizeClass {
  /** Least length in bytes. */
  readonly from_bytes: number;
  /** Greatest length in bytes. */
  readonly to_bytes: number;
  /** How many objects. */
  readonly objects: number;
  /** Their lengths together. */
  readonly bytes: number;
}

/** What `inspect` says of a pack; snake_case because it is printed as it is. */
export interface MpackReport {
  /** `sha256:` and the hex digest of its bytes. */
  readonly mpack_key: string;
  /** Its length in bytes. */
  readonly size_bytes: number;
  /** Whether `index` would take it under this key (object mismatches do not stop it). */
  readonly is_sound: boolean;
  /** The values of the top map in their order; an unfinished one has the length read so far. */
  readonly sections: readonly { name: string; offset_bytes: number; size_bytes: number }[];
  /** What was found, up to the first problem that stopped the decoder. */
  readonly counts: MpackCounts;
  /** Lengths of all contents together, in bytes. */
  readonly content_bytes: number;
  /** Objects whose id has no `sha256:` before it. */
  readonly bare_ids: number;
  /** Whether the ids rise strictly, which rules out repeated ones. */
  readonly is_sorted: boolean;
  /** The deepest nesting, the top map being 1. */
  readonly deepest: number;
  /** Objects by size; classes without objects are left out. */
  readonly histogram: readonly SizeClass[];
  /** The largest objects, the largest first. */
  readonly largest: readonly LargeObject[];
  /** What is wrong, in the order of the pack. */
  readonly problems: readonly MpackProblem[];
  /** How many problems there are, those not listed included. */
  readonly problems_total: number;
}

/** How to look. */
export interface InspectOptions {
  /** The limits to hold the pack to. Default: all defaults. */
  readonly limits?: Partial<MpackLimits>;
  /** How many of the largest objects to list. Default 10. */
  readonly largest?: number;
  /** Whether to hash every object, too. Default false. */
  readonly isHashing?: boolean;
  /** Ends the reading. */
  readonly signal?: AbortSignal;
  /** Called after each chunk with the bytes read. */
  readonly onProgress?: (bytes: number, sizeBytes: number) => void;
}

/** Reads an open pack once, to its end even if it is broken, in bounded memory. */
export async function inspectMpack(
  reader: BlobReader,
  options: InspectOptions = {},
): Promise<MpackReport> {
  const { limits, signal, onProgress, largest = 10, isHashing = false } = options;
  const found = new Findings(largest, isHashing);
  const decoder = new MpackDecoder({ limits, handler: found, rows: false });
  using hasher = await openSha256({ engine: "native", worker: false });
  let isBroken = false;
  for (;;) {
    signal?.throwIfAborted();
    const buffer = await hasher.borrow();
    const readBytes = await reader.read(buffer);
    // The digest covers what comes after a problem, too.
    isBroken ||= !found.tries(() =>
      readBytes === 0 ? decoder.end() : decoder.write(buffer.subarray(0, readBytes))
    );
    if (readBytes === 0) break;
    hasher.update(buffer, readBytes);
    onProgress?.(hasher.bytesHashed, reader.stat.sizeBytes);
  }
  return {
    mpack_key: withPrefix(await hasher.digest()),
    size_bytes: hasher.bytesHashed,
    is_sound: !isBroken,
    sections: decoder.sections.map((section) => sectionOf(section, decoder.offsetBytes)),
    counts: { ...decoder.counts },
    content_bytes: found.contentBytesTotal,
    bare_ids: found.bareIds,
    is_sorted: decoder.sortedUnique,
    deepest: decoder.deepest,
    histogram: found.histogram(),
    largest: found.largest,
    problems: found.problems,
    problems_total: found.problemsTotal,
  };
}

function sectionOf({ name, offsetBytes, sizeBytes }: SectionSpan, endBytes: number) {
  // An open section's length is not known yet: what was read of it has to do.
  const size_bytes = sizeBytes > 0 ? sizeBytes : Math.max(0, endBytes - offsetBytes);
  return { name, offset_bytes: offsetBytes, size_bytes };
}

/** What the decoder's hooks collect. */
class Findings {
  contentBytesTotal = 0;
  bareIds = 0;
  problemsTotal = 0;
  readonly problems: MpackProblem[] = [];
  readonly largest: LargeObject[] = [];
  readonly #classes: { objects: number; bytes: number }[] = [];
  readonly #largestCount: number;
  readonly #isHashing: boolean;
  #hash: ObjectHash | undefined;

  constructor(largestCount: number, isHashing: boolean) {
    this.#largestCount = largestCount;
    this.#isHashing = isHashing;
  }

  contentStart(): void {
    if (this.#isHashing) this.#hash = new ObjectHash();
  }

  contentBytes(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
  }

  object(objectId: string, contentOffset: number, sizeBytes: number): void {
    this.contentBytesTotal += sizeBytes;
    if (!objectId.startsWith("sha256:")) this.bareIds++;
    const sizeClass = this.#classes[classOf(sizeBytes)] ??= { objects: 0, bytes: 0 };
    sizeClass.objects++;
    sizeClass.bytes += sizeBytes;
    this.#consider({ object_id: objectId, content_offset: contentOffset, size_bytes: sizeBytes });
    const digest = this.#hash?.digest();
    if (digest === undefined || isSameId(digest, objectId)) return;
    const message = `The content of ${objectId} at byte ${contentOffset} hashes to ${digest}`;
    this.#add({ code: "object-mismatch", message, offset_bytes: contentOffset });
  }

  /** Runs a step of the decoder; notes the problem and answers false where it throws one. */
  tries(step: () => void): boolean {
    try {
      step();
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

  #consider(object: LargeObject): void {
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

/** Class 0 is empty, class 1 up to 63 bytes, and each one after it reaches four times as far. */
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
