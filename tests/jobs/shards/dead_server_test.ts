import assert from "node:assert/strict";
import { completeJob } from "../../../src/jobs/queue/mod.ts";
import { Slots } from "../../../src/jobs/worker/slots.ts";
import { Worker, type WorkerOptions } from "../../../src/jobs/worker/worker.ts";
import type { WorkerEvent } from "../../../src/jobs/worker/worker_event.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { faultyDatabase } from "../../support/postgres/faults.ts";
import { insertForeign } from "../../support/shards/catalog_with.ts";
import { until } from "../../support/until.ts";

const JOBS = 30;

Deno.test("a shard whose server does not answer holds no slot, and its worker tries on", async () => {
  await using dead = await openTestDatabase();
  await using alive = await openTestDatabase();
  await addRepos(alive.db, "repo-1");
  for (let i = 0; i < JOBS; i++) await insertForeign(alive.db, { jobId: `${i}`, repoId: "repo-1" });
  const slots = new Slots(1), stop = new AbortController();
  // It reads what is paused, and then no statement is answered.
  const faulty = faultyDatabase(dead.db, { at: 2, fault: "hung", times: 3 });
  // The first of them waits for longer than all jobs of the others take.
  let statementTimeoutMs = 4_000;
  const errors: Error[] = [];
  let ended = 0;
  const over = Promise.withResolvers<void>(), tried = Promise.withResolvers<void>();
  const back = Promise.withResolvers<void>();
  const workerOf = (options: Pick<WorkerOptions, "db" | "observe">) =>
    new Worker({
      handlers: {
        async "mpack.index"(job, { finishing }) {
          finishing();
          await completeJob(options.db, job, {});
          return {};
        },
      },
      worker: "w",
      leaseMs: 60_000,
      concurrency: 1,
      slots,
      perRepo: 1,
      pollMs: 3_600_000,
      drainMs: 0,
      signal: stop.signal,
      ...options,
    });
  const worker = workerOf({
    db: {
      ...faulty.db,
      get statementTimeoutMs() {
        return statementTimeoutMs;
      },
    },
    observe(event: WorkerEvent) {
      if (event.type === "queue-works") back.resolve();
      if (event.type !== "queue-error") return;
      errors.push(event.error);
      if (errors.length === 3) tried.resolve();
    },
  });
  const running = [worker.run()];
  await until("it claims", () => faulty.seen.includes("claim jobs"), { everyMs: 1 });
  assert.equal(slots.free, 0, "the claim that gets no answer has reserved the only place");
  running.push(
    workerOf({
      db: alive.db,
      observe: (event) => event.type === "ended" && ++ended === JOBS && over.resolve(),
    }).run(),
  );
  statementTimeoutMs = 200;
  await over.promise;
  assert.deepEqual(
    errors,
    [],
    "all the others' jobs have run, and the dead server's claim still waits",
  );
  await tried.promise;
  // From then on it asks without a place; it claims again once the server has answered.
  assert.equal(faulty.seen.filter((action) => action === "claim jobs").length, 1);
  assert.equal(slots.free, 1);
  await back.promise;
  assert.equal(faulty.seen.filter((action) => action === "claim jobs").length, 2);
  stop.abort();
  await Promise.all(running);
  assert.equal(slots.free, 1);
});
