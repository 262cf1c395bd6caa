import { Logger, makeWorkerUtils, run, runMigrations, type RunnerOptions } from "graphile-worker";
import { type Contender, countdown, type System } from "./system.ts";

const TASK = "noop";
const logger = new Logger(() => () => {});

/** graphile-worker with its defaults, or with a local queue and batched completion. */
export function graphile({ isBatched }: { readonly isBatched: boolean }): Contender {
  return {
    name: `graphile-worker 0.18 ${isBatched ? "(batched)" : "(defaults)"}`,
    open: (url) => open(url, isBatched),
  };
}

async function open(connectionString: string, isBatched: boolean): Promise<System> {
  await runMigrations({ connectionString, logger });
  const utils = await makeWorkerUtils({ connectionString, logger });
  const start = (concurrency: number, onJob: () => void | Promise<void>) => {
    const options: RunnerOptions = {
      connectionString,
      logger,
      noHandleSignals: true,
      concurrency,
      // Room for a statement of every job, as ours has.
      maxPoolSize: concurrency + 2,
      taskList: { [TASK]: () => onJob() },
      preset: isBatched
        ? { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } }
        : undefined,
    };
    return run(options);
  };
  return {
    async fill(count) {
      const specs = Array.from({ length: count }, () => ({ identifier: TASK, payload: {} }));
      await utils.addJobs(specs);
    },
    async burnDown(count, concurrency) {
      const startedAt = performance.now();
      const { done } = countdown(1), counter = countdown(count);
      const runner = await start(concurrency, () => counter.hit());
      await Promise.race([counter.done, done]);
      // Stopping waits until the last jobs are marked as done.
      await runner.stop();
      return performance.now() - startedAt;
    },
    async startWorker(onJob) {
      const runner = await start(1, onJob);
      return { [Symbol.asyncDispose]: () => runner.stop() };
    },
    async add() {
      await utils.addJob(TASK, {});
    },
    [Symbol.asyncDispose]: async () => await utils.release(),
  };
}
