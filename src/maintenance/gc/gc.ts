/**
 * Collects garbage:
 *
 * - staged rows of jobs that are neither pending nor running, and old interrupted audits
 * - the rows of deleted repos: refs, mpacks, repo
 * - commits, snapshots and refs that no branch or tag of a repo reaches
 * - the rows of mpacks that no row points into, and that hold no other copy of a history
 * - blobs that no row needs, half-written blobs, and uploads in parts that were given up
 *
 * A row that is missing proves that a blob is garbage only if the store belongs to this database,
 * the database is not an old backup, and it has known the blob's repo. No row can be hidden: each
 * session sets row_security to off, so that PostgreSQL refuses instead of filtering.
 *
 * Rows go first and blobs last: a crash in between leaves a blob without a row, which the next run
 * collects, and never a ref to missing bytes.
 *
 * @module
 */

import { collectAudits, collectStaged } from "../../db/garbage.ts";
import { removeStaleTombstones } from "../../db/tombstones.ts";
import { forgetOldUploads, isUploadOpen } from "../../db/uploads.ts";
import { hasShards } from "../../db/shards/catalog.ts";
import { ConfigError } from "../../errors.ts";
import { sweepPartBlobs } from "../../stream/store/part_blobs.ts";
import { checkOwner, claimStore, olderText } from "../store_owner.ts";
import { collectBlobs } from "./collect_blobs.ts";
import { collectHistory } from "./collect_history.ts";
import { collectMpacks } from "./collect_mpacks.ts";
import { collectRepos } from "./collect_repos.ts";
import { type GcOptions, GcRun, type GcSummary } from "./gc_run.ts";

export type { Collected, GcOptions, GcSummary } from "./gc_run.ts";

/** Tombstones older than this were written by a gc that was killed. */
const STALE_TOMBSTONE_MS = 15 * 60_000;
const ROWS_PER_STATEMENT = 5_000;

/**
 * Collects garbage. May run beside everything else, and beside another gc.
 *
 * @throws {ConfigError} If the store is not this database's, or `maxPercent` is exceeded.
 * @throws {StoreError | DatabaseError} If a service is unavailable; the next run continues.
 */
export async function collectGarbage(options: GcOptions): Promise<GcSummary> {
  const run = new GcRun(options), startedAt = performance.now();
  await requireProof(run);
  if (!run.isDryRun) await removeStaleTombstones(options.db, { olderThanMs: STALE_TOMBSTONE_MS });
  run.step("staged rows");
  await collectStagedRows(run);
  run.add({ audits: await collectAudits(options.db, run.isDryRun) });
  await collectRepos(run);
  await collectHistory(run);
  run.step("unused mpacks");
  await collectMpacks(run);
  run.step("blobs");
  await collectBlobs(run);
  run.step("half-written blobs");
  await sweepHalfWritten(run);
  const elapsed_ms = Math.round(performance.now() - startedAt);
  return { dry_run: run.isDryRun, ...run.sum, elapsed_ms };
}

/** Makes sure that a missing row proves anything. A dry run may show what an old backup lacks. */
async function requireProof({ options, isDryRun }: GcRun): Promise<void> {
  const { ownership } = isDryRun ? await checkOwner(options) : await claimStore(options);
  if (ownership === "older-database" && !isDryRun) throw new ConfigError(olderText(options));
}

/** Removes the staged rows of jobs that are neither pending nor running. */
async function collectStagedRows(run: GcRun): Promise<void> {
  const { db, signal } = run.options, { isDryRun } = run;
  for (;;) {
    signal.throwIfAborted();
    const batches = await collectStaged(db, { isDryRun, limit: ROWS_PER_STATEMENT });
    run.add({ staged_batches: batches });
    if (isDryRun || batches < ROWS_PER_STATEMENT) return;
  }
}

/** Removes what killed writers left half-written in the store, and uploads that were given up. */
async function sweepHalfWritten(run: GcRun): Promise<void> {
  const { db, others, store, graceMs, signal } = run.options, { isDryRun } = run;
  const before = new Date(Date.now() - graceMs);
  if (!isDryRun) await forgetOldUploads(db, { graceMs });
  // One store may have the uploads of a catalog and all its shards.
  const places = others === undefined ? [db] : [db, ...others];
  const isUnsure = others === undefined && (db.shard !== undefined || await hasShards(db));
  const isOpen = async (uploadId: string) => {
    const open = places.map((place) => isUploadOpen(place, { uploadId, graceMs }));
    return isUnsure || (await Promise.all(open)).includes(true);
  };
  const options = { before, isDryRun, isOpen, signal };
  run.add({ half_written: await store.sweep?.(options) ?? 0 });
  if (store.partUploads !== undefined) return;
  run.add({ half_written: await sweepPartBlobs(store, options) });
}
