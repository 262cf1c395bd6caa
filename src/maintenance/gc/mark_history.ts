/**
 * Marks all that a repo's branches and tags reach: commits, snapshots, objects.
 *
 * @module
 */

import {
  markedSnapshots,
  markIds,
  markSnapshots,
  rootCommits,
  type SnapshotPosition,
  startMarks,
  type Walk,
} from "../../db/history/marks.ts";
import { scanSnapshots } from "../../history/select/scan_snapshots.ts";
import { walkDifference } from "../../history/walk_difference.ts";
import { DigestSet } from "../../lib/digest_set.ts";
import type { GcRun } from "./gc_run.ts";

/** Snapshots read together. */
const PAGE_SNAPSHOTS = 500;
/** Objects noted before they are marked: most snapshots name nearly the same ones. About 8 MiB. */
const NOTED_IDS = 100_000;
const IDS_PER_STATEMENT = 5_000;

/**
 * Marks what is reached, in memory that does not grow with the history.
 *
 * @returns False if a snapshot is not there, so that nothing may be called unreached.
 * @throws {HistoryError} If a record is damaged or missing.
 */
export async function markHistory(run: GcRun, walk: Walk): Promise<boolean> {
  const { db, store, signal } = run.options, { repoId } = walk;
  await startMarks(db, walk);
  const want = await rootCommits(db, walk);
  for await (const { commits } of walkDifference({ db, repoId, want, have: [], signal })) {
    await markAll(run, walk, "commit", commits.map(({ commitId }) => commitId));
  }
  if (await markSnapshots(db, walk) > 0) return false;

  let noted = new DigestSet();
  const flush = async () => {
    await markAll(run, walk, "object", [...noted.ids()].map((id) => id.slice(-64)));
    noted = new DigestSet();
  };
  for (let after: SnapshotPosition = { mpackId: -1, recordOffset: -1 };;) {
    signal.throwIfAborted();
    const rows = await markedSnapshots(db, walk, { after, limit: PAGE_SNAPSHOTS });
    const visit = (bytes: Uint8Array, from: number, to: number) => void noted.add(bytes, from, to);
    for await (const _ of scanSnapshots({ db, store, repoId, rows, visit, signal })) {
      if (noted.size >= NOTED_IDS) await flush();
    }
    if (rows.length < PAGE_SNAPSHOTS) break;
    after = rows[rows.length - 1];
  }
  await flush();
  return true;
}

async function markAll(
  run: GcRun,
  walk: Walk,
  kind: "commit" | "object",
  ids: readonly string[],
): Promise<void> {
  for (let at = 0; at < ids.length; at += IDS_PER_STATEMENT) {
    await markIds(run.options.db, walk, kind, ids.slice(at, at + IDS_PER_STATEMENT));
  }
}
