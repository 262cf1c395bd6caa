import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { InvalidMpackError, StoreError } from "../../../src/errors.ts";
import type { JobHandler } from "../../../src/jobs/attempt/handler.ts";
import {
  cancelJob,
  completeJob,
  enqueue,
  getJob,
  type Job,
  listJobs,
} from "../../../src/jobs/queue/mod.ts";
import { Worker, type WorkerOptions } from "../../../src/jobs/worker/worker.ts";
import type { WorkerEvent } from "../../../src/jobs/worker/worker_event.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { expireLease, REPO_ID, takeOver } from "../../support/process/leases.ts";

const TYPE = "mpack.index";

async function open(...repoIds: string[]) {
  const test = await openTestDatabase({ maxConnections: 8 });
  await addRepos(test.db, REPO_ID, ...repoIds);
  return test;
}

async function add(db: Database, key: string, repoId = REPO_ID): Promise<string> {
  return (await enqueue(db, { repoId, jobType: TYPE, payload: { mpack_key: key } })).row.jobId;
}

/** A worker with one handler; `started` has each job it starts. */
function workerOf(
  db: Database,
  handler: JobHandler<object>,
  options: Partial<WorkerOptions> = {},
) {
  const stop = new AbortController(), force = new AbortController();
  const started: Job[] = [], events: WorkerEvent[] = [];
  const worker = new Worker({
    db,
    handlers: {
      [TYPE]: (job, scope) => {
        started.push(job);
        return handler(job, scope);
      },
    },
    worker: "w",
    leaseMs: 60_000,
    concurrency: 4,
    perRepo: 100,
    pollMs: 60_000,
    drainMs: 60_000,
    signal: stop.signal,
    force: force.signal,
    observe: (event) => events.push(event),
    ...options,
  });
  return { worker, stop, force, started, events };
}

const finish = (db: Database): JobHandler<object> => async (job) => {
  await completeJob(db, job, { did: job.jobId });
  return { did: job.jobId };
};

/** A handler that waits until it is released, or its signal fires. */
function gate(db: Database) {
  const opened = Promise.withResolvers<void>(), entered = Promise.withResolvers<void>();
  const handler: JobHandler<object> = async (job, { signal }) => {
    entered.resolve();
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason));
    await Promise.race([opened.promise, aborted.promise]);
    return await finish(db)(job, { signal, renewed: () => {}, finishing: () => {} });
  };
  return { handler, entered: entered.promise, open: () => opened.resolve() };
}

Deno.test("Worker runs until no job is due, and does not claim later and unknown ones", async () => {
  await using test = await open();
  const { db } = test;
  for (let i = 0; i < 20; i++) await add(db, `k${i}`);
  const later = await enqueue(db, {
    repoId: REPO_ID,
    jobType: TYPE,
    payload: { mpack_key: "later" },
    delayMs: 3_600_000,
  });
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    values ('unknown', 'any', 'send.mail', '{}', 'pending', now(), 0)`;
  const { worker, started, events } = workerOf(db, finish(db), { untilEmpty: true });
  await worker.run();
  assert.equal(new Set(started.map(({ jobId }) => jobId)).size, 20);
  assert.equal(started.length, 20);
  assert.equal(events.filter(({ type }) => type === "ended").length, 20);
  const open_ = (await listJobs(db, { status: "pending" })).map(({ jobId }) => jobId);
  assert.deepEqual(open_.sort(), [later.row.jobId, "unknown"].sort());
});

Deno.test("Worker picks up a row of plain SQL, runs and finishes it", async () => {
  await using test = await open();
  const { db } = test;
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    values ('theirs', ${REPO_ID}, ${TYPE}, '{"mpack_key":"k"}', 'pending', now(), 0)`;
  await workerOf(db, finish(db), { untilEmpty: true }).worker.run();
  const row = await getJob(db, "theirs");
  assert.deepEqual([row!.status, row!.result], ["done", { did: "theirs" }]);
});

Deno.test("Worker runs at most `concurrency` jobs at once and `perRepo` of one repo", async () => {
  await using test = await open("repo-2");
  const { db } = test;
  for (let i = 0; i < 8; i++) await add(db, `k${i}`);
  for (let i = 0; i < 8; i++) await add(db, `k${i}`, "repo-2");
  let now = 0, most = 0;
  const perRepo = new Map<string, number>(), mostOf = new Map<string, number>();
  // The first jobs wait until others run, too.
  const full = Promise.withResolvers<void>(), timer = setTimeout(full.resolve, 10_000);
  const handler: JobHandler<object> = async (job, scope) => {
    const count = (perRepo.get(job.repoId) ?? 0) + 1;
    perRepo.set(job.repoId, count);
    mostOf.set(job.repoId, Math.max(count, mostOf.get(job.repoId) ?? 0));
    most = Math.max(most, ++now);
    if (now === 3) full.resolve();
    await full.promise;
    await db.sql`select pg_sleep(0.01)`;
    now--;
    perRepo.set(job.repoId, perRepo.get(job.repoId)! - 1);
    return await finish(db)(job, scope);
  };
  await workerOf(db, handler, { untilEmpty: true, concurrency: 3, perRepo: 2 }).worker.run();
  clearTimeout(timer);
  assert.equal(most, 3);
  assert.equal(Math.max(...mostOf.values()), 2);
});

Deno.test("Worker.wake() makes it claim long before its poll", async () => {
  await using test = await open();
  const { db } = test;
  const { worker, stop, started } = workerOf(db, (job, scope) => {
    stop.abort();
    return finish(db)(job, scope);
  }, { pollMs: 3_600_000 });
  const over = worker.run();
  const id = await add(db, "k");
  worker.wake();
  await over;
  assert.deepEqual(started.map(({ jobId }) => jobId), [id]);
});

Deno.test("Worker claims nothing after its signal, and lets the running job end", async () => {
  await using test = await open();
  const { db } = test;
  const first = await add(db, "k1");
  const { handler, entered, open: letGo } = gate(db);
  const { worker, stop, started } = workerOf(db, handler, { concurrency: 1 });
  const over = worker.run();
  await entered;
  const second = await add(db, "k2");
  stop.abort();
  worker.wake();
  letGo();
  await over;
  assert.equal(started.length, 1);
  assert.equal((await getJob(db, first))!.status, "done");
  assert.equal((await getJob(db, second))!.status, "pending");
});

Deno.test("Worker releases jobs when the drain is over, or at a second signal", async (t) => {
  for (const way of ["drain", "second signal"]) {
    await t.step(way, async () => {
      await using test = await open();
      const { db } = test;
      const id = await add(db, "k1");
      const { handler, entered } = gate(db);
      const { worker, stop, force } = workerOf(db, handler, {
        drainMs: way === "drain" ? 0 : 3_600_000,
      });
      const over = worker.run();
      await entered;
      stop.abort();
      if (way !== "drain") force.abort();
      await over;
      const row = await getJob(db, id);
      assert.deepEqual([row!.status, row!.attempt, row!.fence], ["pending", 0, 1]);
    });
  }
});

Deno.test("Worker fails a job at a permanent error, and retries others after a delay", async () => {
  await using test = await open();
  const { db } = test;
  const bad = await add(db, "bad"), missing = await add(db, "missing");
  const { worker } = workerOf(db, (job) => {
    throw job.jobId === bad
      ? new InvalidMpackError("truncated", "Cannot decode", { offsetBytes: 3 })
      : new StoreError("blob-missing", "Cannot read: no such blob");
  }, { untilEmpty: true, backoff: () => ({ baseDelayMs: 3.6e9, maxDelayMs: 3.6e9 }) });
  await worker.run();
  const failed = (await getJob(db, bad))!, waiting = (await getJob(db, missing))!;
  assert.deepEqual([failed.status, failed.attempt], ["failed", 1]);
  assert.deepEqual([failed.lastError!.code, failed.lastError!.offset_bytes], ["truncated", 3]);
  assert.deepEqual([waiting.status, waiting.lastError!.code], ["pending", "blob-missing"]);
  assert(waiting.runAt! > new Date());
});

Deno.test("Worker stops a job that is cancelled while it runs", async () => {
  await using test = await open();
  const { db } = test;
  const id = await add(db, "k1");
  const { handler, entered } = gate(db);
  const { worker } = workerOf(db, handler, { untilEmpty: true, leaseMs: 1_000 });
  const over = worker.run();
  await entered;
  assert.equal(await cancelJob(db, id), "running");
  await over;
  assert.equal((await getJob(db, id))!.status, "cancelled");
});

Deno.test("Worker that stops ends a job that was cancelled, and says so", async () => {
  await using test = await open();
  const { db } = test;
  const id = await add(db, "k1");
  const { handler, entered } = gate(db);
  const { worker, stop, events } = workerOf(db, handler, { drainMs: 0 });
  const over = worker.run();
  await entered;
  assert.equal(await cancelJob(db, id), "running");
  // Long before a heartbeat notices it.
  stop.abort();
  await over;
  assert.equal((await getJob(db, id))!.status, "cancelled");
  const ends = events.flatMap((event) => event.type === "ended" ? [event.outcome.status] : []);
  assert.deepEqual(ends, ["cancelled"]);
});

Deno.test("Worker records nothing for a job that another worker has claimed", async () => {
  await using test = await open();
  const { db } = test;
  const id = await add(db, "k1");
  const { handler, entered } = gate(db);
  const { worker, events } = workerOf(db, handler, { untilEmpty: true, leaseMs: 1_000 });
  const over = worker.run();
  await entered;
  const successor = await takeOver(db, id);
  const before = await getJob(db, id);
  await over;
  assert.deepEqual(await getJob(db, id), before);
  const ended = events.find(({ type }) => type === "ended");
  assert(ended?.type === "ended" && ended.outcome.status === "lost");
  await completeJob(db, successor, {});
});

Deno.test("Worker claims a job whose worker died", async () => {
  await using test = await open();
  const { db } = test;
  const { claimed } = await enqueue(db, {
    repoId: REPO_ID,
    jobType: TYPE,
    payload: { mpack_key: "k" },
    claimAs: { worker: "dead", leaseMs: 60_000 },
  });
  await expireLease(db, claimed!.jobId);
  const { worker, started } = workerOf(db, finish(db), { untilEmpty: true });
  await worker.run();
  assert.deepEqual([started[0].isRescue, started[0].attempt], [true, 2]);
  assert.equal((await getJob(db, claimed!.jobId))!.status, "done");
});

Deno.test("Worker continues after claims have failed for a while", async () => {
  await using test = await open();
  const { db } = test;
  await add(db, "k");
  await db.sql`alter table musehub_background_jobs rename to away`;
  const { worker, started, events } = workerOf(db, finish(db), {
    untilEmpty: true,
    observe: (event) => {
      events.push(event);
      if (event.type === "queue-error") {
        db.sql`alter table if exists away rename to musehub_background_jobs`.catch(() => {});
      }
    },
  });
  await worker.run();
  assert.equal(started.length, 1);
  assert.equal(events[0].type, "queue-error");
});

Deno.test("Worker prefetches short jobs, and releases them when it stops", async () => {
  await using test = await open();
  const { db } = test;
  for (let i = 0; i < 60; i++) await add(db, `k${i}`);
  const { worker, stop, events, started } = workerOf(db, (job, scope) => {
    if (started.length === 10) stop.abort();
    return finish(db)(job, scope);
  }, { concurrency: 2 });
  await worker.run();
  const claimed = events.flatMap((event) => event.type === "claimed" ? event.jobs : []);
  assert(claimed.length > started.length, `${claimed.length} claimed, ${started.length} begun`);
  const rows = await listJobs(db, { limit: 100 });
  assert.equal(rows.filter(({ status }) => status === "done").length, started.length);
  const waiting = rows.filter(({ status }) => status === "pending");
  assert.equal(waiting.length, 60 - started.length);
  assert(waiting.every(({ attempt }) => attempt === 0));
});
