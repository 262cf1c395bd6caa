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
import { grouped } from "../../lib/numbers.ts";
import { sleep } from "../../lib/sleep.ts";
import type { GcRun } from "./gc_run.ts";
import { markHistory } from "./mark_history.ts";
import { waitForPublishes } from "./tombstone_lock.ts";

const IDS_PER_STATEMENT = 5_000;
/** Pushes to a repo that is held are refused and try again, so it is held for moments only. */
const HOLD_MS = 3_000;
/** After such a moment pushes get their turn; what they change ends the work in this repo. */
const PAUSE_MS = 2_000;
/** The rest is left to the next run. */
const MAX_HOLDS = 100;
const COUNTED: Record<Kind, "commits" | "snapshots" | "history_refs"> = {
  commit: "commits",
  snapshot: "snapshots",
  object: "history_refs",
};

/** Collects unreached history, repo by repo. */
export async function collectHistory(run: GcRun): Promise<void> {
  const { db, graceMs, signal } = run.options;
  const before = await timeBefore(db, graceMs);
  run.step("history");
  const repos = await historyRepos(db, { before });
  for (const [i, repo] of repos.entries()) {
    signal.throwIfAborted();
    run.step(`history of repo ${grouped(i + 1)} of ${grouped(repos.length)}`);
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
  for (let holds = 0; holds < MAX_HOLDS && await holdRepo(db, walk); holds++) {
    let left: Left = "some";
    try {
      // Publishes that began before may not have seen the hold.
      if (await waitForPublishes(run)) left = await deleteUnreached(run, walk, repo);
    } finally {
      await releaseRepo(db, walk, null);
    }
    if (left === "none") return;
    if (left === "changed") break;
    await sleep(PAUSE_MS, run.options.signal);
  }
  run.add({ postponed: 1 });
}

/** Whether rows are left; `changed` if gc may not go on with what it has marked. */
type Left = "none" | "some" | "changed";

async function deleteUnreached(run: GcRun, walk: Walk, { state }: HistoryRepo): Promise<Left> {
  const { db, signal } = run.options, deadline = performance.now() + HOLD_MS;
  for (const kind of KINDS) {
    for (let after = "";;) {
      signal.throwIfAborted();
      if (performance.now() > deadline) return "some";
      const ids = await unreachedIds(db, walk, kind, { after, limit: IDS_PER_STATEMENT });
      if (ids.length === 0) break;
      const deleted = await collectUnreached(db, walk, { kind, ids, state });
      if (deleted === undefined || deleted === 0) return "changed";
      run.add({ [COUNTED[kind]]: deleted });
      after = ids[ids.length - 1];
      if (ids.length < IDS_PER_STATEMENT) break;
    }
  }
  return "none";
}
