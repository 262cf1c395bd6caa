import { type ReadManifestOptions, readManifestPages } from "../read_manifest.ts";

/** A manifest in memory: object ids by path, in no order. */
export type Manifest = ReadonlyMap<string, string>;

/** About 100 MB. One manifest of 32 MiB, the most that a delta may build upon, is always kept. */
const MAX_ENTRIES = 500_000;

/** The manifests read last, for the deltas that build upon them. */
export class ManifestCache {
  readonly #from: Omit<ReadManifestOptions, "snapshotId">;
  readonly #manifests = new Map<string, Manifest>();
  #entries = 0;

  constructor(from: Omit<ReadManifestOptions, "snapshotId">) {
    this.#from = from;
  }

  /**
   * The manifest of a snapshot, read and checked unless it is in memory.
   *
   * @throws {HistoryError} `history-not-found` or `record-mismatch`.
   */
  async get(snapshotId: string): Promise<Manifest> {
    const known = this.#manifests.get(snapshotId);
    if (known !== undefined) return known;
    const manifest = new Map<string, string>();
    for await (const page of readManifestPages({ ...this.#from, snapshotId })) {
      for (const [path, objectId] of page) manifest.set(path, objectId);
    }
    this.add(snapshotId, manifest);
    return manifest;
  }

  /** Keeps a manifest, and drops the oldest ones beyond the bound. */
  add(snapshotId: string, manifest: Manifest): void {
    this.#manifests.set(snapshotId, manifest);
    this.#entries += manifest.size;
    for (const [oldestId, { size }] of this.#manifests) {
      if (this.#entries <= MAX_ENTRIES || oldestId === snapshotId) return;
      this.#manifests.delete(oldestId);
      this.#entries -= size;
    }
  }
}
