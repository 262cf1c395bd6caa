/**
 * Uploads in parts for a store whose protocol has none, such as a folder: each part is a blob of its
 * own until the parts are joined.
 *
 * Joining copies the bytes once more. One file that all parts are written into would need no copy,
 * but a late request could change it after it has become a blob.
 *
 * @module
 */
import type { BlobStore, CompleteOptions, PartUploads } from "./blob_store.ts";
import type { SentPart, SweepOptions } from "./blob_store.ts";
import { iterateReader } from "./reader_stream.ts";

/** Every key of a part begins with it. */
const PARTS_PREFIX = "mpackd-uploads/";

/** A key of a part: the upload's id, and the number with leading zeros, so that keys sort by it. */
const PART_KEY = /^mpackd-uploads\/([0-9a-f-]{36})\/(\d{5})$/;

/** Returns the store's own uploads in parts, or else uploads whose parts are blobs. */
export function partUploadsOf(store: BlobStore): PartUploads {
  return store.partUploads ?? new PartBlobs(store);
}

/** Returns the key of a part. */
export function partKey(uploadId: string, number: number): string {
  return `${PARTS_PREFIX}${uploadId}/${String(number).padStart(5, "0")}`;
}

/** Removes the parts of uploads that were given up; returns how many uploads there were. */
export async function sweepPartBlobs(
  store: BlobStore,
  { before, isDryRun = false, isOpen, signal }: SweepOptions,
): Promise<number> {
  let swept = 0, last: string | undefined, isLastOpen = false;
  // Sorted by key, so the parts of one upload come together.
  for await (const { key, modifiedAt } of store.list(PARTS_PREFIX, { signal })) {
    const uploadId = PART_KEY.exec(key)?.[1];
    if (uploadId === undefined || modifiedAt >= before) continue;
    if (uploadId !== last) {
      last = uploadId;
      isLastOpen = await isOpen?.(uploadId) ?? false;
      if (!isLastOpen) swept++;
    }
    if (!isLastOpen && !isDryRun) await store.delete(key, { signal });
  }
  return swept;
}

class PartBlobs implements PartUploads {
  readonly #store: BlobStore;

  constructor(store: BlobStore) {
    this.#store = store;
  }

  begin(): Promise<string> {
    return Promise.resolve(crypto.randomUUID());
  }

  async list(
    _key: string,
    uploadId: string,
    options: { signal?: AbortSignal } = {},
  ): Promise<SentPart[]> {
    const parts: SentPart[] = [];
    for await (const entry of this.#store.list(`${PARTS_PREFIX}${uploadId}/`, options)) {
      const number = Number(PART_KEY.exec(entry.key)?.[2]);
      const etag = String(entry.modifiedAt.getTime());
      if (number > 0) parts.push({ number, sizeBytes: entry.sizeBytes, etag });
    }
    return parts;
  }

  async complete(
    key: string,
    uploadId: string,
    parts: readonly SentPart[],
    { sha256Hex, check, signal }: CompleteOptions = {},
  ): Promise<void> {
    const store = this.#store;
    const body = async function* () {
      for (const { number } of parts) {
        yield* iterateReader(await store.open(partKey(uploadId, number), { signal }));
      }
      await check?.();
    };
    const sizeBytes = parts.reduce((bytes, part) => bytes + part.sizeBytes, 0);
    await store.put(key, body(), { sizeBytes, sha256Hex, signal });
    await this.abort(key, uploadId, { signal });
  }

  async abort(
    _key: string,
    uploadId: string,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    for await (const { key } of this.#store.list(`${PARTS_PREFIX}${uploadId}/`, options)) {
      await this.#store.delete(key, options);
    }
  }
}
