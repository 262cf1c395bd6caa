/**
 * Writes a selection of history as one MessagePack document.
 *
 * @module
 */

import type { Branch } from "../db/history/branches.ts";
import type { Tag } from "../db/history/commit_names.ts";
import { arrayHeader, mapHeader, str } from "../lib/msgpack_headers.ts";
import { copyObjects } from "../objects/copy_objects.ts";
import { inChunks } from "./chunks.ts";
import { copyCommits, SnapshotCopier } from "./records/copy_records.ts";
import type { HistorySelection, SelectOptions } from "./select/select_history.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What to write besides the selection. */
export interface DocumentOptions {
  /** Whether each snapshot has its whole manifest. Otherwise deltas stay what they are. */
  readonly isWhole: boolean;
  readonly branches: readonly Branch[];
  /** Left out if there are none. */
  readonly tags?: readonly Tag[];
  /** Whether the branches come first. Clients of fetches expect them last. */
  readonly isHeadsFirst?: boolean;
  /** See `CopyOptions`. */
  readonly maxExtraBytes?: number;
  /** See `CopyOptions`. */
  readonly freesBlocks?: boolean;
}

/** Writes `{commits, snapshots, objects, [tags], branch_heads}`. */
export function writeHistory(
  options: SelectOptions,
  selection: HistorySelection,
  document: DocumentOptions,
): AsyncGenerator<Bytes, void, undefined> {
  return inChunks(partsOf(options, selection, document));
}

async function* partsOf(
  options: SelectOptions,
  { commits, snapshots, objects, overNothing }: HistorySelection,
  { isWhole, branches, tags = [], isHeadsFirst = false, ...copying }: DocumentOptions,
): AsyncGenerator<Bytes, void, undefined> {
  yield bytes(mapHeader(tags.length > 0 ? 5 : 4));
  if (isHeadsFirst) yield* branchHeads(branches);
  yield bytes(str("commits"), arrayHeader(commits.size));
  for await (const rows of commits.pages()) {
    yield* copyCommits(options.store, rows, options.signal);
  }
  yield bytes(str("snapshots"), arrayHeader(snapshots.size));
  const copier = new SnapshotCopier(options, { isWhole, overNothing });
  for await (const rows of snapshots.pages()) yield* copier.copy(rows);
  yield bytes(str("objects"), arrayHeader(objects.size));
  yield* copyObjects(objects.pages(), { ...options, ...copying });
  if (tags.length > 0) yield bytes(str("tags"), arrayHeader(tags.length));
  for (const tag of tags) yield tagRecord(tag);
  if (!isHeadsFirst) yield* branchHeads(branches);
}

function* branchHeads(branches: readonly Branch[]): Generator<Bytes, void, undefined> {
  yield bytes(str("branch_heads"), mapHeader(branches.length));
  for (const { name, headCommitId } of branches) yield bytes(str(name), str(headCommitId));
}

function tagRecord({ tag, commitId, createdAt }: Tag): Bytes {
  const at = createdAt?.toISOString() ?? "";
  return bytes(
    mapHeader(4),
    ...[str("tag_id"), str(""), str("tag"), str(tag)],
    ...[str("commit_id"), str(commitId), str("created_at"), str(at)],
  );
}

function bytes(...parts: readonly number[][]): Bytes {
  return Uint8Array.from(parts.flat());
}
