/**
 * The manifests that deltas may build upon, as far as memory allows. The oldest go first.
 *
 * @module
 */

import { digestOf } from "../../../lib/ids.ts";

/** What most packs need, whose snapshots are no deltas. */
const FIRST_BYTES = 4 * 1024 * 1024;

/** Manifests by snapshot, in the bytes that their ids are made of. */
export class RecentManifests {
  readonly #maxBytes: number;
  readonly #manifests = new Map<string, Uint8Array>();
  #roomBytes: number;
  #bytes = 0;

  /** Keeps up to `maxBytes` once there is a delta. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#roomBytes = Math.min(FIRST_BYTES, maxBytes);
  }

  /** There is a delta, so others will follow. */
  expectDeltas(): void {
    this.#roomBytes = this.#maxBytes;
  }

  /** The manifest, which counts as just used. */
  get(snapshotId: string): Uint8Array | undefined {
    const digest = digestOf(snapshotId), found = this.#manifests.get(digest);
    if (found === undefined) return undefined;
    this.#manifests.delete(digest);
    this.#manifests.set(digest, found);
    return found;
  }

  /** Keeps the manifest, unless it alone is too large. */
  add(snapshotId: string, manifest: Uint8Array): void {
    const digest = digestOf(snapshotId);
    this.#remove(digest);
    if (manifest.length > this.#roomBytes) return;
    this.#manifests.set(digest, manifest);
    this.#bytes += manifest.length;
    for (const oldest of this.#manifests.keys()) {
      if (this.#bytes <= this.#roomBytes) return;
      this.#remove(oldest);
    }
  }

  #remove(digest: string): void {
    this.#bytes -= this.#manifests.get(digest)?.length ?? 0;
    this.#manifests.delete(digest);
  }
}
