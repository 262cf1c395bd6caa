/**
 * The handlers of the jobs that schedules make.
 *
 * @module
 */

import { limitsOf } from "../../config/config.ts";
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

type Context = Pick<IndexContext, "db" | "store" | "config">;

/** Makes the handlers by job type. */
export function maintenanceHandlers(context: Context): Record<string, JobHandler<object>> {
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

const RUN: Record<TaskName, (job: Job, context: Context, signal: AbortSignal) => Promise<object>> =
  {
    async gc(job, { db, store, config }, signal) {
      const { grace_ms: graceMs = config.gcGraceMs } = job.payload as TaskOptions;
      return await collectGarbage({
        db,
        store,
        config,
        graceMs,
        maxPercent: config.gcMaxPercent,
        signal,
      });
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
