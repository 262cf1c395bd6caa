/**
 * A store that says "no such blob" and "stored" only while its marker names this database.
 *
 * A folder whose mount is gone looks like an empty store: jobs would fail because their blobs are
 * missing, and uploads would be written beside the store.
 *
 * @module
 */

import { isBlobMissing, WrongStoreError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { readMarker } from "../stream/store/store_marker.ts";

/** The marker is read at most this often before writes to a folder. */
const CHECK_EVERY_MS = 1_000;

/**
 * Wraps a store that belongs to the database of this id.
 *
 * Its methods throw a {@link WrongStoreError} if a blob is missing and so is the marker. Before a
 * write the marker is read only of a folder: a bucket cannot be unmounted.
 */
export function ownedStore(store: BlobStore, databaseId: string): BlobStore {
  const isFolder = store.url.startsWith("file:");
  let checkedAt = -Infinity;
  const check = async (signal?: AbortSignal) => {
    const marker = await readMarker(store, { signal });
    if (marker?.databaseId === databaseId) return;
    const why = marker === undefined ? "has lost its marker" : "belongs to another database";
    throw new WrongStoreError(`Cannot use the store ${store.url}: it ${why}. Is it mounted?`);
  };
  const explained = async <T>(result: Promise<T>, signal?: AbortSignal): Promise<T> => {
    try {
      return await result;
    } catch (error) {
      if (isBlobMissing(error) && error.status !== 412) await check(signal);
      throw error;
    }
  };
  const checkWrite = async (signal?: AbortSignal) => {
    if (!isFolder || performance.now() - checkedAt <= CHECK_EVERY_MS) return;
    await check(signal);
    checkedAt = performance.now();
  };
  return {
    url: store.url,
    provesDigests: store.provesDigests,
    stat: (key, options) => explained(store.stat(key, options), options?.signal),
    open: (key, options) => explained(store.open(key, options), options?.signal),
    async put(key, body, options) {
      await checkWrite(options?.signal);
      return await store.put(key, body, options);
    },
    putUnnamed: store.putUnnamed && (async (keyOf, body, options) => {
      await checkWrite(options?.signal);
      return await store.putUnnamed!(keyOf, body, options);
    }),
    delete: (key, options) => store.delete(key, options),
    list: (prefix, options) => store.list(prefix, options),
    sweep: store.sweep && ((options) => store.sweep!(options)),
    presignPut: (key, options) => store.presignPut(key, options),
    partUploads: store.partUploads,
  };
}
