import { connectDatabase } from "../../src/db/client/connect.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { Listener } from "../../src/jobs/worker/listener.ts";
import { completeJob } from "../../src/jobs/queue/complete_job.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { Worker, type WorkerOptions } from "../../src/jobs/worker/worker.ts";
import type { Contender, System } from "./system.ts";

const TYPE = "noop", REPO_ID = "repo-1";

/** mpackd's own queue: fenced, leased, each job completed by a statement of its own. */
export const mpackd: Contender = { name: "mpackd (fenced)", open };

async function open(url: string): Promise<System> {
  const db = connectDatabase(url, { maxConnections: 26, isForWorker: true });
  await migrate(db);
  // Two processes may open it.
  await db.sql`insert into musehub_repos (repo_id, owner, slug) values (${REPO_ID}, 'o', ${REPO_ID})
    on conflict do nothing`;
  let jobs = 0;
  const workerOf = (onJob: () => void | Promise<void>, options: Partial<WorkerOptions>) =>
    new Worker({
      db,
      handlers: {
        [TYPE]: async (job) => {
          await onJob();
          await completeJob(db, job, {});
          return {};
        },
      },
      worker: "bench",
      leaseMs: 30_000,
      concurrency: 4,
      perRepo: 1_000_000,
      pollMs: 5_000,
      drainMs: 10_000,
      signal: new AbortController().signal,
      ...options,
    });
  return {
    async fill(count) {
      await db.sql`insert into musehub_background_jobs
        (job_id, repo_id, job_type, payload, status, created_at, attempt)
        select 'job-' || i, ${REPO_ID}, ${TYPE}, json_build_object('mpack_key', i::text),
          'pending', now(), 0
        from generate_series(1, ${count}::int) i`;
    },
    async burnDown(_count, concurrency) {
      const startedAt = performance.now();
      await workerOf(() => {}, { concurrency, untilEmpty: true }).run();
      return performance.now() - startedAt;
    },
    async startWorker(onJob) {
      const stop = new AbortController();
      const worker = workerOf(onJob, { signal: stop.signal });
      const listening = Promise.withResolvers<void>();
      const listener = new Listener({
        connect: (options) => connectDatabase(url, options),
        onWake: () => worker.wake(),
        onChange: () => listening.resolve(),
      });
      const over = worker.run();
      await listening.promise;
      return {
        async [Symbol.asyncDispose]() {
          stop.abort();
          await over;
          await listener[Symbol.asyncDispose]();
        },
      };
    },
    async add() {
      const payload = { mpack_key: `latency-${jobs++}` };
      await enqueue(db, { repoId: REPO_ID, jobType: TYPE, payload });
    },
    [Symbol.asyncDispose]: () => db.close(),
  };
}
