/**
 * Jobs that other programs put into the catalog's queue for repos that live in a shard.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import {
  cancelJob,
  claimJobs,
  completeJob,
  failJob,
  getJob,
  type Job,
  retryJobs,
} from "../../../src/jobs/queue/mod.ts";
import { Forwarder } from "../../../src/jobs/shards/forwarder.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";
import { DATABASE_FAULTS, type FaultPlan, faultyDatabase } from "../../support/postgres/faults.ts";
import { addRepoIn, addShard, insertForeign } from "../../support/shards/catalog_with.ts";

const PAYLOAD = String.raw`{"mpack_key": "k",  "note": "\u0000 a\\b", "n": 12345678901234567890}`;

async function open() {
  const catalog = await openTestDatabase();
  const shard = await addShard(catalog, "s1");
  await addRepoIn(catalog.db, shard, "repo-1");
  return {
    catalog: catalog.db,
    shard,
    async [Symbol.asyncDispose]() {
      await shard.close();
      await catalog[Symbol.asyncDispose]();
    },
  };
}

function claim(db: Database): Promise<Job[]> {
  const jobTypes = ["mpack.index"];
  return claimJobs(db, { worker: "w", jobTypes, leaseMs: 60_000, limit: 10, perRepo: 10 });
}

function forwarderOf(catalog: Database, shard: Database | undefined, errors: Error[] = []) {
  return new Forwarder({
    catalog,
    at: (name) => name === "s1" ? shard : undefined,
    onError: (error) => errors.push(error),
    signal: new AbortController().signal,
  });
}

/** Claims in the catalog and forwards, once. */
async function forward(catalog: Database, forwarder: Forwarder): Promise<void> {
  const jobs = await claim(catalog);
  assert(jobs.every(({ shard }) => shard === "s1"));
  await forwarder.forward(jobs);
}

/** Runs what is in the shard's queue. */
async function runInShard(shard: Database): Promise<void> {
  for (const job of await claim(shard)) {
    assert.equal(job.shard, undefined);
    await completeJob(shard, job, { did: job.jobId });
  }
}

async function statusIn(db: Database, jobId = "theirs"): Promise<string | undefined> {
  return (await getJob(db, jobId))?.status;
}

Deno.test("Forwarder has a shard run a job with only the base columns, and brings its result back", async () => {
  await using test = await open();
  const { catalog, shard } = test;
  await insertForeign(catalog, { jobId: "theirs", repoId: "repo-1", payload: PAYLOAD });
  const forwarder = forwarderOf(catalog, shard);
  await forward(catalog, forwarder);
  const read = (db: Database) =>
    db.sql`select repo_id, job_type, payload::text, status, created_at::text, attempt
      from musehub_background_jobs`;
  assert.deepEqual([...await read(shard)], [...await read(catalog)]);
  assert.equal((await read(catalog))[0].payload, PAYLOAD);
  assert.deepEqual(await claim(catalog), [], "it waits");
  assert.equal(await forwarder.follow(), true);
  assert.equal(await statusIn(catalog), "pending");
  await runInShard(shard);
  await forwarder.follow();
  const row = (await getJob(catalog, "theirs"))!, ran = (await getJob(shard, "theirs"))!;
  assert.deepEqual([row.status, row.result, row.attempt], ["done", { did: "theirs" }, 1]);
  assert.deepEqual([row.finishedAt, row.startedAt], [ran.finishedAt, ran.startedAt]);
  assert.equal(await forwarder.follow(), false);
});

Deno.test("Forwarder brings an error back, and passes on that the job is to be tried again", async () => {
  await using test = await open();
  const { catalog, shard } = test;
  await insertForeign(catalog, { jobId: "theirs", repoId: "repo-1" });
  const forwarder = forwarderOf(catalog, shard);
  for (let round = 1; round <= 2; round++) {
    await forward(catalog, forwarder);
    const [job] = await claim(shard);
    const error = { code: "truncated", message: `round ${round}`, retryable: false };
    await failJob(shard, job, { error, retry: false, baseDelayMs: 0, maxDelayMs: 0 });
    await forwarder.follow();
    const { status, lastError } = (await getJob(catalog, "theirs"))!;
    assert.deepEqual([status, lastError?.message], ["failed", `round ${round}`]);
    assert.deepEqual(await retryJobs(catalog, { jobId: "theirs" }), ["theirs"]);
  }
  await forward(catalog, forwarder);
  await runInShard(shard);
  await forwarder.follow();
  assert.equal(await statusIn(catalog), "done");
});

Deno.test("Forwarder passes on cancels, and says what is true of a job that was done before", async (t) => {
  await t.step("a job that waits in the shard", async () => {
    await using test = await open();
    const { catalog, shard } = test, forwarder = forwarderOf(catalog, shard);
    await insertForeign(catalog, { jobId: "theirs", repoId: "repo-1" });
    await forward(catalog, forwarder);
    assert.equal(await cancelJob(catalog, "theirs"), "cancelled");
    await forwarder.follow();
    assert.equal(await statusIn(shard), "cancelled");
    await forwarder.follow();
    assert.equal(await forwarder.follow(), false);
    // Tried again, it runs again.
    await retryJobs(catalog, { jobId: "theirs" });
    await forward(catalog, forwarder);
    await runInShard(shard);
    await forwarder.follow();
    assert.equal(await statusIn(catalog), "done");
  });
  await t.step("a running job, tried again before it has stopped", async () => {
    await using test = await open();
    const { catalog, shard } = test, forwarder = forwarderOf(catalog, shard);
    await insertForeign(catalog, { jobId: "theirs", repoId: "repo-1" });
    await forward(catalog, forwarder);
    const [running] = await claim(shard);
    await cancelJob(catalog, "theirs");
    await forwarder.follow();
    assert.equal((await getJob(shard, "theirs"))!.cancelRequested, true);
    await retryJobs(catalog, { jobId: "theirs" });
    await forward(catalog, forwarder);
    await forwarder.follow();
    assert.equal(await statusIn(catalog), "pending");
    await failJob(shard, running, {
      error: { code: "internal", message: "stopped", retryable: true },
      ...{ retry: true, baseDelayMs: 0, maxDelayMs: 0 },
    });
    assert.equal(await statusIn(shard), "cancelled");
    await forwarder.follow();
    assert.equal(await statusIn(catalog), "pending");
    await catalog.sql`update musehub_background_jobs set run_at = null`;
    await forward(catalog, forwarder);
    await runInShard(shard);
    await forwarder.follow();
    assert.equal(await statusIn(catalog), "done");
  });
  await t.step("a job that the shard had done", async () => {
    await using test = await open();
    const { catalog, shard } = test, forwarder = forwarderOf(catalog, shard);
    await insertForeign(catalog, { jobId: "theirs", repoId: "repo-1" });
    await forward(catalog, forwarder);
    await runInShard(shard);
    await cancelJob(catalog, "theirs");
    await forwarder.follow();
    assert.equal(await statusIn(catalog), "done");
  });
});

Deno.test("Forwarder postpones jobs of a shard that is away, without counting attempts", async () => {
  await using test = await open();
  const { catalog, shard } = test;
  await insertForeign(catalog, { jobId: "theirs", repoId: "repo-1" });
  const errors: Error[] = [];
  const failing = faultyDatabase(shard, { at: 1, fault: "refused", times: 100 });
  for (const at of [undefined, failing.db]) {
    await forward(catalog, forwarderOf(catalog, at, errors));
    const { status, attempt, runAt } = (await getJob(catalog, "theirs"))!;
    assert.deepEqual([status, attempt], ["pending", 0]);
    assert(runAt! > new Date());
    assert.deepEqual(await claim(catalog), []);
    await catalog.sql`update musehub_background_jobs set run_at = null`;
  }
  assert.equal(errors.length, 1);
  const [{ attempts }] = await catalog.sql`select count(*) as attempts from mpackd_attempts`;
  assert.equal(attempts, 0);
});

Deno.test("Forwarder writes a repo's row into the shard that lacks it, but not where it has moved away", async () => {
  await using test = await open();
  const { catalog, shard } = test, forwarder = forwarderOf(catalog, shard);
  await addRepoIn(catalog, shard, "repo-2", { isCopied: false });
  await insertForeign(catalog, { jobId: "theirs", repoId: "repo-2" });
  await forward(catalog, forwarder);
  assert.equal(await statusIn(shard), "pending");
  // The repo moves to the catalog, and its jobs with it.
  await shard.sql`delete from musehub_background_jobs`;
  await shard.sql`delete from musehub_repos where repo_id = 'repo-2'`;
  await catalog.sql`update musehub_repos set shard = null where repo_id = 'repo-2'`;
  await forwarder.follow();
  const [job] = await claim(catalog);
  assert.deepEqual([job.jobId, job.shard], ["theirs", undefined]);
  // A claim from before the move.
  await forwarder.forward([{ ...job, shard: "s1" }]);
  assert.equal(await statusIn(shard), undefined);
  assert.equal((await shard.sql`select from musehub_repos where repo_id = 'repo-2'`).length, 0);
  assert.equal(await statusIn(catalog), "pending");
});

Deno.test("Forwarder loses and doubles nothing, whichever statement is the last before it is killed", async () => {
  await using test = await open();
  const { catalog, shard } = test;
  let number = 0;
  for (const part of ["catalog", "shard"] as const) {
    for (const fault of DATABASE_FAULTS.filter((fault) => fault !== "hung")) {
      for (let at = 1, isReached = true; isReached; at++) {
        const jobId = `job-${number++}`;
        await insertForeign(catalog, { jobId, repoId: "repo-1" });
        // All statements from there on fail: the process is dead.
        const plan: FaultPlan<typeof fault> = { at, fault, times: 1_000 };
        const faulty = faultyDatabase(part === "catalog" ? catalog : shard, plan);
        const killed = part === "catalog"
          ? forwarderOf(faulty.db, shard)
          : forwarderOf(catalog, faulty.db);
        const jobs = await claim(catalog);
        assert.deepEqual(jobs.map((job) => job.jobId), [jobId]);
        await killed.forward(jobs);
        await runInShard(shard);
        await killed.follow().catch(() => {});
        isReached = faulty.faults > 0;

        const forwarder = forwarderOf(catalog, shard);
        for (let round = 0; round < 3 && await statusIn(catalog, jobId) !== "done"; round++) {
          await catalog.sql`update musehub_background_jobs set
            lease_expires_at = case when status = 'running' then now() end,
            run_at = case when job_id in (select job_id from mpackd_forwarded_jobs)
              then run_at end
            where job_id = ${jobId}`;
          await forward(catalog, forwarder);
          await runInShard(shard);
          await forwarder.follow();
        }
        const row = (await getJob(catalog, jobId))!, ran = (await getJob(shard, jobId))!;
        const where = `${part}, ${fault} at ${at}`;
        assert.deepEqual([row.status, row.result], ["done", { did: jobId }], where);
        assert.deepEqual([ran.status, ran.attempt, ran.fence], ["done", 1, 1], where);
        assert.equal(await forwarder.follow(), false, where);
      }
    }
  }
  assert.equal(
    number,
    16,
    "each of its six statements fails in two ways, and each round ends well",
  );
});
