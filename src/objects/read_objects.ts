/**
 * Reads many objects: neighbours by one request, small batches before their turn.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { ObjectLocation } from "../db/refs.ts";
import type { MpackdError } from "../errors.ts";
import { DEFAULT_LIMITS } from "../stream/mpack/limits.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { prefetch } from "./prefetch.ts";
import { type BatchContents, checkContent, readBatch } from "./read_batch.ts";
import { locateObjects, type LocationPage } from "./locate_objects.ts";
import { planReads, type ReadBatch } from "./plan_reads.ts";
import { refusalOf, RunReader } from "./run_reader.ts";
import { checkedChunks, type Chunks, storedChunks } from "./check_object.ts";
import { decodeObject } from "./encoded_object.ts";
import { storedBytes } from "./read_object.ts";

const MIB = 1024 * 1024;
/** Contents up to this length are checked before they are delivered. */
const CHECKED_FIRST_BYTES = MIB;

/** Which objects to read, and how. */
export interface ReadObjectsOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** The ids, in either spelling. Default: every object the repo can read, in stored order. */
  readonly objectIds?: Iterable<string> | AsyncIterable<string>;
  /**
   * `asked` (default) delivers in the order of `objectIds`. `stored` delivers in byte order, some ten
   * thousand ids at a time, which needs the fewest requests.
   */
  readonly order?: "asked" | "stored";
  /** Neighbours at most this many bytes apart are read by one request. Default 262,144. */
  readonly maxGapBytes?: number;
  /** The most content bytes of one batch in memory. Default 8 MiB. */
  readonly maxBatchBytes?: number;
  /**
   * The most bytes that an encoded content may decode to. More are an `object-mismatch`. Default
   * 4 GiB.
   */
  readonly maxContentBytes?: number;
  /** Batches read before their turn; each takes up to `maxBatchBytes`. Default 3. */
  readonly concurrency?: number;
  /**
   * Called for each object that cannot be read; the others follow. Default: throw the error.
   */
  readonly onRefused?: (error: MpackdError, objectId: string) => void;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How to read objects that were looked up. */
export interface ReadLocatedOptions
  extends Omit<ReadObjectsOptions, "db" | "repoId" | "objectIds"> {
  /**
   * In stored order: the most content bytes that one request reads. A longer run is streamed; if it
   * is cut to `maxBatchBytes` instead, its parts are read before their turn. Default: any number.
   */
  readonly maxRunBytes?: number;
}

/** One object. */
export interface ObjectEntry {
  /** The id. */
  readonly objectId: string;
  /** Length of the plain bytes. */
  readonly sizeBytes: number;
  /** The whole content, checked. Undefined for a large object, which is streamed. */
  readonly content?: Uint8Array<ArrayBuffer>;
  /**
   * The content in chunks. Read them before asking for the next entry: bytes left unread are
   * skipped. The last chunk of a large object comes after its check.
   *
   * @throws {ObjectError} `object-mismatch`, for a large object.
   */
  chunks(): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/**
 * Reads many objects of a repo and checks each content against its id. One request reads
 * neighbouring contents of one mpack; small batches are requested before their turn.
 *
 * Without `onRefused` the first object that cannot be read ends the iteration: see `readObject()`.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export function readObjects(
  options: ReadObjectsOptions,
): AsyncGenerator<ObjectEntry, void, undefined> {
  const order = options.objectIds === undefined ? "stored" : options.order;
  return readLocated(locateObjects(options), { ...options, order });
}

/** Reads objects that were looked up: see {@link readObjects}. */
export async function* readLocated(
  pages: AsyncIterable<LocationPage>,
  options: ReadLocatedOptions,
): AsyncGenerator<ObjectEntry, void, undefined> {
  const { store, signal, concurrency = 3 } = options;
  const { maxContentBytes = DEFAULT_LIMITS.maxContentBytes } = options;
  const refuse = options.onRefused ?? ((error: MpackdError) => {
    throw error;
  });
  const start = (batch: ReadBatch) => ({
    batch,
    contents: batch.isBuffered ? readBatch(store, batch, signal) : undefined,
  });
  for await (
    const { batch, contents } of prefetch(batchesOf(pages, options, refuse), start, concurrency)
  ) {
    signal?.throwIfAborted();
    if (contents !== undefined) yield* deliver(batch, await contents, refuse, maxContentBytes);
    else yield* streamRun(batch.objects, refuse, { store, signal, maxContentBytes });
  }
}

type Refuse = (error: MpackdError, objectId: string) => void;

async function* batchesOf(
  pages: AsyncIterable<LocationPage>,
  options: ReadLocatedOptions,
  refuse: Refuse,
) {
  const { order = "asked", maxGapBytes = 256 * 1024, maxBatchBytes = 8 * MIB } = options;
  const { maxRunBytes } = options;
  for await (const { found, refused } of pages) {
    for (const { error, objectId } of refused) refuse(error, objectId);
    yield* planReads(found, { order, maxGapBytes, maxBatchBytes, maxRunBytes });
  }
}

async function* deliver(
  batch: ReadBatch,
  contents: BatchContents,
  refuse: Refuse,
  maxContentBytes: number,
): AsyncGenerator<ObjectEntry, void, undefined> {
  for (const location of batch.objects) {
    const { objectId, encoding } = location, found = contents.get(objectId)!;
    if (!(found instanceof Uint8Array)) refuse(found, objectId);
    else if (encoding === null) yield entryOf(objectId, found);
    else yield* decoded(location, () => once(found), refuse, maxContentBytes);
  }
}

/** The object whose encoded bytes `stored` reads, if it can be decoded. */
async function* decoded(
  location: ObjectLocation,
  stored: () => AsyncIterable<Uint8Array>,
  refuse: Refuse,
  maxContentBytes: number,
): AsyncGenerator<ObjectEntry, void, undefined> {
  const { objectId } = location;
  try {
    yield { objectId, ...await decodeObject(location, stored, { maxContentBytes }) };
  } catch (error) {
    refuse(refusalOf(location, error), objectId);
  }
}

function entryOf(objectId: string, content: Uint8Array<ArrayBuffer>): ObjectEntry {
  return { objectId, sizeBytes: content.length, content, chunks: () => once(content) };
}

async function* once(bytes: Uint8Array<ArrayBuffer>): Chunks {
  yield await Promise.resolve(bytes);
}

/** Delivers the objects of a run while its bytes are read. */
async function* streamRun(
  run: readonly ObjectLocation[],
  refuse: Refuse,
  { store, signal, maxContentBytes }: {
    readonly store: BlobStore;
    readonly signal?: AbortSignal;
    readonly maxContentBytes: number;
  },
): AsyncGenerator<ObjectEntry, void, undefined> {
  let opened: RunReader;
  try {
    opened = await RunReader.open(store, run, signal);
  } catch (error) {
    for (const location of run) refuse(refusalOf(location, error), location.objectId);
    return;
  }
  await using reader = opened;
  for (const [i, location] of run.entries()) {
    const { objectId, sizeBytes, encoding } = location;
    const isLarge = sizeBytes > CHECKED_FIRST_BYTES;
    if (isLarge && encoding !== null) {
      // By requests of its own: it is read more than once.
      yield* decoded(location, storedBytes(store, location, signal), refuse, maxContentBytes);
      continue;
    }
    let content: Uint8Array<ArrayBuffer> | undefined;
    try {
      if (isLarge) await reader.seek(location);
      else content = await reader.content(location);
    } catch (error) {
      for (const rest of run.slice(i)) refuse(refusalOf(rest, error), rest.objectId);
      return;
    }
    if (content === undefined) {
      const chunks = () => checkedChunks(storedChunks(reader, location), location);
      yield { objectId, sizeBytes, chunks };
      continue;
    }
    if (encoding !== null) {
      const stored = content;
      yield* decoded(location, () => once(stored), refuse, maxContentBytes);
      continue;
    }
    const found = checkContent(location, content);
    if (found instanceof Uint8Array) yield entryOf(objectId, found);
    else refuse(found, objectId);
  }
}
