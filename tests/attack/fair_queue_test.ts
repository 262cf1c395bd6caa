import assert from "node:assert/strict";
import type { Database } from "../../src/db/client/database.ts";
import { createRepo } from "../../src/db/repos.ts";
import { claimJobs, type ClaimOptions, completeJob, enqueue } from "../../src/jobs/queue/mod.ts";
import { Worker } from "../../src/jobs/worker/worker.ts";
import { openTestDatabase } from "../support/postgres/database.ts";

const TYPE = "mpack.index", FLOOD_JOBS = 10_000;

/** Ten thousand jobs in a hundred repos of one owner; then one job of each other owner. */
async function openFlooded(...owners: string[]) {
  const test = await openTestDatabase(), { db } = test;
  await db.sql`insert into musehub_repos (repo_id, owner, slug)
    select 'flood-' || i, 'flood', 'repo-' || i from generate_series(0, 99) i`;
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    select 'flood-' || i, 'flood-' || i % 100, ${TYPE}, json_build_object('mpack_key', i::text),
      'pending', now() - interval '1 hour' + i * interval '1 ms', 0
    from generate_series(1, ${FLOOD_JOBS}::int) i`;
  const jobIds: string[] = [];
  for (const owner of owners) {
    const { repo } = await createRepo(db, { owner, slug: "repo" });
    const { row } = await enqueue(db, {
      repoId: repo.repoId,
      jobType: TYPE,
      payload: { mpack_key: owner },
    });
    jobIds.push(row.jobId);
  }
  return { ...test, db, jobIds, [Symbol.asyncDispose]: () => test[Symbol.asyncDispose]() };
}

function claim(db: Database, options: Partial<ClaimOptions> = {}) {
  const claiming = { worker: "w", jobTypes: [TYPE], leaseMs: 60_000, limit: 4, perRepo: 2 };
  return claimJobs(db, { ...claiming, isFair: true, ...options });
}

Deno.test("a worker does not let ten thousand jobs of one owner delay another owner's one", async () => {
  await using test = await openFlooded("lone");
  const { db, jobIds: [lone] } = test;
  const stop = new AbortController();
  const started: string[] = [];
  const worker = new Worker({
    db,
    handlers: {
      [TYPE]: async (job) => {
        started.push(job.jobId);
        if (job.jobId === lone || started.length === 500) stop.abort();
        await completeJob(db, job, {});
        return {};
      },
    },
    worker: "w",
    leaseMs: 60_000,
    concurrency: 2,
    perRepo: 2,
    pollMs: 50,
    drainMs: 10_000,
    signal: stop.signal,
    force: new AbortController().signal,
  });
  await worker.run();
  assert.ok(started.includes(lone), `${started.length} others started first`);
});

Deno.test("a fair claim goes by the owner's running jobs, below the priority", async (t) => {
  await using test = await openFlooded("ada", "bob");
  const { db, jobIds: [ada, bob] } = test;
  const ids = async (options?: Partial<ClaimOptions>) =>
    (await claim(db, options)).map(({ jobId }) => jobId);
  await t.step("one job of each owner comes first", async () => {
    const claimed = await ids({ limit: 3 });
    assert.equal(claimed.length, 3);
    assert.ok(claimed.includes(ada) && claimed.includes(bob), claimed.join());
  });
  const add = async (repoId: string, priority = 0) => {
    const payload = { mpack_key: `more of ${repoId}` };
    return (await enqueue(db, { repoId, jobType: TYPE, payload, priority })).row.jobId;
  };
  await t.step("owners with running jobs wait for those without", async () => {
    await createRepo(db, { owner: "cay", slug: "repo" });
    const [{ repo_id: repoId }] = await db.sql`
      select repo_id from musehub_repos where owner = 'cay'`;
    const cay = await add(repoId);
    assert.deepEqual(await ids({ limit: 1 }), [cay]);
  });
  await t.step("a priority goes first, whoever owns it", async () => {
    const urgent = await add("flood-7", 1);
    assert.deepEqual(await ids({ limit: 1 }), [urgent]);
  });
  await t.step("a job whose repo has no row is claimed", async () => {
    await db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at)
      values ('foreign', 'no such repo', ${TYPE}, '{}', 'pending', now())`;
    assert.deepEqual(await ids({ limit: 1 }), ["foreign"]);
  });
});
