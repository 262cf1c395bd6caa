/**
 * Removes the rows of repos that were deleted longer ago than the grace time.
 *
 * @module
 */

import {
  cancelJobsOf,
  collectHistoryOf,
  collectPacksOf,
  collectRefs,
  collectRepo,
  countRepo,
  deletedRepos,
} from "../../db/garbage.ts";
import { removeWebhooksOf } from "../../db/webhooks/webhooks.ts";
import { DatabaseError } from "../../errors.ts";
import type { GcRun } from "./gc_run.ts";
import { withTombstones } from "./tombstone_lock.ts";

const REFS_PER_STATEMENT = 5_000;

/** Removes the rows of deleted repos: refs, then mpacks, then the repo. */
export async function collectRepos(run: GcRun): Promise<void> {
  const { db, graceMs, signal } = run.options;
  run.step("deleted repos");
  for (const { repoId, repo } of await deletedRepos(db, { graceMs })) {
    signal.throwIfAborted();
    run.step(`deleted repo ${repo}`);
    if (run.isDryRun) {
      const { refs, packs } = await countRepo(db, repoId);
      run.add({ repos: 1, refs, mpacks: packs });
      await run.report("repo", repo);
      continue;
    }
    await withTombstones(run, [repoId], async () => {
      if (await removeRepo(run, repoId)) await run.report("repo", repo);
      else run.add({ postponed: 1 });
    });
  }
}

/** Returns false if the repo has to wait for the next run. */
async function removeRepo(run: GcRun, repoId: string): Promise<boolean> {
  const { db, signal } = run.options;
  if (await cancelJobsOf(db, repoId) > 0) return false;
  await removeWebhooksOf(db, repoId);
  for (;;) {
    signal.throwIfAborted();
    const refs = await collectRefs(db, repoId, { limit: REFS_PER_STATEMENT });
    run.add({ refs });
    if (refs < REFS_PER_STATEMENT) break;
  }
  for (;;) {
    signal.throwIfAborted();
    if (await collectHistoryOf(db, repoId, { limit: REFS_PER_STATEMENT }) === 0) break;
  }
  run.add({ mpacks: await collectPacksOf(db, repoId) });
  try {
    await collectRepo(db, repoId);
  } catch (error) {
    // A foreign key of another program points at the repo's row: that program has to delete first.
    if (!(error instanceof DatabaseError) || error.retryable) throw error;
    return false;
  }
  run.add({ repos: 1 });
  return true;
}
