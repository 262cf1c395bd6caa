/**
 * Removes the rows of mpacks that no ref points into.
 *
 * @module
 */

import { collectPacks, type UnusedPack, unusedPacks } from "../../db/garbage.ts";
import type { GcRun } from "./gc_run.ts";
import { withTombstones } from "./tombstone_lock.ts";

const ROWS_PER_STATEMENT = 5_000;
/** Mpacks per set of tombstones: few, so that the tombstones live for seconds only. */
const GROUP = 200;

/** Removes the rows of unused mpacks. Their blobs are collected as blobs without a row. */
export async function collectMpacks(run: GcRun): Promise<void> {
  const { db, graceMs, signal } = run.options;
  for (let afterId = 0;;) {
    signal.throwIfAborted();
    const unused = await unusedPacks(db, { graceMs, afterId, limit: ROWS_PER_STATEMENT });
    for (let at = 0; at < unused.length; at += GROUP) {
      await collectGroup(run, unused.slice(at, at + GROUP));
    }
    if (unused.length < ROWS_PER_STATEMENT) return;
    afterId = unused[unused.length - 1].mpackId;
  }
}

async function collectGroup(run: GcRun, group: readonly UnusedPack[]): Promise<void> {
  if (run.isDryRun) return await report(run, group);
  await withTombstones(run, group.map(({ blobKey }) => blobKey), async (blobKeys) => {
    const free = group.filter(({ blobKey }) => blobKeys.includes(blobKey));
    const removed = await collectPacks(run.options.db, free.map(({ mpackId }) => mpackId));
    await report(run, free.filter(({ mpackId }) => removed.includes(mpackId)));
  });
}

async function report(run: GcRun, removed: readonly UnusedPack[]): Promise<void> {
  run.add({ mpacks: removed.length });
  for (const { mpackKey } of removed) await run.report("mpack", mpackKey);
}
