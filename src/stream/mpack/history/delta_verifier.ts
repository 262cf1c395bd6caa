/**
 * Verifies snapshots that are deltas: builds each manifest upon that of its parent, and hashes it.
 *
 * A parent is one of the last snapshots of the pack, or one of the repo. Nothing of this is in a
 * checkpoint: a job that was resumed and misses a parent is refused, and so read again from the
 * start.
 *
 * @module
 */

import { counted } from "../../../lib/numbers.ts";
import { HistoryError, InvalidMpackError } from "../../../errors.ts";
import { digestOf } from "../../../lib/ids.ts";
import type { RecordHasher } from "../../../lib/record_hasher.ts";
import type { SnapshotRecord } from "../../../lib/records.ts";
import { sleep } from "../../../lib/sleep.ts";
import type { MpackLimits } from "../limits.ts";
import { applyDelta } from "./manifest_bytes.ts";
import { RecentManifests } from "./recent_manifests.ts";

/** Bytes of manifests that are built and hashed in some 10 ms; then others have their turn. */
const TURN_BYTES = 4 * 1024 * 1024;
/** Keeps two states of the largest tree. */
const KEPT_MANIFESTS = 2;

/** What a verifier needs. */
export interface DeltaVerifierOptions {
  readonly limits: Pick<MpackLimits, "maxManifestBytes" | "maxNodes">;
  readonly hasher: RecordHasher;
  /**
   * The entries of a snapshot that the repo has, sorted, in pages. Without it, a delta to a snapshot
   * that is not among the last ones of the pack is counted, and not verified.
   */
  readonly load?: (snapshotId: string) => AsyncIterable<readonly (readonly [string, string])[]>;
}

interface Waiting {
  readonly record: SnapshotRecord;
  readonly entries: Uint8Array;
  readonly removed: readonly string[];
}

/** Follows one pass over a pack. */
export class DeltaVerifier {
  /** Deltas that were not verified. */
  unverified = 0;
  readonly #options: DeltaVerifierOptions;
  readonly #manifests: RecentManifests;
  /** Snapshots of the last chunk, since the first delta among them. */
  #waiting: Waiting[] = [];
  /** Entries of all manifests that were built. */
  #entries = 0;
  #turnBytes = 0;

  constructor(options: DeltaVerifierOptions) {
    this.#options = options;
    this.#manifests = new RecentManifests(KEPT_MANIFESTS * options.limits.maxManifestBytes);
  }

  /** The decoder's hook. */
  snapshot(
    record: SnapshotRecord,
    entries: Uint8Array | undefined,
    removed: readonly string[],
  ): void {
    // Too large to be a parent of a delta.
    if (entries === undefined) return;
    if (record.parentSnapshotId !== null) this.#manifests.expectDeltas();
    else if (this.#waiting.length === 0) {
      return this.#manifests.add(record.snapshotId, entries);
    }
    this.#waiting.push({ record, entries: entries.slice(), removed });
  }

  /**
   * Verifies what came with the last chunk.
   *
   * @throws {InvalidMpackError} `false-id`, `snapshot-missing` or `limit-exceeded`.
   */
  async drain(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const { record, entries, removed } of waiting) {
      const { snapshotId, parentSnapshotId } = record;
      if (parentSnapshotId === null) {
        this.#manifests.add(snapshotId, entries);
        continue;
      }
      const { load } = this.#options;
      const base = this.#manifests.get(parentSnapshotId) ??
        (load === undefined ? undefined : await this.#load(record, load(parentSnapshotId)));
      if (base === undefined) {
        this.unverified++;
        continue;
      }
      const built = applyDelta(base, entries, removed);
      this.#check(record, built.bytes, built.entries);
      this.#manifests.add(snapshotId, built.bytes);
      this.#turnBytes += built.bytes.length;
      if (this.#turnBytes < TURN_BYTES) continue;
      this.#turnBytes = 0;
      await sleep(0);
    }
  }

  #check(record: SnapshotRecord, bytes: Uint8Array, entries: number): void {
    const { snapshotId, isVerifiable, offsetBytes } = record;
    const { maxNodes } = this.#options.limits;
    this.#requireSize(record, bytes.length);
    this.#entries += entries;
    if (this.#entries > maxNodes) {
      const message =
        `Cannot accept the pack: maxNodes is ${maxNodes}, the manifests of its deltas ` +
        `have ${counted(this.#entries, "entry", "entries")}`;
      throw new InvalidMpackError("limit-exceeded", message, { offsetBytes });
    }
    if (!isVerifiable) return;
    const digest = this.#options.hasher.hash(bytes.subarray(0, Math.max(0, bytes.length - 1)));
    if (digest === digestOf(snapshotId)) return;
    const message = `Cannot accept a snapshot: its manifest does not hash to its id ${snapshotId}`;
    throw new InvalidMpackError("false-id", message, { offsetBytes });
  }

  #requireSize({ offsetBytes }: SnapshotRecord, sizeBytes: number): void {
    const { maxManifestBytes } = this.#options.limits;
    if (sizeBytes <= maxManifestBytes) return;
    const message =
      `Cannot accept the pack: maxManifestBytes is ${maxManifestBytes}, the manifest ` +
      `of a delta has ${sizeBytes}`;
    throw new InvalidMpackError("limit-exceeded", message, { offsetBytes });
  }

  /** The parent's manifest, from the repo. */
  async #load(
    record: SnapshotRecord,
    pages: AsyncIterable<readonly (readonly [string, string])[]>,
  ): Promise<Uint8Array> {
    const parentId = record.parentSnapshotId!;
    let bytes = new Uint8Array(64 * 1024), sizeBytes = 0;
    try {
      for await (const page of pages) {
        for (const [path, id] of page) {
          const text = `${path}\0${digestOf(id)}\0`;
          while (bytes.length - sizeBytes < 3 * text.length) bytes = grown(bytes);
          sizeBytes += UTF8.encodeInto(text, bytes.subarray(sizeBytes)).written;
          this.#requireSize(record, sizeBytes);
        }
      }
    } catch (error) {
      const isMissing = error instanceof HistoryError && error.code === "history-not-found";
      if (!isMissing) throw error;
      throw new InvalidMpackError(
        "snapshot-missing",
        `Cannot accept snapshot ${record.snapshotId}: it builds upon ${parentId}, which is neither ` +
          "among the last ones of the pack nor in the repo",
        { offsetBytes: record.offsetBytes, cause: error },
      );
    }
    const manifest = bytes.slice(0, sizeBytes);
    this.#manifests.add(parentId, manifest);
    return manifest;
  }
}

const UTF8 = new TextEncoder();

function grown(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}
