/**
 * Copies objects out of packs as the records `{object_id, content}` that they are there.
 *
 * Between two contents of a pack there are mostly the bytes that a new document needs there, too. So
 * whole blocks are passed on as they were read, and each content is hashed where it lies.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import { HistoryError } from "../errors.ts";
import { binHeader, mapHeader, str } from "../lib/msgpack_headers.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { BlockReader } from "./block_reader.ts";
import { asMismatch, mismatch, ObjectCheck } from "./check_object.ts";
import { openAhead } from "./open_ahead.ts";
import { type Run, storedRuns, stretchesOf } from "./plan_reads.ts";
import { readLocated, type ReadLocatedOptions } from "./read_objects.ts";

/**
 * Neighbours that are farther apart are read by two requests. A longer run is read by several, each of
 * which begins before its turn.
 */
const CUTS = { maxGapBytes: 256 * 1024, maxRunBytes: 8 * 1024 * 1024 };
/** Runs opened before their turn; each has read at most one block. */
const AHEAD = 3;

type Bytes = Uint8Array<ArrayBuffer>;

/** Where to copy from, and how much. The order is by default that of the bytes in the store. */
export interface CopyOptions
  extends Pick<ReadLocatedOptions, "store" | "signal" | "maxContentBytes" | "order"> {
  /**
   * How much longer than in the store the encoded contents may be when they are plain, together: that
   * is not known before they are decoded. Default: any length.
   */
  readonly maxExtraBytes?: number;
  /**
   * Whether blocks are freed as soon as the consumer asks for what comes after them, so it must have no
   * use for a chunk then. Default: it may keep them, and the garbage collector finds them later. To V8
   * they are part of the heap, so it searches all of that for every 70 MB that pass.
   */
  readonly freesBlocks?: boolean;
}

/**
 * Writes the records of objects. The last byte of a content comes after the check of its digest. An
 * encoded content is written plain.
 *
 * @param pages None of the objects is known to be damaged.
 * @throws {ObjectError} `object-mismatch` if stored bytes are not the object.
 * @throws {HistoryError} `fetch-too-large` if `maxExtraBytes` is exceeded.
 * @throws {StoreError} If a blob is missing, or the store unavailable.
 */
export async function* copyObjects(
  pages: AsyncIterable<readonly ObjectLocation[]>,
  options: CopyOptions,
): AsyncGenerator<Bytes, void, undefined> {
  const extra = new ExtraBytes(options.maxExtraBytes);
  for await (const page of pages) {
    yield* options.order === "asked"
      ? inOrderAsked(page, options, extra)
      : inStoredOrder(page, options, extra);
  }
}

/** Counts what encoded contents have more when they are plain. */
class ExtraBytes {
  #bytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes = Infinity) {
    this.#maxBytes = maxBytes;
  }

  add({ objectId, sizeBytes }: { objectId: string; sizeBytes: number }, storedBytes: number): void {
    this.#bytes += Math.max(0, sizeBytes - storedBytes);
    if (this.#bytes <= this.#maxBytes) return;
    throw new HistoryError(
      "fetch-too-large",
      `Cannot send object ${objectId}: it has ${sizeBytes} bytes when it is decoded, which makes ` +
        "the answer longer than is asked for",
    );
  }
}

async function* inStoredOrder(
  page: readonly ObjectLocation[],
  options: CopyOptions,
  extra: ExtraBytes,
): AsyncGenerator<Bytes, void, undefined> {
  const plain = page.filter(({ encoding }) => encoding === null);
  for (const location of plain) {
    if (location.sizeBytes > 0) continue;
    new ObjectCheck(location).finish();
    yield objectHeader(location.objectId, 0);
  }
  yield* copyRuns(storedRuns(plain, CUTS), options);
  if (plain.length === page.length) return;
  yield* copyEach(page.filter(({ encoding }) => encoding !== null), options, extra);
}

async function* inOrderAsked(
  page: readonly ObjectLocation[],
  options: CopyOptions,
  extra: ExtraBytes,
): AsyncGenerator<Bytes, void, undefined> {
  let runs: Run[] = [];
  for (const { objects, isRun } of stretchesOf(page, CUTS)) {
    if (isRun) {
      runs.push(objects);
      continue;
    }
    yield* copyRuns(runs, options);
    runs = [];
    yield* copyEach(objects, options, extra);
  }
  yield* copyRuns(runs, options);
}

/** Each content is read into memory, or more than once. */
async function* copyEach(
  found: readonly ObjectLocation[],
  options: CopyOptions,
  extra: ExtraBytes,
): AsyncGenerator<Bytes, void, undefined> {
  const how = { ...options, ...CUTS, order: options.order ?? "stored" };
  const storedBytes = new Map(found.map(({ objectId, sizeBytes }) => [objectId, sizeBytes]));
  for await (const object of readLocated(onePage(found), how)) {
    extra.add(object, storedBytes.get(object.objectId)!);
    yield objectHeader(object.objectId, object.sizeBytes);
    yield* object.chunks();
  }
}

async function* onePage(found: readonly ObjectLocation[]) {
  yield await Promise.resolve({ found, refused: [] });
}

async function* copyRuns(
  runs: readonly Run[],
  { store, signal, freesBlocks }: CopyOptions,
): AsyncGenerator<Bytes, void, undefined> {
  const open = (run: Run) => openRun(store, run, signal);
  for await (const [run, reader] of openAhead(runs, open, AHEAD)) {
    signal?.throwIfAborted();
    yield* copyRun(run, reader, { freesBlocks });
  }
}

async function openRun(store: BlobStore, run: Run, signal?: AbortSignal): Promise<BlockReader> {
  const first = run[0], last = run[run.length - 1], offsetBytes = first.contentOffset;
  const lengthBytes = last.contentOffset + last.sizeBytes - offsetBytes;
  try {
    return await BlockReader.open(store, { ...first, offsetBytes, lengthBytes }, { signal });
  } catch (error) {
    throw asMismatch(first, error);
  }
}

async function* copyRun(
  run: Run,
  reader: BlockReader,
  { freesBlocks = false }: Pick<CopyOptions, "freesBlocks">,
): AsyncGenerator<Bytes, void, undefined> {
  /** Of the block: bytes before `from` were passed on or dropped, those before `at` are to pass on. */
  let block: Bytes = new Uint8Array(), from = 0, at = 0;
  let position = run[0].contentOffset;
  const free = () => {
    if (freesBlocks) block.buffer.transfer(0);
  };
  const load = async (location: ObjectLocation) => {
    free();
    from = at = 0;
    try {
      block = await reader.next() ?? new Uint8Array();
    } catch (error) {
      throw asMismatch(location, error);
    }
    if (block.length === 0) throw mismatch(location, "the blob ended before them");
  };
  for (const location of run) {
    const header = headerOf(location);
    let gapBytes = location.contentOffset - position;
    if (gapBytes === header.length && isAt(block, at, header)) at += gapBytes;
    else {
      const own = header.slice();
      if (at > from) yield block.subarray(from, at);
      for (; gapBytes > block.length - at; await load(location)) gapBytes -= block.length - at;
      from = at += gapBytes;
      yield own;
    }
    const content = new ObjectCheck(location);
    for (let leftBytes = location.sizeBytes; leftBytes > 0;) {
      if (at === block.length) {
        if (at > from) yield block.subarray(from, at);
        await load(location);
      }
      const end = Math.min(block.length, at + leftBytes);
      content.update(block.subarray(at, end));
      leftBytes -= end - at;
      at = end;
    }
    content.finish();
    position = location.contentOffset + location.sizeBytes;
  }
  if (at > from) yield block.subarray(from, at);
  free();
}

function isAt(block: Bytes, at: number, header: Bytes): boolean {
  if (at + header.length > block.length) return false;
  for (let i = 0; i < header.length; i++) if (block[at + i] !== header[i]) return false;
  return true;
}

const UTF8 = new TextEncoder();
const BEFORE_ID = [...mapHeader(2), ...str("object_id")], AFTER_ID = str("content");
/** An id has 64 or 71 characters, the header of a content at most 5 bytes. */
const SCRATCH = new Uint8Array(BEFORE_ID.length + 2 + 71 + AFTER_ID.length + 5);
SCRATCH.set(BEFORE_ID);

/** What comes before a content. Valid until the next call. */
function headerOf({ objectId, sizeBytes }: Pick<ObjectLocation, "objectId" | "sizeBytes">): Bytes {
  let at = BEFORE_ID.length;
  SCRATCH[at++] = 0xd9;
  SCRATCH[at++] = objectId.length;
  at += UTF8.encodeInto(objectId, SCRATCH.subarray(at)).written;
  SCRATCH.set(AFTER_ID, at);
  at += AFTER_ID.length;
  const header = binHeader(sizeBytes);
  SCRATCH.set(header, at);
  return SCRATCH.subarray(0, at + header.length);
}

function objectHeader(objectId: string, sizeBytes: number): Bytes {
  return headerOf({ objectId, sizeBytes }).slice();
}
