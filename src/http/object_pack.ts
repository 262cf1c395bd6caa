/**
 * Writes many objects as one stream that has the form of an mpack.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { ObjectLocation } from "../db/refs.ts";
import { type MpackdError, ObjectError } from "../errors.ts";
import { inChunks } from "../history/chunks.ts";
import { arrayHeader, mapHeader, str } from "../lib/msgpack_headers.ts";
import { copyObjects } from "../objects/copy_objects.ts";
import { locateObjects } from "../objects/locate_objects.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";

/**
 * Locations that are kept from the check until the objects are sent, about 300 bytes each. Those of a
 * longer list are looked up once more when it is their turn.
 */
const KEPT_LOCATIONS = 10_000;

type Bytes = Uint8Array<ArrayBuffer>;

/** The objects to write. */
export interface PackOptions {
  readonly db: Database;
  readonly store: BlobStore;
  readonly repoId: string;
  /** Each once. */
  readonly objectIds: readonly string[];
  readonly maxContentBytes: number;
  readonly signal: AbortSignal;
}

/** Objects that were looked up. */
export interface FoundObjects {
  /** The ids that the repo has not. */
  readonly missing: readonly string[];
  /** The first object that an audit found damaged. */
  readonly damaged: MpackdError | undefined;
  /**
   * Yields `{objects: [{object_id, content}, …]}` in the given order; fails at an unreadable one. A
   * chunk is used before the next one is asked for.
   */
  pack(): ReadableStream<Bytes>;
}

/** Looks all objects up, before the first byte is sent. */
export async function findObjects(options: PackOptions): Promise<FoundObjects> {
  const { objectIds } = options;
  const kept: ObjectLocation[] = [], missing: string[] = [];
  let damaged: MpackdError | undefined;
  for await (const { found, refused } of locateObjects(options)) {
    if (kept.length < KEPT_LOCATIONS) kept.push(...found);
    for (const { error, objectId } of refused) {
      if (error instanceof ObjectError && error.code === "object-not-found") missing.push(objectId);
      else damaged ??= error;
    }
  }
  async function* pages() {
    // At once: no run of neighbours ends where a look-up did.
    yield kept;
    const rest = objectIds.slice(kept.length);
    for await (const { found, refused } of locateObjects({ ...options, objectIds: rest })) {
      for (const { error } of refused) throw error;
      yield found;
    }
  }
  async function* parts(): AsyncGenerator<Bytes, void, undefined> {
    yield Uint8Array.from([...mapHeader(1), ...str("objects"), ...arrayHeader(objectIds.length)]);
    yield* copyObjects(pages(), { ...options, order: "asked", freesBlocks: true });
  }
  return { missing, damaged, pack: () => ReadableStream.from(inChunks(parts())) };
}
