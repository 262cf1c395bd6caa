import assert from "node:assert/strict";
import { publish } from "../../../src/db/publish/publish.ts";
import { stageBatch, stagedRows } from "../../../src/db/publish/stage.ts";
import { LeaseLostError } from "../../../src/errors.ts";
import {
  cancelJob,
  claimJobs,
  failJob,
  finishCancelled,
  getJob,
  type Job,
  releaseJob,
} from "../../../src/jobs/queue/mod.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { openGate } from "../../support/postgres/gate.ts";
import {
  columns,
  expireLease,
  pack,
  REPO_ID,
  startJob,
  takeOver,
} from "../../support/process/leases.ts";

const ROWS = columns(["a", 1], ["b", 2]);
const BATCH = { leaseMs: 60_000, batch: 0, progress: { rows: 2 }, repoId: REPO_ID, rows: ROWS };

Deno.test("stageBatch() writes rows, progress, checkpoint and lease together", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const job = await startJob(db);
  const before = await getJob(db, job.jobId);
  assert.deepEqual(
    await stageBatch(db, job, { ...BATCH, leaseMs: 120_000, checkpoint: { at: 1 } }),
    { cancelRequested: false },
  );
  const after = await getJob(db, job.jobId);
  assert.deepEqual(after!.progress, { rows: 2 });
  assert(after!.leaseExpiresAt! > before!.leaseExpiresAt!);
  assert.deepEqual(await stagedRows(db, job.jobId, 1), { batches: 1, rows: 2, recordBatches: 0 });
  assert.deepEqual(await stagedRows(db, job.jobId, 0), { batches: 0, rows: 0, recordBatches: 0 });

  await stageBatch(db, job, { ...BATCH, batch: 1 });
  assert.deepEqual((await takeOver(db, job.jobId)).checkpoint, { at: 1 });
});

Deno.test("stageBatch() notes which ids are known: to anybody, and to the repo", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID, "repo-2");
  await publish(db, await startJob(db), pack({ inline: columns(["b", 2]) }));
  await publish(
    db,
    await startJob(db, "repo-2"),
    pack({ repoId: "repo-2", inline: columns(["c", 2]) }),
  );
  const rows = columns(["a", 1], ["b", 2], ["c", 3]);
  await stageBatch(db, await startJob(db), { ...BATCH, rows });
  const noted = await db
    .sql`select object_ids, known_objects, known_refs from mpack_staged_objects`;
  assert.deepEqual([...noted], [{
    object_ids: "{a,b,c}",
    known_objects: "{f,t,t}",
    known_refs: "{f,t,f}",
  }]);
});

Deno.test("stageBatch() of a worker that lost its lease writes nothing", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const job = await startJob(db);
  const successor = await takeOver(db, job.jobId);
  assert.equal(successor.fence, job.fence + 1);
  const before = await getJob(db, job.jobId);
  await assert.rejects(stageBatch(db, job, BATCH), LeaseLostError);
  assert.deepEqual(await getJob(db, job.jobId), before);
  assert.deepEqual(await stagedRows(db, job.jobId, 10), { batches: 0, rows: 0, recordBatches: 0 });
});

Deno.test("stageBatch() that waits for a claim under way loses", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const job = await startJob(db);
  await using gate = await openGate(test.url);
  await gate.close();
  // One statement that holds the row until it is let go, as a slow claim would.
  const claiming = db.sql`
    with taken as (
      update musehub_background_jobs set fence = fence + 1 where job_id = ${job.jobId} returning 1
    ) select pg_advisory_xact_lock(1) from taken`.execute();
  await gate.waiting(1);
  const staging = assert.rejects(stageBatch(db, job, BATCH), LeaseLostError);
  await gate.waiting(2);
  await gate.open();
  await claiming;
  await staging;
  assert.deepEqual(await stagedRows(db, job.jobId, 10), { batches: 0, rows: 0, recordBatches: 0 });
});

Deno.test("stageBatch() first of an attempt sweeps what it does not continue", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const job = await startJob(db);
  for (const batch of [0, 1, 2, 3]) await stageBatch(db, job, { ...BATCH, batch });
  await t.step("a batch staged again replaces itself", async () => {
    await stageBatch(db, job, { ...BATCH, batch: 3, rows: columns(["c", 1]) });
    assert.deepEqual(await stagedRows(db, job.jobId, 9), { batches: 4, rows: 7, recordBatches: 0 });
  });
  await t.step("resumed after two batches", async () => {
    await stageBatch(db, job, { ...BATCH, batch: 2, isFirst: true });
    assert.deepEqual(await stagedRows(db, job.jobId, 9), { batches: 3, rows: 6, recordBatches: 0 });
  });
  await t.step("started over", async () => {
    await stageBatch(db, job, { ...BATCH, isFirst: true });
    assert.deepEqual(await stagedRows(db, job.jobId, 9), { batches: 1, rows: 2, recordBatches: 0 });
  });
});

Deno.test("stageBatch() brings back that the job is to be cancelled", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const job = await startJob(db);
  assert.equal(await cancelJob(db, job.jobId), "running");
  assert.equal((await stageBatch(db, job, BATCH)).cancelRequested, true);
});

Deno.test("failJob() keeps staged rows for the next attempt and drops them with the last", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const job = await startJob(db);
  await stageBatch(db, job, { ...BATCH, checkpoint: { at: 1 } });
  const error = { code: "store-unavailable", message: "gone", retryable: true };
  const failure = { error, baseDelayMs: 0, maxDelayMs: 0 };
  assert.equal((await failJob(db, job, { ...failure, retry: true })).status, "pending");
  assert.deepEqual(await stagedRows(db, job.jobId, 9), { batches: 1, rows: 2, recordBatches: 0 });
  const successor = await takeOver(db, job.jobId);
  assert.deepEqual(successor.checkpoint, { at: 1 });
  assert.equal((await failJob(db, successor, { ...failure, retry: false })).status, "failed");
  assert.deepEqual(await stagedRows(db, job.jobId, 9), { batches: 0, rows: 0, recordBatches: 0 });
});

Deno.test("what ends a job takes the rows of a batch that was under way along", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  // A batch whose client has given it up, and whose statement goes on at the server until let go.
  await using gate = await openGate(test.url);
  await db.sql.unsafe(`
    create function linger() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock(1); return new; end $$`);
  await db.sql`create trigger linger before insert on mpack_staged_objects
    for each row execute function linger()`;
  const error = { code: "truncated", message: "cut", retryable: false };
  const failure = { error, retry: false, baseDelayMs: 0, maxDelayMs: 0 };
  const ends = {
    failed: [(job: Job) => failJob(db, job, failure)],
    cancelled: [(job: Job) => finishCancelled(db, job)],
    // In either order: a statement that waits for a row twice may be overtaken.
    "released and cancelled": [
      (job: Job) => releaseJob(db, job),
      (job: Job) => cancelJob(db, job.jobId),
    ],
    "cancelled and released": [
      (job: Job) => cancelJob(db, job.jobId),
      (job: Job) => releaseJob(db, job),
    ],
  };
  for (const [name, statements] of Object.entries(ends)) {
    await t.step(name, async () => {
      const job = await startJob(db);
      await gate.close();
      const sent: Promise<unknown>[] = [];
      for (const send of [() => stageBatch(db, job, BATCH), ...statements]) {
        sent.push(send(job));
        await gate.waiting(sent.length);
      }
      await gate.open();
      await Promise.all(sent);
      assert.match((await getJob(db, job.jobId))!.status, /^(failed|cancelled)$/);
      assert.deepEqual(await stagedRows(db, job.jobId, 10), {
        batches: 0,
        rows: 0,
        recordBatches: 0,
      });
    });
  }
  await t.step("its attempts spent, by a claim", async () => {
    const job = await startJob(db);
    await stageBatch(db, job, BATCH);
    await db.sql`update musehub_background_jobs set max_attempts = 1 where job_id = ${job.jobId}`;
    await expireLease(db, job.jobId);
    const options = {
      worker: "w",
      jobTypes: ["mpack.index"],
      leaseMs: 1_000,
      limit: 9,
      perRepo: 9,
    };
    assert.deepEqual(await claimJobs(db, options), []);
    assert.equal((await getJob(db, job.jobId))!.status, "failed");
    assert.deepEqual(await stagedRows(db, job.jobId, 10), {
      batches: 0,
      rows: 0,
      recordBatches: 0,
    });
  });
});
