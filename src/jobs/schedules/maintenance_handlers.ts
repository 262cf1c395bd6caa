/**
 * The handlers of the jobs that schedules make.
 *
 * @module
 */

import { limitsOf } from "../../config/config.ts";
import { audit } from "../../maintenance/audit/audit.ts";
import { collectGarbage } from "../../maintenance/gc/gc.ts";
import type { AttemptScope, JobHandler } from "../attempt/handler.ts";
import type { IndexContext } from "../index/context.ts";
import { completeJob } from "../queue/complete_job.ts";
import type { Job } from "../queue/job.ts";
import { purgeJobs } from "../queue/purge_jobs.ts";
import { type TaskName, type TaskOptions, TASKS } from "./task.ts";

const PURGE_AFTER_MS = 30 * 24 * 60 * 60_000;
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
