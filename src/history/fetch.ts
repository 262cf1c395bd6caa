/**
 * What a client lacks, as one document: planned first, then streamed.
 *
 * @module
 */

import type { Branch } from "../db/history/branches.ts";
import { findLocations } from "../db/refs.ts";
import { ObjectError } from "../errors.ts";
import { arrayHeader, binHeader, mapHeader, str } from "../lib/msgpack_headers.ts";
import { refuseDamaged } from "../objects/check_object.ts";
import { readObjects } from "../objects/read_objects.ts";
import { ByteBudget } from "./select/byte_budget.ts";
import { inChunks } from "./chunks.ts";
import { copyCommits, copySnapshots } from "./records/copy_records.ts";
import {
  type HistorySelection,
  selectHistory,
  type SelectOptions,
} from "./select/select_history.ts";

const PAGE_IDS = 5_000;
/** Of an object besides its content: keys, id and headers. */
const OBJECT_BYTES = 1 + "object_id".length + 1 + 2 + 71 + "content".length + 1 + 5;

/** What a fetch will send. */
export interface FetchPlan {
  /** Commits. */
  readonly commits: number;
  /** Snapshots. */
  readonly snapshots: number;
  /** Objects. */
  readonly objects: number;
  /** Length in bytes of commits, snapshots and objects, within some bytes for each of them. */
  readonly sizeBytes: number;
  /**
   * For `writeFetch()`.
   *
   * @ignore
   */
  readonly selection: HistorySelection;
  /**
   * For `writeFetch()`.
   *
   * @ignore
   */
  readonly options: SelectOptions;
}

/**
 * Finds what to send, so that a refusal comes before the first byte: commits reached from `want`, but
 * not from `have`; their snapshots; and the objects of these snapshots that the commits of `have`
 * next to them do not name.
 *
 * @param options.maxBytes The most bytes to send. Default: no limit.
 * @throws {HistoryError} `history-not-found` if the repo does not have a wanted commit with all its
 * ancestors; `record-mismatch`; `fetch-too-large`.
 * @throws {ObjectError} If an object is missing or damaged.
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 * @internal
 */
export async function planFetch(
  options: SelectOptions & { readonly maxBytes?: number },
): Promise<FetchPlan> {
  const { db, repoId, maxBytes } = options;
  const budget = new ByteBudget(maxBytes);
  const selection = await selectHistory(options, budget);
  const { commits, snapshots, objectIds } = selection;
  for (let at = 0; at < objectIds.length; at += PAGE_IDS) {
    const ids = objectIds.slice(at, at + PAGE_IDS);
    const locations = await findLocations(db, repoId, ids);
    if (locations.length < ids.length) {
      const found = new Set(locations.map(({ objectId }) => objectId));
      throw notThere(ids.find((id) => !found.has(id))!);
    }
    for (const location of locations) {
      refuseDamaged(location);
      budget.add(OBJECT_BYTES + location.sizeBytes);
    }
  }
  return {
    commits: commits.length,
    snapshots: snapshots.length,
    objects: objectIds.length,
    sizeBytes: budget.usedBytes,
    selection,
    options,
  };
}

function notThere(objectId: string): ObjectError {
  return new ObjectError(
    "object-not-found",
    `Cannot send object ${objectId}, which a snapshot names: this repo does not have it`,
  );
}

/**
 * Writes the document `{commits, snapshots, objects, branch_heads}`. Commits come children before
 * parents, objects as they lie in the store. Each commit and each object is checked against its id
 * before its last byte is delivered.
 *
 * @param branches The heads to name.
 * @internal
 */
export function writeFetch(
  plan: FetchPlan,
  branches: Iterable<Branch>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  return inChunks(partsOf(plan, [...branches]));
}

async function* partsOf(
  { selection, options }: FetchPlan,
  branches: readonly Branch[],
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { commits, snapshots, rewritten, objectIds } = selection;
  yield bytes(mapHeader(4), str("commits"), arrayHeader(commits.length));
  yield* copyCommits(options.store, commits, options.signal);
  yield bytes(str("snapshots"), arrayHeader(snapshots.length));
  yield* copySnapshots(options, snapshots, rewritten);
  yield bytes(str("objects"), arrayHeader(objectIds.length));
  for await (const object of readObjects({ ...options, objectIds, order: "stored" })) {
    yield objectHeader(object.objectId, object.sizeBytes);
    if (object.content !== undefined) yield object.content;
    else yield* object.chunks();
  }
  yield bytes(str("branch_heads"), mapHeader(branches.length));
  for (const { name, headCommitId } of branches) yield bytes(str(name), str(headCommitId));
}

function objectHeader(objectId: string, sizeBytes: number): Uint8Array<ArrayBuffer> {
  return bytes(mapHeader(2), str("object_id"), str(objectId), str("content"), binHeader(sizeBytes));
}

function bytes(...parts: readonly number[][]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flat());
}
