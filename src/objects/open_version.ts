/**
 * Opens a blob in its indexed version, or in another one.
 *
 * A store that was copied gives the same bytes another version. The version is therefore only a
 * hint: the digest of each content decides whether it is the object's.
 *
 * @module
 */

import { StoreError } from "../errors.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../stream/store/blob_store.ts";

let opened = 0;

/** How many blobs this process has opened in another version than the indexed one. */
export function movedBlobsOpened(): number {
  return opened;
}

/** Opens a blob. The caller must check the bytes: they may be of another version. */
export async function openAnyVersion(
  store: BlobStore,
  blobKey: string,
  options: OpenOptions,
): Promise<BlobReader> {
  try {
    return await store.open(blobKey, options);
  } catch (error) {
    if (!isOtherVersion(error)) throw error;
    const reader = await store.open(blobKey, { ...options, etag: undefined });
    opened++;
    return reader;
  }
}

/** Whether a store refused to open a blob because its version is another one. */
export function isOtherVersion(error: unknown): boolean {
  return error instanceof StoreError && error.status === 412;
}
