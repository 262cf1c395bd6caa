/**
 * What a client lacks, as one document: planned first, then streamed.
 *
 * @module
 */

import type { Branch } from "../db/history/branches.ts";
import { ByteBudget } from "./select/byte_budget.ts";
import {
  type HistorySelection,
  selectHistory,
  type SelectOptions,
} from "./select/select_history.ts";
import { writeHistory } from "./write_history.ts";

/** What a fetch will send. Dispose of it, unless it is written to its end. */
export interface FetchPlan extends AsyncDisposable {
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
  readonly options: SelectOptions & { readonly maxBytes?: number };
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
 */
export async function planFetch(
  options: SelectOptions & { readonly maxBytes?: number },
): Promise<FetchPlan> {
  const budget = new ByteBudget(options.maxBytes);
  const selection = await selectHistory(options, budget);
  return {
    commits: selection.commits.size,
    snapshots: selection.snapshots.size,
    objects: selection.objects.size,
    sizeBytes: budget.usedBytes,
    selection,
    options,
    [Symbol.asyncDispose]: () => selection[Symbol.asyncDispose](),
  };
}

/**
 * Writes the document `{commits, snapshots, objects, branch_heads}`, whose snapshots have their whole
 * manifests. Commits come children before parents, objects as they lie in the store. Each commit and
 * each object is checked against its id before its last byte is delivered.
 *
 * @param branches The heads to name.
 * @param options.freesBlocks Whether the consumer has no use for a chunk when it asks for the next one.
 */
export async function* writeFetch(
  plan: FetchPlan,
  branches: Iterable<Branch>,
  { freesBlocks }: { readonly freesBlocks?: boolean } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  await using _ = plan;
  const { options, selection, sizeBytes } = plan, { maxBytes = Infinity } = options;
  yield* writeHistory(options, selection, {
    isWhole: true,
    branches: [...branches],
    freesBlocks,
    // The plan counts encoded objects as they are in the store.
    maxExtraBytes: maxBytes - sizeBytes,
  });
}
