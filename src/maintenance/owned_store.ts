/**
 * A store that says "no such blob" and "stored" only while its marker names this database.
 *
 * A folder whose mount is gone looks like an empty store: jobs would fail because their blobs are
 * missing, and uploads would be written beside the store.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { ConfigError, isBlobMissing, WrongStoreError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { readMarker } from "../stream/store/store_marker.ts";
import { compareOwner, type Ownership } from "./store_owner.ts";

/** The marker is read at most this often before writes to a folder. */
const CHECK_EVERY_MS = 1_000;

/**
 * Wraps a store that belongs to the database of this id, a catalog or one of its shards.
 *
 * Its methods throw a {@link WrongStoreError} if a blob is missing and so is the marker. Before a
 * write the marker is read only of a folder: a bucket cannot be unmounted.
 */
export function ownedStore(store: BlobStore, databaseId: string, shard?: string): BlobStore {
  const isFolder = store.url.startsWith("file:");
  let checkedAt = -Infinity;
  const check = async (signal?: AbortSignal) => {
    const marker = await readMarker(store, { signal, shard });
    if (marker?.databaseId === databaseId) return;
    throw wrongStore(store, marker === undefined ? "lost" : "foreign");
  };
  const checkWrite = async (signal?: AbortSignal) => {
    if (!isFolder || performance.now() - checkedAt <= CHECK_EVERY_MS) return;
    await check(signal);
    checkedAt = performance.now();
  };
  return {
    ...explainMissing(store, check),
    async put(key, body, options) {
      await checkWrite(options?.signal);
      return await store.put(key, body, options);
    },
    putUnnamed: store.putUnnamed && (async (keyOf, body, options) => {
      await checkWrite(options?.signal);
      return await store.putUnnamed!(keyOf, body, options);
    }),
  };
}

/**
 * Wraps a store for reading: a missing blob is a {@link WrongStoreError} if the marker is missing,
 * too, or names another database. Nothing is compared while blobs are found.
 */
export function readableStore(store: BlobStore, db: Database): BlobStore {
  return explainMissing(store, async (signal) => {
    let ownership: Ownership;
    try {
      ({ ownership } = await compareOwner({ db, store, signal }));
    } catch (error) {
      // This role may not read the table: a missing blob is all that can be said.
      if (error instanceof ConfigError) return;
      throw error;
    }
    if (ownership === "lost" || ownership === "foreign") throw wrongStore(store, ownership);
  });
}

function wrongStore({ url }: BlobStore, ownership: "lost" | "foreign"): WrongStoreError {
  const why = ownership === "lost" ? "has lost its marker" : "belongs to another database";
  return new WrongStoreError(`Cannot use the store ${url}: it ${why}. Is it mounted?`);
}

/** The same store, which runs `check` before it says that a blob is missing. */
function explainMissing(
  store: BlobStore,
  check: (signal?: AbortSignal) => Promise<void>,
): BlobStore {
  const explained = async <T>(result: Promise<T>, signal?: AbortSignal): Promise<T> => {
    try {
      return await result;
    } catch (error) {
      if (isBlobMissing(error) && error.status !== 412) await check(signal);
      throw error;
    }
  };
  return {
    url: store.url,
    provesDigests: store.provesDigests,
    stat: (key, options) => explained(store.stat(key, options), options?.signal),
    open: (key, options) => explained(store.open(key, options), options?.signal),
    put: (key, body, options) => store.put(key, body, options),
    putUnnamed: store.putUnnamed &&
      ((keyOf, body, options) => store.putUnnamed!(keyOf, body, options)),
    delete: (key, options) => store.delete(key, options),
    list: (prefix, options) => store.list(prefix, options),
    sweep: store.sweep && ((options) => store.sweep!(options)),
    presignPut: (key, options) => store.presignPut(key, options),
    partUploads: store.partUploads,
  };
}
