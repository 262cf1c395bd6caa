/**
 * Looks a blob up before it is written.
 *
 * @module
 */
import { isBlobMissing, StoreError } from "../../errors.ts";
import type { BlobStat, BlobStore } from "./blob_store.ts";

/**
 * Returns a blob's stat, or undefined if it is to be written: it is missing, or the store does not
 * tell. S3 answers 403 for a missing blob to credentials without `s3:ListBucket`, and these may still
 * be able to write.
 *
 * @throws {StoreError} `store-unavailable`.
 */
export async function statIfPresent(
  store: Pick<BlobStore, "stat">,
  key: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<BlobStat | undefined> {
  try {
    return await store.stat(key, options);
  } catch (error) {
    if (isBlobMissing(error)) return undefined;
    if (error instanceof StoreError && error.status === 403) return undefined;
    throw error;
  }
}
