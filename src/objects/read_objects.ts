/**
 * Reads many objects: neighbours by one request, small batches before their turn.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { ObjectLocation } from "../db/refs.ts";
import type { MpackdError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { prefetch } from "./prefetch.ts";
import { type BatchContents, checkContent, readBatch } from "./read_batch.ts";
import { locateObjects } from "./locate_objects.ts";
import { planReads, type ReadBatch } from "./plan_reads.ts";
import { refusalOf, RunReader } from "./run_reader.ts";
import { checkedChunks } from "./check_object.ts";

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
  /** The ids as they were pushed. Default: every object the repo can read, in stored order. */
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
  /** Batches read before their turn; each takes up to `maxBatchBytes`. Default 3. */
  readonly concurrency?: number;
  /**
   * Called for each object that cannot be read; the others follow. Default: throw the error.
   */
  readonly onRefused?: (error: MpackdError, objectId: string) => void;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** One object. */
export interface ObjectEntry {
  /** The id. */
  readonly objectId: string;
  /** Length in bytes. */
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
export async function* readObjects(
  options: ReadObjectsOptions,
): AsyncGenerator<ObjectEntry, void, undefined> {
  const { store, signal, concurrency = 3 } = options;
  const refuse = options.onRefused ?? ((error: MpackdError) => {
    throw error;
  });
  const start = (batch: ReadBatch) => ({
    batch,
    contents: batch.isBuffered ? readBatch(store, batch, signal) : undefined,
  });
  for await (
    const { batch, contents } of prefetch(batchesOf(options, refuse), start, concurrency)
  ) {
    signal?.throwIfAborted();
    if (contents !== undefined) yield* deliver(batch, await contents, refuse);
    else yield* streamRun(store, batch.objects, refuse, signal);
  }
}

type Refuse = (error: MpackdError, objectId: string) => void;

async function* batchesOf(options: ReadObjectsOptions, refuse: Refuse) {
  const { objectIds, maxGapBytes = 256 * 1024, maxBatchBytes = 8 * MIB } = options;
  const order = objectIds === undefined ? "stored" : options.order ?? "asked";
  for await (const { found, refused } of locateObjects(options)) {
    for (const { error, objectId } of refused) refuse(error, objectId);
    yield* planReads(found, { order, maxGapBytes, maxBatchBytes });
  }
}

function* deliver(batch: ReadBatch, contents: BatchContents, refuse: Refuse) {
  for (const { objectId, sizeBytes } of batch.objects) {
    const found = contents.get(objectId)!;
    if (found instanceof Uint8Array) yield entryOf(objectId, sizeBytes, found);
    else refuse(found, objectId);
  }
}

function entryOf(
  objectId: string,
  sizeBytes: number,
  content: Uint8Array<ArrayBuffer>,
): ObjectEntry {
  return {
    objectId,
    sizeBytes,
    content,
    async *chunks() {
      yield await Promise.resolve(content);
    },
  };
}

/** Delivers the objects of a run while its bytes are read. */
async function* streamRun(
  store: BlobStore,
  run: readonly ObjectLocation[],
  refuse: Refuse,
  signal?: AbortSignal,
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
    const { objectId, sizeBytes } = location;
    const isLarge = sizeBytes > CHECKED_FIRST_BYTES;
    let content: Uint8Array<ArrayBuffer> | undefined;
    try {
      if (isLarge) await reader.seek(location);
      else content = await reader.content(location);
    } catch (error) {
      for (const rest of run.slice(i)) refuse(refusalOf(rest, error), rest.objectId);
      return;
    }
    if (content === undefined) {
      yield { objectId, sizeBytes, chunks: () => checkedChunks(reader, location) };
      continue;
    }
    const found = checkContent(location, content);
    if (found instanceof Uint8Array) yield entryOf(objectId, sizeBytes, found);
    else refuse(found, objectId);
  }
}
