/**
 * Reads the entries of one manifest, or of what a delta adds, and makes its digest.
 *
 * The entries are kept as the bytes that are hashed. While they come sorted, no path can come twice,
 * and those of a large manifest are hashed as they come. If one does not come sorted, all of them must fit
 * into memory: they are sorted in runs while they come, and runs of like size are merged, because to
 * sort 16 MiB at the end would hold the event loop for more than 100 ms.
 *
 * @module
 */

import type { Containers } from "../containers.ts";
import type { Keys } from "../keys.ts";
import type { MpackLimits } from "../limits.ts";
import { BARE_ID_BYTES, idText, notHex, PREFIXED_ID_BYTES } from "../object_id.ts";
import { badPath, exceeded } from "../refusals.ts";
import type { SkippedValues } from "../skipped_values.ts";
import type { DecoderHooks } from "../types.ts";
import type { Value } from "../value.ts";
import { ENTRY_BYTES, entryEnd, mergeEntries, sortEntries } from "./manifest_bytes.ts";
import { comparePaths } from "./sort_paths.ts";
import type { ManifestState } from "./state.ts";
import { isPathAt, isPathEnd, PATH_START, PATH_STATES } from "./path_check.ts";
import type { RecordHasher, ResumableHash } from "../../../lib/record_hasher.ts";
import { checkText } from "./texts.ts";

const FIRST_BYTES = 64 * 1024;
/** A room that grew beyond this is not kept for the next manifest. */
const KEPT_BYTES = 1024 * 1024;
/** Bytes that are hashed at once of a manifest that is not kept. */
const HASH_BYTES = 64 * 1024;
/** Entries that do not come sorted are sorted in runs of this many bytes. */
const RUN_BYTES = 1024 * 1024;
/** The longest string with a length of one byte. */
const MAX_SHORT_BYTES = 255;
const STR_8 = 0xd9, FIX_STR = 0xa0;
/** `sha256:` as two numbers of four bytes that overlap by one. */
const SHA2 = 0x73686132, A256 = 0x3235363a;
const NONE = new Uint8Array(0);

/** What a manifest reader needs. */
interface ManifestReaderOptions {
  readonly limits: MpackLimits;
  readonly hooks: DecoderHooks;
  readonly hasher: RecordHasher;
  readonly containers: Containers;
  readonly keys: Keys;
  readonly skipped: SkippedValues;
}

/** Reads one manifest after the other. */
export class ManifestReader {
  /** Entries of the manifest so far. */
  entries = 0;
  readonly #limits: MpackLimits;
  readonly #hooks: DecoderHooks;
  readonly #hasher: RecordHasher;
  readonly #containers: Containers;
  readonly #keys: Keys;
  readonly #skipped: SkippedValues;
  #bytes: Uint8Array<ArrayBuffer> = NONE;
  #view = new DataView(NONE.buffer);
  /** Bytes of entries in `#bytes`. */
  #end = 0;
  /** First byte of the last path in `#bytes`; -1 before the first. */
  #lastAt = -1;
  /** Bytes before those in `#bytes`, already hashed. */
  #hashedBytes = 0;
  #hash: ResumableHash | undefined;
  #isSorted = true;
  /** Where sorted runs of entries begin. */
  #runs: number[] = [];
  /** Where they end, and entries that are not sorted begin. */
  #runAt = 0;

  constructor({ limits, hooks, hasher, containers, keys, skipped }: ManifestReaderOptions) {
    this.#limits = limits;
    this.#hooks = hooks;
    this.#hasher = hasher;
    this.#containers = containers;
    this.#keys = keys;
    this.#skipped = skipped;
  }

  /** Bytes of all entries so far. */
  get sizeBytes(): number {
    return this.#hashedBytes + this.#end;
  }

  /** Forgets the manifest before. */
  begin(): void {
    this.entries = 0;
    this.#end = 0;
    this.#lastAt = -1;
    this.#hashedBytes = 0;
    this.#hash = undefined;
    this.#isSorted = true;
    this.#runs = [];
    this.#runAt = 0;
    if (this.#bytes.length > KEPT_BYTES) this.#resize(NONE);
  }

  /** The kept value is a path, whose id follows. */
  path(value: Value): void {
    const { bytes, at, sizeBytes } = value.kept;
    checkText(value);
    if (!isPathAt(bytes, at, at + sizeBytes)) throw badPath(value.offsetBytes);
    this.#reserve(sizeBytes);
    const begin = this.#end;
    this.#bytes.set(bytes.subarray(at, at + sizeBytes), begin);
    this.#bytes[begin + sizeBytes] = 0;
    if (this.#isSorted && this.#isAfterLast(begin)) {
      this.#containers.addDistinctKeys(1, value.offsetBytes);
    } else {
      const total = this.sizeBytes + sizeBytes + ENTRY_BYTES;
      if (total > this.#limits.maxUnsortedManifestBytes) {
        throw exceeded(this.#limits, "maxUnsortedManifestBytes", total, value.offsetBytes);
      }
      if (this.#isSorted) this.#leaveOrder();
      this.#keys.addText(bytes, at, at + sizeBytes, value.offsetBytes);
    }
    this.#lastAt = begin;
    this.#end = begin + sizeBytes + 1;
    this.entries++;
  }

  /** The kept value is the id of the path before. */
  id(value: Value): void {
    const { bytes, at, sizeBytes } = value.kept, end = this.#end;
    const from = at + sizeBytes - BARE_ID_BYTES;
    this.#bytes.set(bytes.subarray(from, from + BARE_ID_BYTES), end);
    this.#bytes[end + BARE_ID_BYTES] = 0;
    this.#end = end + BARE_ID_BYTES + 1;
    this.#hooks.manifestId?.(idText(value.kept.view()));
    if (this.#isTooLong()) this.#hashAhead();
    if (this.#isRunFull()) this.#endRun();
  }

  /**
   * Reads whole entries from `at` in `chunk`, whose first byte is at `base` in the pack. Returns
   * where it stopped: before an entry that is unusual, cut, or breaks a rule. It is left to the way
   * value by value, which finds the right error.
   */
  readWhole(chunk: Uint8Array, at: number, base: number): number {
    const containers = this.#containers, skipped = this.#skipped, { manifestId } = this.#hooks;
    const { maxNodes, maxOpenKeys, maxPathBytes, maxUnsortedManifestBytes } = this.#limits;
    if (maxPathBytes < MAX_SHORT_BYTES) return at;
    const most = Math.min(
      containers.left >>> 1,
      Math.floor((maxNodes - skipped.nodes) / 2),
      maxOpenKeys - containers.openKeys,
    );
    const source = new DataView(chunk.buffer, chunk.byteOffset, chunk.length), end = chunk.length;
    const isSorted = this.#isSorted;
    let found = 0;
    for (; found < most; found++) {
      const first = chunk[at], isLong = first === STR_8;
      if (!isLong && (first & 0xe0) !== FIX_STR) break;
      const pathAt = isLong ? at + 2 : at + 1;
      const pathBytes = isLong ? chunk[at + 1] : first & 0x1f;
      const headerAt = pathAt + pathBytes;
      // NaN if the chunk ends before the length byte.
      if (!(headerAt + 2 + PREFIXED_ID_BYTES <= end) || chunk[headerAt] !== STR_8) break;
      if (!isSorted && this.#end + pathBytes + ENTRY_BYTES > maxUnsortedManifestBytes) break;
      this.#reserve(pathBytes);
      const bytes = this.#bytes, to = this.#end, lastAt = this.#lastAt;
      // Copies the path, checks it, and finds out whether it comes after the last one.
      let state = PATH_START, wide = 0, order = lastAt < 0 || !isSorted ? 1 : 0, i = 0;
      for (; order === 0 && i < pathBytes; i++) {
        const byte = bytes[to + i] = chunk[pathAt + i];
        order = byte - bytes[lastAt + i];
        state = PATH_STATES[state << 8 | byte];
        wide |= byte;
      }
      for (; i < pathBytes; i++) {
        const byte = bytes[to + i] = chunk[pathAt + i];
        state = PATH_STATES[state << 8 | byte];
        wide |= byte;
      }
      if (order <= 0 || !isPathEnd(state) || wide >= 0x80) break;
      const idBytes = chunk[headerAt + 1], idAt = headerAt + 2;
      if (!this.#copyId(source, idAt, idBytes, to + pathBytes + 1)) break;
      if (!isSorted) this.#keys.addText(chunk, pathAt, headerAt, base + at);
      bytes[to + pathBytes] = 0;
      this.#lastAt = to;
      this.#end = to + pathBytes + ENTRY_BYTES;
      bytes[this.#end - 1] = 0;
      this.entries++;
      at = idAt + idBytes;
      if (manifestId) manifestId(idText(chunk.subarray(idAt, at)));
      if (this.#isTooLong()) this.#hashAhead();
    }
    if (found === 0) return at;
    skipped.nodes += 2 * found;
    if (isSorted) containers.addDistinctKeys(found, base + at);
    containers.valuesEnd(2 * found, base + at);
    if (this.#isRunFull()) this.#endRun();
    return at;
  }

  /** The SHA-256 of the sorted manifest in hex. `sorted()` may be called before, not after. */
  digest(): string {
    if (this.#hash === undefined) {
      return this.#hasher.hash(this.sorted()!.subarray(0, Math.max(0, this.#end - 1)));
    }
    this.#hash.update(this.#bytes.subarray(0, this.#end - 1));
    return this.#hash.digest();
  }

  /** The sorted entries, valid until the next manifest; undefined if they were too large to keep. */
  sorted(): Uint8Array | undefined {
    if (this.#hash !== undefined) return undefined;
    if (!this.#isSorted) {
      this.#endRun();
      while (this.#runs.length > 1) this.#mergeLast();
      this.#isSorted = true;
    }
    return this.#bytes.subarray(0, this.#end);
  }

  /** Bytes that a saved state would contain. */
  get keptBytes(): number {
    return this.#end;
  }

  save(): ManifestState {
    return {
      entries: this.entries,
      sizeBytes: this.sizeBytes,
      isSorted: this.#isSorted,
      kept: this.#bytes.subarray(0, this.#end).toHex(),
      lastAt: this.#lastAt,
      midstate: this.#hash?.save().toHex() ?? "",
    };
  }

  /** Restores what `save()` returned. */
  load(state: ManifestState): void {
    this.begin();
    const kept = Uint8Array.fromHex(state.kept);
    this.#reserve(kept.length);
    this.#bytes.set(kept);
    this.#end = kept.length;
    this.#lastAt = state.lastAt;
    this.entries = state.entries;
    this.#isSorted = state.isSorted;
    this.#hashedBytes = state.sizeBytes - kept.length;
    if (state.midstate !== "") this.#hash = this.#hasher.open(Uint8Array.fromHex(state.midstate));
  }

  /** Whether the path at `at` comes after the last one. */
  #isAfterLast(at: number): boolean {
    if (this.#lastAt < 0) return true;
    return comparePaths(this.#bytes, at, this.#lastAt) > 0;
  }

  /** A path did not come sorted: from now on, only a set of all paths tells whether one comes twice. */
  #leaveOrder(): void {
    this.#isSorted = false;
    const bytes = this.#bytes;
    for (let at = 0; at < this.#end; at = entryEnd(bytes, at)) {
      this.#keys.moveDistinct(bytes, at, bytes.indexOf(0, at));
    }
    this.#runs = [0];
    this.#runAt = this.#end;
  }

  #isRunFull(): boolean {
    return !this.#isSorted && this.#end - this.#runAt >= RUN_BYTES;
  }

  /** Sorts what came since the last run; each run is then less than half as long as the one before. */
  #endRun(): void {
    const runs = this.#runs;
    if (this.#runAt === this.#end) return;
    sortEntries(this.#bytes, this.#runAt, this.#end);
    runs.push(this.#runAt);
    this.#runAt = this.#end;
    for (let last = runs.length - 1; last > 0; last--) {
      if (2 * (this.#end - runs[last]) < runs[last] - runs[last - 1]) return;
      this.#mergeLast();
    }
  }

  #mergeLast(): void {
    const middle = this.#runs.pop()!;
    mergeEntries(this.#bytes, this.#runs[this.#runs.length - 1], middle, this.#end);
  }

  /** Whether bytes should be hashed before the manifest ends. */
  #isTooLong(): boolean {
    if (this.#hash !== undefined) return this.#end >= HASH_BYTES;
    return this.#end > this.#limits.maxUnsortedManifestBytes;
  }

  /** Hashes all entries but the last one, with which the next path is compared. */
  #hashAhead(): void {
    const lastAt = this.#lastAt;
    this.#hash ??= this.#hasher.open();
    this.#hash.update(this.#bytes.subarray(0, lastAt));
    this.#hashedBytes += lastAt;
    const last = this.#bytes.slice(lastAt, this.#end);
    if (this.#bytes.length > KEPT_BYTES) this.#resize(new Uint8Array(2 * HASH_BYTES));
    this.#bytes.set(last);
    this.#end = last.length;
    this.#lastAt = 0;
  }

  /** Copies the bare id at `at` in `source` to `to`; false if it is none. */
  #copyId(source: DataView, at: number, idBytes: number, to: number): boolean {
    if (idBytes === PREFIXED_ID_BYTES) {
      if (source.getInt32(at) !== SHA2 || source.getInt32(at + 3) !== A256) return false;
      at += PREFIXED_ID_BYTES - BARE_ID_BYTES;
    } else if (idBytes !== BARE_ID_BYTES) return false;
    const view = this.#view;
    let wrong = 0;
    for (let i = 0; i < BARE_ID_BYTES; i += 4) {
      const digits = source.getInt32(at + i);
      wrong |= notHex(digits);
      view.setInt32(to + i, digits);
    }
    return wrong === 0;
  }

  /** Makes room for an entry whose path has `pathBytes` bytes. */
  #reserve(pathBytes: number): void {
    const needed = this.#end + pathBytes + ENTRY_BYTES;
    if (needed <= this.#bytes.length) return;
    let sizeBytes = Math.max(FIRST_BYTES, this.#bytes.length);
    while (sizeBytes < needed) sizeBytes *= 2;
    const old = this.#bytes;
    this.#resize(new Uint8Array(sizeBytes));
    this.#bytes.set(old.subarray(0, this.#end));
  }

  #resize(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
