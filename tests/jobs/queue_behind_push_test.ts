/**
 * Jobs that are asked for while a push of the same pack is under way.
 *
 * @module
 */

import assert from "node:assert/strict";
import { CancelledError, StoreError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { enqueue } from "../../src/jobs/index/library.ts";
import { pushMpack } from "../../src/jobs/index/push_mpack.ts";
import { claimJobs, getJob } from "../../src/jobs/queue/mod.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { until } from "../support/until.ts";

const BYTES = buildMpack({ objects: [object({ content: new TextEncoder().encode("pushed") })] });
const KEY = mpackKey(BYTES);

/** Begins a push, which waits for its last byte until `end()` is called, or for an error. */
async function beginPush({ db, store, repo, config }: TestFixture) {
  const last = Promise.withResolvers<void>();
  async function* body() {
    yield BYTES.subarray(0, -1);
    await last.promise;
    yield BYTES.subarray(-1);
  }
  const pushed = pushMpack({
    db,
    store,
    config: config(),
    repoId: repo.repoId,
    mpackKey: KEY,
    body: body(),
    sizeBytes: BYTES.length,
    worker: "push",
  });
  pushed.catch(() => {});
  await until("the push runs", async () => {
    const [{ jobs }] = await db.sql`select count(*)::int as jobs from musehub_background_jobs
      where status = 'running'`;
    return jobs === 1;
  });
  return {
    pushed,
    end: () => last.resolve(),
    breakOff: () => last.reject(new Error("the client is gone")),
  };
}

Deno.test("enqueue() hands out no job of a push under way, which fails if that breaks off", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const job = { db, repoId, mpackKey: KEY };
  const claim = () =>
    claimJobs(db, {
      worker: "w",
      jobTypes: ["mpack.index"],
      leaseMs: 60_000,
      limit: 10,
      perRepo: 10,
    });
  const push = await beginPush(fixture);
  const { jobId, existing, status } = await enqueue(job);
  assert.deepEqual([existing, status], [false, "pending"]);
  await t.step("a second call finds that job", async () => {
    assert.deepEqual(await enqueue(job), { jobId, status: "pending", existing: true });
  });
  await t.step("it waits for the push, and is there when that has broken off", async () => {
    assert.deepEqual(await claim(), []);
    push.breakOff();
    await assert.rejects(push.pushed, /the client is gone/);
    const claimed = await claim();
    assert.deepEqual(claimed.map((each) => each.jobId), [jobId]);
  });
  await t.step("a running job that may be tried again is handed out", async () => {
    assert.deepEqual(await enqueue(job), { jobId, status: "running", existing: true });
  });
});

Deno.test("indexMpack() waits for a push of the same pack, whichever way that ends", async (t) => {
  await using fixture = await createFixture();
  const { db } = fixture;
  const index = async () => {
    const indexed = indexMpack({ ...fixture.options(KEY), worker: "index" });
    indexed.catch(() => {});
    await until("its job waits", async () => {
      const [{ jobs }] = await db.sql`select count(*)::int as jobs from musehub_background_jobs
        where status = 'pending'`;
      return jobs === 1;
    });
    return { indexed };
  };
  await t.step("it breaks off: the pack is missing, and its job waits for it", async () => {
    const push = await beginPush(fixture), { indexed } = await index();
    push.breakOff();
    await assert.rejects(indexed, (error) => {
      assert.ok(!(error instanceof CancelledError), "nobody has cancelled it");
      assert.ok(error instanceof StoreError);
      return error.code === "blob-missing";
    });
    await db.sql`delete from musehub_background_jobs`;
  });
  await t.step("it succeeds: there is nothing left to do", async () => {
    const push = await beginPush(fixture), { indexed } = await index();
    push.end();
    assert.equal((await push.pushed).objects_written, 1);
    assert.equal((await indexed).objects_written, 0);
    const rows = await db.sql`select job_id from musehub_background_jobs`;
    const jobs = await Promise.all(rows.map(({ job_id }) => getJob(db, job_id)));
    assert.deepEqual(jobs.map((row) => row?.status), ["done", "done"]);
  });
  await t.step("its process was killed: the lease is not waited for", async () => {
    await db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
      attempt, max_attempts, fence, lease_expires_at, locked_by)
      values ('killed', ${fixture.repo.repoId}, 'mpack.index',
        ${`{"mpack_key": "${KEY}"}`}::text::json, 'running', 1, 1, 1, now() + interval '1 hour',
        'dead')`;
    const isGone = (worker: string) => worker === "dead";
    const result = await indexMpack({ ...fixture.options(KEY), worker: "index", isGone });
    assert.equal(result.objects_written, 0);
  });
});

Deno.test("enqueue() hands out a job in the last of several attempts, which goes on from a checkpoint", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture, job = { db, repoId, mpackKey: KEY };
  const { jobId } = await enqueue(job);
  await db.sql`update musehub_background_jobs set status = 'running', attempt = 10,
    max_attempts = 10, locked_by = 'w', lease_expires_at = now() + interval '1 hour'`;
  assert.deepEqual(await enqueue(job), { jobId, status: "running", existing: true });
});
