/**
 * Removes the commits, snapshots and refs that no branch or tag reaches.
 *
 * Only in repos that have a branch and all of whose packs came by pushes: objects that jobs have
 * indexed without a branch are needed though nothing reaches them. Young rows are kept, and all that
 * they need, because a push comes in several requests.
 *
 * @module
 */

import { dropMarks, type Walk } from "../../db/history/marks.ts";
import {
  collectUnreached,
  countUnreached,
  type HistoryRepo,
  historyRepos,
  holdRepo,
  type Kind,
  KINDS,
  noteClean,
  releaseRepo,
  timeBefore,
  unreachedIds,
} from "../../db/history/unreached.ts";
import { HistoryError } from "../../errors.ts";
import type { GcRun } from "./gc_run.ts";
import { markHistory } from "./mark_history.ts";
import { waitForPublishes } from "./tombstone_lock.ts";

const IDS_PER_STATEMENT = 5_000;
/** Pushes to a repo that is held are refused and try again, so it is not held for long. */
const HOLD_MS = 30_000;
const COUNTED: Record<Kind, "commits" | "snapshots" | "history_refs"> = {
  commit: "commits",
  snapshot: "snapshots",
  object: "history_refs",
};

/** Collects unreached history, repo by repo. */
export async function collectHistory(run: GcRun): Promise<void> {
  const { db, graceMs, signal } = run.options;
  const before = await timeBefore(db, graceMs);
  for (const repo of await historyRepos(db, { before })) {
    signal.throwIfAborted();
    const walk = { repoId: repo.repoId, walkId: crypto.randomUUID(), before };
    try {
      if (await isMarked(run, walk)) await sweep(run, walk, repo);
      else run.add({ postponed: 1 });
    } finally {
      await dropMarks(db, walk.walkId);
    }
  }
}

/** What is damaged may reach anything: then nothing of the repo is collected. */
async function isMarked(run: GcRun, walk: Walk): Promise<boolean> {
  try {
    return await markHistory(run, walk);
  } catch (error) {
    if (error instanceof HistoryError) return false;
    throw error;
  }
}

async function sweep(run: GcRun, walk: Walk, repo: HistoryRepo): Promise<void> {
  const { db } = run.options, found = await countUnreached(db, walk);
  if (run.isDryRun) {
    for (const kind of KINDS) run.add({ [COUNTED[kind]]: found[kind] });
    return;
  }
  if (KINDS.every((kind) => found[kind] === 0)) return await noteClean(db, walk, repo.state);
  if (!await holdRepo(db, walk)) return run.add({ postponed: 1 });
  let isDone = false;
  try {
    // Publishes that began before may not have seen the hold.
    isDone = await waitForPublishes(run) && await deleteUnreached(run, walk, repo);
  } finally {
    await releaseRepo(db, walk, null);
  }
  if (!isDone) run.add({ postponed: 1 });
}

/** Returns false if rows are left to the next run. */
async function deleteUnreached(run: GcRun, walk: Walk, { state }: HistoryRepo): Promise<boolean> {
  const { db, signal } = run.options, deadline = performance.now() + HOLD_MS;
  for (const kind of KINDS) {
    for (let after = "";;) {
      signal.throwIfAborted();
      if (performance.now() > deadline) return false;
      const ids = await unreachedIds(db, walk, kind, { after, limit: IDS_PER_STATEMENT });
      if (ids.length === 0) break;
      const deleted = await collectUnreached(db, walk, { kind, ids, state });
      if (deleted === undefined || deleted === 0) return false;
      run.add({ [COUNTED[kind]]: deleted });
      after = ids[ids.length - 1];
      if (ids.length < IDS_PER_STATEMENT) break;
    }
  }
  return true;
}
