/**
 * The handlers of the jobs that schedules make.
 *
 * @module
 */

import { limitsOf } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { forgetRemoved } from "../../db/shards/catalog.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import { MpackdError } from "../../errors.ts";
import { audit } from "../../maintenance/audit/audit.ts";
import { reposWithMany } from "../../db/packs.ts";
import { collectGarbage } from "../../maintenance/gc/gc.ts";
import { repack } from "../../maintenance/repack/repack.ts";
import type { AttemptScope, JobHandler } from "../attempt/handler.ts";
import type { IndexContext } from "../index/context.ts";
import { completeJob } from "../queue/complete_job.ts";
import type { Job } from "../queue/job.ts";
import { purgeJobs } from "../queue/purge_jobs.ts";
import { type TaskName, type TaskOptions, TASKS } from "./task.ts";

const PURGE_AFTER_MS = 30 * 24 * 60 * 60_000;
/** A clone reads each mpack by requests of its own; fewer are not worth copying them. */
const MANY_PACKS = 20;
const PACK_BYTES = 1024 * 1024 * 1024;
const ROWS_PER_STATEMENT = 1_000;

/** What the handlers work on: one database of those of a catalog. */
export interface MaintenanceContext extends Pick<IndexContext, "db" | "store" | "config"> {
  /** The others. Without them gc leaves alone what only they can tell to be garbage. */
  readonly shards?: ShardPools;
}

/** Makes the handlers by job type. */
export function maintenanceHandlers(
  context: MaintenanceContext,
): Record<string, JobHandler<object>> {
  return Object.fromEntries(
    Object.entries(RUN).map(([task, run]) => [
      TASKS[task as TaskName],
      async (job: Job, scope: AttemptScope) => {
        const result = await run(job, context, scope.signal);
        scope.finishing();
        await completeJob(context.db, job, result);
        return result;
      },
    ]),
  );
}

const RUN: Record<
  TaskName,
  (job: Job, context: MaintenanceContext, signal: AbortSignal) => Promise<object>
> = {
  async gc(job, { db, store, config, shards }, signal) {
    const { grace_ms: graceMs = config.gcGraceMs } = job.payload as TaskOptions;
    const others = shards && await othersOf(db, shards);
    const summary = await collectGarbage({
      db,
      ...(others && { others }),
      store,
      config,
      graceMs,
      maxPercent: config.gcMaxPercent,
      signal,
    });
    if (db.shard !== undefined && shards !== undefined) {
      await forgetRemoved(shards.catalog, db, db.shard);
    }
    return summary;
  },
  async audit(job, { db, store, config }, signal) {
    const { sample_percent: samplePercent } = job.payload as TaskOptions;
    // A job that is tried again continues its audit.
    return await audit({
      db,
      store,
      limits: limitsOf(config),
      auditId: job.jobId,
      samplePercent,
      signal,
      onFinding: () => {},
    });
  },
  async repack(job, { db, store, config }, signal) {
    const { min_packs: minPacks = MANY_PACKS } = job.payload as TaskOptions;
    const sum = { repos: 0, packs_before: 0, packs_after: 0, bytes: 0 };
    for (const repoId of await reposWithMany(db, minPacks)) {
      const { packs_before, packs_after, bytes } = await repack({
        db,
        store,
        config,
        limits: limitsOf(config),
        repoId,
        maxContentBytes: config.maxContentBytes,
        packBytes: Math.min(PACK_BYTES, config.maxPackBytes),
        signal,
      });
      if (packs_before > 0) sum.repos++;
      sum.packs_before += packs_before;
      sum.packs_after += packs_after;
      sum.bytes += bytes;
    }
    return sum;
  },
  async purge(job, { db }, signal) {
    const { older_than_ms: olderThanMs = PURGE_AFTER_MS } = job.payload as TaskOptions;
    for (let purged = 0;;) {
      signal.throwIfAborted();
      const batch = await purgeJobs(db, { olderThanMs, limit: ROWS_PER_STATEMENT });
      purged += batch;
      if (batch < ROWS_PER_STATEMENT) return { purged };
    }
  },
};

/** The other databases of the catalog; undefined if there are none, or one does not answer. */
async function othersOf(db: Database, shards: ShardPools): Promise<Database[] | undefined> {
  try {
    const others = (await shards.all()).filter(({ name }) => name !== (db.shard ?? CATALOG));
    return others.length === 0 ? undefined : await Promise.all(others.map((shard) => shard.open()));
  } catch (error) {
    if (error instanceof MpackdError) return undefined;
    throw error;
  }
}
