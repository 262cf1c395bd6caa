/**
 * The marker of a store: a small blob that names the database whose mpacks the store holds.
 *
 * A database that lacks an mpack proves that its blob is garbage only if the store belongs to this
 * database, and "no such blob" is true only if this is the right store. Both are checked against the
 * marker before anything is deleted or reported as missing.
 *
 * @module
 */
import { ConfigError, isBlobMissing } from "../../errors.ts";
import type { BlobStore } from "./blob_store.ts";

/**
 * The marker's key. It matches no template of blob keys, so no listing of blobs has it.
 * @internal Exported for tests.
 */
export const MARKER_KEY = "mpackd-store.json";

/** The key of the marker of a catalog, or of one of its shards: both may use one store. */
function markerKey(shard: string | undefined): string {
  return shard === undefined ? MARKER_KEY : MARKER_KEY.replace(".json", `.${shard}.json`);
}

/** Whose marker, and what ends the request. */
interface MarkerOptions {
  readonly signal?: AbortSignal;
  /** The name of the shard whose marker it is. */
  readonly shard?: string;
}

/** A longer document is not a marker. */
const MAX_MARKER_BYTES = 4096;
const FORMAT = 1;

/** What the marker says. */
export interface StoreMarker {
  /** The identity of the database that owns the store. */
  readonly databaseId: string;
  /** Grows over time. A database with a smaller number was restored from a backup. */
  readonly counter: number;
}

/**
 * Reads the store's marker; undefined if it has none.
 *
 * @throws {ConfigError} If the marker's blob is not a marker.
 * @throws {StoreError} `store-unavailable`.
 * @internal Exported for tests.
 */
export async function readMarker(
  store: BlobStore,
  options: MarkerOptions = {},
): Promise<StoreMarker | undefined> {
  const key = markerKey(options.shard);
  const bytes = new Uint8Array(MAX_MARKER_BYTES + 1);
  let sizeBytes: number;
  try {
    await using reader = await store.open(key, options);
    sizeBytes = await reader.read(bytes);
  } catch (error) {
    if (isBlobMissing(error)) return undefined;
    throw error;
  }
  const marker = parse(bytes.subarray(0, sizeBytes));
  if (marker !== undefined) return marker;
  throw new ConfigError(
    `Cannot use the store ${store.url}: its blob ${key} is not a marker of mpackd`,
  );
}

/**
 * Writes the marker, in place of one that is there.
 *
 * @throws {StoreError} `store-unavailable`.
 * @internal Exported for tests.
 */
export async function writeMarker(
  store: BlobStore,
  marker: StoreMarker,
  options: MarkerOptions & { readonly ifAbsent?: boolean } = {},
): Promise<void> {
  const { databaseId, counter } = marker;
  const text = JSON.stringify({ format: FORMAT, database_id: databaseId, counter });
  const bytes = new TextEncoder().encode(`${text}\n`);
  await store.put(markerKey(options.shard), ReadableStream.from([bytes]), {
    ...options,
    sizeBytes: bytes.length,
  });
}

/**
 * Writes the marker if the store has none. If several callers do so at once, all get the same
 * marker from a folder or an S3 engine with conditional writes. Swift has none: there the last
 * caller's marker stays, and the others see it when they next read the marker.
 *
 * @returns The marker that the store has now: the given one, or the winner's.
 * @throws {ConfigError} If the marker's blob is not a marker.
 * @throws {StoreError} `store-unavailable`.
 * @internal Exported for tests.
 */
export async function createMarker(
  store: BlobStore,
  marker: StoreMarker,
  options: MarkerOptions = {},
): Promise<StoreMarker> {
  const found = await readMarker(store, options);
  if (found !== undefined) return found;
  await writeMarker(store, marker, { ...options, ifAbsent: true });
  return await readMarker(store, options) ?? marker;
}

function parse(bytes: Uint8Array): StoreMarker | undefined {
  if (bytes.length > MAX_MARKER_BYTES) return undefined;
  try {
    const { format, database_id: databaseId, counter } = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    );
    const isMarker = format === FORMAT && typeof databaseId === "string" && databaseId !== "" &&
      Number.isSafeInteger(counter) && counter >= 0;
    return isMarker ? { databaseId, counter } : undefined;
  } catch {
    return undefined;
  }
}
