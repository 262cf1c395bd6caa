/**
 * The manifests that deltas may build upon, as far as memory allows. The oldest go first.
 *
 * @module
 */

import { digestOf } from "../../../lib/ids.ts";

/** What most packs need, whose snapshots are no deltas. */
const FIRST_BYTES = 4 * 1024 * 1024;

/** A copy of a manifest, in a buffer that may be longer. */
interface Kept {
  readonly buffer: Uint8Array;
  readonly sizeBytes: number;
}

/** Manifests by snapshot, in the bytes that their ids are made of. */
export class RecentManifests {
  readonly #maxBytes: number;
  readonly #manifests = new Map<string, Kept>();
  #roomBytes: number;
  /** Of all buffers. */
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

  /** The manifest, which counts as just used. Valid until the next one is added. */
  get(snapshotId: string): Uint8Array | undefined {
    const digest = digestOf(snapshotId), found = this.#manifests.get(digest);
    if (found === undefined) return undefined;
    this.#manifests.delete(digest);
    this.#manifests.set(digest, found);
    return found.buffer.subarray(0, found.sizeBytes);
  }

  /**
   * Copies the manifest, unless it alone is too large.
   *
   * The copy goes into the buffer of one that is dropped for it, where that fits: manifests of one
   * history are about as long as one another, and a new buffer for each was a tenth of the time that
   * a pack of 12,000 took, most of it in the garbage collector.
   */
  add(snapshotId: string, manifest: Uint8Array): void {
    const digest = digestOf(snapshotId), sizeBytes = manifest.length;
    let buffer = this.#remove(digest);
    if (sizeBytes > this.#roomBytes) return;
    for (const oldest of this.#manifests.keys()) {
      if (this.#bytes + lengthFor(sizeBytes) <= this.#roomBytes) break;
      buffer = this.#remove(oldest);
    }
    const isFit = buffer !== undefined && buffer.length >= sizeBytes &&
      buffer.length <= lengthFor(sizeBytes);
    if (!isFit) buffer = new Uint8Array(Math.min(lengthFor(sizeBytes), this.#roomBytes));
    buffer!.set(manifest);
    this.#manifests.set(digest, { buffer: buffer!, sizeBytes });
    this.#bytes += buffer!.length;
  }

  #remove(digest: string): Uint8Array | undefined {
    const buffer = this.#manifests.get(digest)?.buffer;
    this.#bytes -= buffer?.length ?? 0;
    this.#manifests.delete(digest);
    return buffer;
  }
}

/** Some more, for the next manifest to fit, too. */
function lengthFor(sizeBytes: number): number {
  return sizeBytes + (sizeBytes >>> 3);
}
