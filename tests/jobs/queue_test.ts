import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { ConfigError, LeaseLostError } from "../../src/errors.ts";
import {
  cancelJob,
  claimJobs,
  type ClaimOptions,
  completeJob,
  countJobs,
  countWithoutLease,
  enqueue,
  failJob,
  finishCancelled,
  getJob,
  type Job,
  type JobRow,
  listJobs,
  purgeJobs,
  releaseJob,
  renewLease,
  retryJobs,
} from "../../src/jobs/queue/mod.ts";
import { listAttempts } from "../../src/jobs/attempt/list_attempts.ts";
import { addRepos, openTestDatabase } from "../support/postgres/database.ts";
import { expireLease, REPO_ID, startJob, takeOver } from "../support/process/leases.ts";

const TYPE = "mpack.index";
const ERROR = { code: "truncated", message: "cut", retryable: false, offset_bytes: 7 };
const FAILURE = { error: ERROR, retry: false, baseDelayMs: 0, maxDelayMs: 0 };

async function open(...repoIds: string[]) {
  const test = await openTestDatabase({ maxConnections: 8 });
  await addRepos(test.db, REPO_ID, ...repoIds);
  return test;
}

function add(db: Database, key: string, more: { repoId?: string; priority?: number } = {}) {
  return enqueue(db, { repoId: REPO_ID, jobType: TYPE, payload: { mpack_key: key }, ...more });
}

function take(db: Database, options: Partial<ClaimOptions> = {}): Promise<Job[]> {
  return claimJobs(db, {
    worker: "w",
    jobTypes: [TYPE],
    leaseMs: 60_000,
    limit: 10,
    perRepo: 1_000,
    ...options,
  });
}

const keys = (jobs: readonly Job[]) => jobs.map(({ payload }) => payload.mpack_key);

Deno.test("enqueue() returns the open job for the same repo, type and mpack", async (t) => {
  await using test = await open("repo-2");
  const { db } = test;
  const first = await add(db, "k1");
  assert.equal(first.existing, false);
  assert.match(first.row.jobId, /^sha256:[0-9a-f]{64}$/);
  await t.step("while it waits, and while it runs", async () => {
    assert.equal((await add(db, "k1")).row.jobId, first.row.jobId);
    await take(db);
    const again = await enqueue(db, {
      repoId: REPO_ID,
      jobType: TYPE,
      payload: { mpack_key: "k1" },
      claimAs: { worker: "w", leaseMs: 1 },
    });
    assert.deepEqual([again.existing, again.claimed], [true, undefined]);
    assert.equal(again.row.status, "running");
  });
  await t.step("but not another repo's, another pack's or an ended one", async () => {
    assert.equal((await add(db, "k1", { repoId: "repo-2" })).existing, false);
    assert.equal((await add(db, "k2")).existing, false);
    const [job] = await take(db, { jobId: (await add(db, "k3")).row.jobId });
    await completeJob(db, job, {});
    assert.equal((await add(db, "k3")).existing, false);
  });
  await t.step("a job that moves a branch only if all of it is the same", async () => {
    const push = (payload: object) =>
      enqueue(db, { repoId: REPO_ID, jobType: TYPE, payload: { mpack_key: "k4", ...payload } });
    await push({});
    assert.equal((await push({ branch: "main" })).existing, false);
    assert.equal((await push({ branch: "main" })).existing, true);
    assert.equal((await push({ branch: "dev" })).existing, false);
    assert.equal((await push({ branch: "main", force: true })).existing, false);
    assert.equal((await push({})).existing, true);
  });
  await t.step("a repo that is not there", async () => {
    await assert.rejects(add(db, "k1", { repoId: "no such repo" }), (error) => {
      assert(error instanceof ConfigError);
      assert.equal(error.code, "repo-not-found");
      return true;
    });
  });
});

Deno.test("enqueue() gives a hundred jobs of one moment a hundred ids", async () => {
  await using test = await open();
  const made = await Promise.all(
    Array.from({ length: 100 }, (_, i) => add(test.db, `k${i}`)),
  );
  assert.equal(new Set(made.map(({ row }) => row.jobId)).size, 100);
});

Deno.test("enqueue() keeps the order of jobs made in one millisecond", async () => {
  await using test = await open();
  const { db } = test;
  const names = Array.from({ length: 40 }, (_, i) => `k${i}`);
  for (const name of names) await add(db, name);
  assert.deepEqual(keys(await take(db, { limit: 40 })), names);
});

Deno.test("claimJobs() goes by priority, then age, and counts the attempt", async () => {
  await using test = await open();
  const { db } = test;
  await add(db, "old");
  await add(db, "new");
  await add(db, "urgent", { priority: 5 });
  const jobs = await take(db);
  assert.deepEqual(keys(jobs), ["urgent", "old", "new"]);
  assert.deepEqual([jobs[0].attempt, jobs[0].fence, jobs[0].isRescue], [1, 1, false]);
  assert.deepEqual(await take(db), []);
});

Deno.test("claimJobs() takes a row that knows only the base columns", async () => {
  await using test = await open();
  const { db } = test;
  await db.sql`alter table musehub_background_jobs
    alter fence drop default, alter priority drop default`;
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt) values
    ('theirs', 'any', ${TYPE}, '{"mpack_key": "k", "branch": "\\u0000"}', 'pending', now(), 0),
    ('unknown', 'any', 'send.mail', '{}', 'pending', now(), 0)`;
  const [job, ...others] = await take(db);
  assert.deepEqual([job.jobId, job.fence, job.attempt, others.length], ["theirs", 1, 1, 0]);
  await completeJob(db, job, {});
  assert.equal((await getJob(db, "unknown"))!.status, "pending");
});

Deno.test("claimJobs() leaves alone what it should", async (t) => {
  await using test = await open();
  const { db } = test;
  await t.step("a job whose time has not come, unless named", async () => {
    const { row } = await enqueue(db, {
      repoId: REPO_ID,
      jobType: TYPE,
      payload: { mpack_key: "later" },
      delayMs: 60_000,
    });
    assert.deepEqual(await take(db), []);
    assert.deepEqual(keys(await take(db, { jobId: row.jobId })), ["later"]);
  });
  await t.step("a running job of another program, without a lease", async () => {
    await db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at, attempt) values
      ('theirs', 'any', ${TYPE}, '{}', 'running', now() - interval '1 day', 1)`;
    assert.deepEqual(await take(db), []);
  });
  await t.step("the duplicate of a running job, until that ends", async () => {
    const addDuplicate = (id: string) =>
      db.sql`insert into musehub_background_jobs
        (job_id, repo_id, job_type, payload, status, created_at, attempt) values
        (${id}, ${REPO_ID}, ${TYPE}, '{"mpack_key":"same"}', 'pending', now(), 0)`;
    await addDuplicate("t1");
    await addDuplicate("t2");
    const first = await take(db);
    assert.deepEqual(first.map(({ jobId }) => jobId), ["t1"]);
    assert.deepEqual(await take(db), []);
    await completeJob(db, first[0], {});
    assert.deepEqual((await take(db)).map(({ jobId }) => jobId), ["t2"]);
  });
});

Deno.test("rows of another program delay no job of ours, and break no list", async (t) => {
  await using test = await open();
  const { db } = test;
  const insert = (id: string, columns: string, values: string) =>
    db.sql.unsafe(`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, created_at, ${columns})
      values ('${id}', '${REPO_ID}', '${TYPE}', '{"mpack_key":"${id}"}', now(), ${values})`);

  await t.step("running without a lease, or with one that never ends", async () => {
    await insert("none", "status", "'running'");
    await insert("endless", "status, lease_expires_at", "'running', 'infinity'");
    assert.equal(await countWithoutLease(db), 2);
    for (const key of ["none", "endless"]) {
      // Neither the repo's share nor the mpack is taken by them.
      assert.equal((await add(db, key)).existing, false, key);
      const [job] = await take(db, { perRepo: 1 });
      assert.equal(job?.payload.mpack_key, key);
      await completeJob(db, job, {});
    }
  });
  await t.step("numbers at the end of their column's range", async () => {
    await insert("most", "status, attempt, fence", `'pending', ${2 ** 31 - 1}, ${2n ** 63n - 1n}`);
    await insert("least", "status, attempt, fence", `'pending', ${-(2 ** 31)}, ${-(2n ** 63n)}`);
    const most = await take(db, { jobId: "most" });
    assert.deepEqual(most.map(({ attempt, fence }) => [attempt, fence]), [
      [2 ** 31 - 1, Number.MAX_SAFE_INTEGER],
    ]);
    const least = await take(db, { jobId: "least" });
    assert.deepEqual(least.map(({ attempt, fence }) => [attempt, fence]), [[1, 1]]);
    await completeJob(db, most[0], {});
    await completeJob(db, least[0], {});
  });
  await t.step("times that a Date cannot hold", async () => {
    const times = ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "20000-01-01 00:00:00+00"];
    for (const [i, time] of times.entries()) {
      await insert(`time-${i}`, "status, finished_at", `'done', '${time}'`);
      await db.sql`update musehub_background_jobs set created_at = ${time}::text::timestamptz
        where job_id = ${`time-${i}`}`;
    }
    const all = await listJobs(db);
    for (const { createdAt } of all) assert.match(createdAt.toISOString(), /^\d{4}-/);
    const paged: JobRow[] = [];
    for (let after: JobRow | undefined;;) {
      const [row] = await listJobs(db, { limit: 1, after });
      if (row === undefined) break;
      paged.push(after = row);
    }
    assert.deepEqual(paged, all);
    await insert("waiting", "status", "'pending'");
    await db
      .sql`update musehub_background_jobs set created_at = '-infinity' where job_id = 'waiting'`;
    assert.equal((await countJobs(db)).oldestPendingMs, 0);
  });
});

Deno.test("claimJobs() keeps a repo to its share, those already running included", async () => {
  await using test = await open("repo-2");
  const { db } = test;
  for (const key of ["a", "b", "c"]) await add(db, key);
  await add(db, "z", { repoId: "repo-2" });
  const first = await take(db, { perRepo: 2 });
  assert.deepEqual(keys(first).sort(), ["a", "b", "z"]);
  assert.deepEqual(await take(db, { perRepo: 2 }), []);
  await completeJob(db, first.find(({ repoId }) => repoId === REPO_ID)!, {});
  assert.deepEqual(keys(await take(db, { perRepo: 2 })), ["c"]);
});

Deno.test("claimJobs() finds another repo's job behind any number of a full repo's", async () => {
  await using test = await open("repo-2", "repo-3");
  const { db } = test;
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    select 'flood-' || i, ${REPO_ID}, ${TYPE}, json_build_object('mpack_key', i::text), 'pending',
      now(), 0 from generate_series(1, 500) i`;
  await add(db, "x", { repoId: "repo-2" });
  await add(db, "y", { repoId: "repo-3" });
  assert.equal((await take(db, { perRepo: 2, limit: 1 })).length, 1);
  const rest = await take(db, { perRepo: 2, limit: 4 });
  assert.deepEqual(rest.map(({ repoId }) => repoId).sort(), [REPO_ID, "repo-2", "repo-3"]);
});

Deno.test("claimJobs() reads the head of the queue, however many jobs wait", async () => {
  await using test = await open();
  const { db } = test;
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    select 'job-' || i, ${REPO_ID}, ${TYPE}, json_build_object('mpack_key', i::text), 'pending',
      now(), 0 from generate_series(1, 3000) i`;
  await db.sql`analyze musehub_background_jobs`;
  // One connection, so that its counters are there when they are read.
  const own = connectDatabase(test.url, { maxConnections: 1 });
  const read = async () => {
    await own.sql`select pg_stat_force_next_flush()`;
    const [{ n }] = await own.sql<{ n: number }[]>`
      select coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) as n
      from pg_stat_user_tables where relname = 'musehub_background_jobs'`;
    return n;
  };
  const before = await read();
  assert.equal((await take(own, { limit: 1 })).length, 1);
  const rows = await read() - before;
  await own.close();
  assert.ok(rows < 500, `${rows} rows were read to claim one job`);
});

Deno.test("claimJobs() ends a job that used up its attempts instead of running it again", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  let rescued: Job = job;
  for (let attempt = 2; attempt <= job.maxAttempts; attempt++) {
    rescued = await takeOver(db, job.jobId);
    assert.deepEqual([rescued.attempt, rescued.isRescue], [attempt, true]);
  }
  await expireLease(db, job.jobId);
  assert.deepEqual(await take(db), []);
  const row = await getJob(db, job.jobId);
  assert.deepEqual([row!.status, row!.lastError!.code], ["failed", "attempts-exhausted"]);
  await assert.rejects(renewLease(db, rescued, { leaseMs: 1 }), LeaseLostError);
});

Deno.test("claimJobs() of a job by name does not count how often it was tried", async () => {
  await using test = await open();
  const { db } = test;
  const { row: { jobId } } = await add(db, "k");
  await db.sql`update musehub_background_jobs set attempt = 10, max_attempts = 10
    where job_id = ${jobId}`;
  assert.deepEqual((await take(db, { jobId })).map(({ attempt }) => attempt), [11]);
});

Deno.test("claimJobs() takes jobs over from workers that are known to be gone", async () => {
  await using test = await open();
  const { db } = test;
  await add(db, "a");
  await add(db, "b");
  const [a] = await take(db, { worker: "host:1", limit: 1 });
  const [b] = await take(db, { worker: "host:2", limit: 1 });
  assert.deepEqual(await take(db, { takeOver: ["host:3", "host:4,host:2"] }), []);
  const [again, ...others] = await take(db, { worker: "host:3", takeOver: ["host:1"] });
  assert.deepEqual(
    [again.jobId, again.fence, again.isRescue, others.length],
    [a.jobId, 2, true, 0],
  );
  await assert.rejects(completeJob(db, a, {}), LeaseLostError);
  await completeJob(db, b, {});
});

Deno.test("claimJobs() by eight workers at once gives each job to one of them", async () => {
  await using test = await open();
  const { db } = test;
  for (let i = 0; i < 120; i++) await add(db, `k${i}`);
  const worker = async () => {
    const mine: Job[] = [];
    for (;;) {
      const jobs = await take(db, { limit: 3 });
      if (jobs.length === 0) return mine;
      mine.push(...jobs);
    }
  };
  const taken = (await Promise.all(Array.from({ length: 8 }, worker))).flat();
  assert.equal(new Set(taken.map(({ jobId }) => jobId)).size, taken.length);
  // Two claims at one moment may each skip a row that the other has locked; then it is still pending.
  taken.push(...await take(db, { limit: 200 }));
  assert.equal(taken.length, 120);
});

Deno.test("every write of a worker that lost its lease changes nothing", async (t) => {
  await using test = await open();
  const { db } = test;
  const stale = await startJob(db);
  const successor = await takeOver(db, stale.jobId);
  const before = await getJob(db, stale.jobId);
  const writes = {
    renew: () => renewLease(db, stale, { leaseMs: 1 }),
    fail: () => failJob(db, stale, FAILURE),
    release: () => releaseJob(db, stale),
    complete: () => completeJob(db, stale, {}),
    finishCancelled: () => finishCancelled(db, stale),
  };
  for (const [name, write] of Object.entries(writes)) {
    await t.step(`${name}() of an older fence`, async () => {
      await assert.rejects(write(), LeaseLostError);
      assert.deepEqual(await getJob(db, stale.jobId), before);
    });
  }
  await completeJob(db, successor, {});
  await t.step("renewLease() after the end", async () => {
    await assert.rejects(renewLease(db, successor, { leaseMs: 1 }), LeaseLostError);
  });
});

Deno.test("failJob() puts a job back with a wait, or ends it", async (t) => {
  await using test = await open();
  const { db } = test;
  await t.step("with attempts left", async () => {
    const job = await startJob(db);
    const { status, runAt } = await failJob(db, job, {
      ...FAILURE,
      retry: true,
      baseDelayMs: 3_600_000,
      maxDelayMs: 7_200_000,
    });
    const [{ now }] = await db.sql<{ now: Date }[]>`select now()`;
    assert.equal(status, "pending");
    assert(runAt!.getTime() - now.getTime() <= 3_600_000);
    const { lastError } = (await getJob(db, job.jobId))!;
    assert.deepEqual({ ...lastError, at: undefined }, { ...ERROR, at: undefined });
  });
  await t.step("of a kind that no retry helps", async () => {
    const { status, runAt } = await failJob(db, await startJob(db), FAILURE);
    assert.deepEqual([status, runAt], ["failed", null]);
  });
  await t.step("of a job that a user cancelled meanwhile", async () => {
    const job = await startJob(db);
    await cancelJob(db, job.jobId);
    const { status, runAt } = await failJob(db, job, { ...FAILURE, retry: true });
    assert.deepEqual([status, runAt], ["cancelled", null]);
    // "retry all that failed" must not bring it back.
    assert(!(await retryJobs(db, { failed: true })).includes(job.jobId));
  });
  await t.step("with none left", async () => {
    const job = await startJob(db);
    await db.sql`update musehub_background_jobs set max_attempts = 1 where job_id = ${job.jobId}`;
    assert.equal((await failJob(db, job, { ...FAILURE, retry: true })).status, "failed");
  });
});

Deno.test("releaseJob() gives the attempt back and keeps the fence", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  await renewLease(db, job, { leaseMs: 60_000, progress: { rows: 9 } });
  assert.equal(await releaseJob(db, job), "pending");
  const row = await getJob(db, job.jobId);
  assert.deepEqual([row!.status, row!.attempt, row!.fence], ["pending", 0, job.fence]);
  assert.deepEqual(row!.progress, { rows: 9 });
  const [next] = await take(db);
  assert.deepEqual([next.attempt, next.fence], [1, job.fence + 1]);
});

Deno.test("releaseJob() ends a job that was to be cancelled", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  assert.equal(await cancelJob(db, job.jobId), "running");
  assert.equal(await releaseJob(db, job), "cancelled");
  const row = await getJob(db, job.jobId);
  assert.equal(row!.status, "cancelled");
  assert(row!.finishedAt instanceof Date);
  assert.deepEqual(await take(db), []);
});

Deno.test("cancelJob() ends a waiting job at once and asks a running one to stop", async () => {
  await using test = await open();
  const { db } = test;
  const { row } = await add(db, "waiting");
  assert.equal(await cancelJob(db, row.jobId), "cancelled");
  assert.equal(await cancelJob(db, row.jobId), "cancelled");
  assert.equal(await cancelJob(db, "no such job"), undefined);
  const job = await startJob(db);
  assert.equal(await cancelJob(db, job.jobId), "running");
  assert.deepEqual(await renewLease(db, job, { leaseMs: 60_000 }), { cancelRequested: true });
  await finishCancelled(db, job);
  assert.equal((await getJob(db, job.jobId))!.status, "cancelled");
  const orphan = await startJob(db);
  await cancelJob(db, orphan.jobId);
  assert.equal(await takeOver(db, orphan.jobId), undefined);
  assert.equal((await getJob(db, orphan.jobId))!.status, "cancelled");
});

Deno.test("retryJobs() gives failed jobs all their attempts again", async () => {
  await using test = await open();
  const { db } = test;
  const jobs = [await startJob(db), await startJob(db), await startJob(db)];
  for (const job of jobs) await failJob(db, job, FAILURE);
  assert.deepEqual(await retryJobs(db, { jobId: jobs[1].jobId }), [jobs[1].jobId]);
  assert.deepEqual(await retryJobs(db, { jobId: jobs[1].jobId }), []);
  assert.equal((await retryJobs(db, { failed: true, repoId: "other" })).length, 0);
  assert.equal((await retryJobs(db, { failed: true })).length, 2);
  assert.deepEqual((await take(db)).map(({ attempt, fence }) => [attempt, fence]), [
    [1, 2],
    [1, 2],
    [1, 2],
  ]);
});

Deno.test("purgeJobs() deletes what ended long ago, in bounded batches", async () => {
  await using test = await open();
  const { db } = test;
  for (let i = 0; i < 5; i++) await completeJob(db, await startJob(db), {});
  const running = await startJob(db);
  assert.equal(await purgeJobs(db, { olderThanMs: 3_600_000, limit: 10 }), 0);
  assert.equal(await purgeJobs(db, { olderThanMs: 0, limit: 3 }), 3);
  assert.equal(await purgeJobs(db, { olderThanMs: 0, limit: 3 }), 2);
  assert.deepEqual((await listJobs(db)).map(({ jobId }) => jobId), [running.jobId]);
});

Deno.test("listJobs() pages through, newest first, and countJobs() counts", async () => {
  await using test = await open();
  const { db } = test;
  const made: string[] = [];
  for (let i = 0; i < 5; i++) made.unshift((await add(db, `k${i}`)).row.jobId);
  await failJob(db, await startJob(db), FAILURE);
  const listed: string[] = [];
  let after: { createdAt: Date; jobId: string } | undefined;
  for (;;) {
    const page = await listJobs(db, { status: "pending", repoId: REPO_ID, limit: 2, after });
    if (page.length === 0) break;
    listed.push(...page.map(({ jobId }) => jobId));
    after = page[page.length - 1];
  }
  assert.deepEqual(listed.toSorted(), made.toSorted());
  const counts = await countJobs(db, { jobTypes: [TYPE] });
  assert.deepEqual(counts.byStatus, { pending: 5, running: 0, done: 0, failed: 1, cancelled: 0 });
  assert(counts.oldestPendingMs > 0);
  // One that waited for its time is not late: its age alone would raise an alarm.
  await db.sql`update musehub_background_jobs
    set created_at = now() - interval '1 year', run_at = now() - interval '1 minute'`;
  const { oldestPendingMs } = await countJobs(db, { jobTypes: [TYPE] });
  assert(oldestPendingMs >= 60_000 && oldestPendingMs < 86_400_000, `${oldestPendingMs}`);
  assert.equal((await countJobs(db, { jobTypes: ["other"] })).byStatus.pending, 0);
});

Deno.test("an inserted row wakes every listener, whichever program inserted it", async () => {
  await using test = await open();
  const { db } = test;
  const woken = Promise.withResolvers<void>();
  const [{ channel }] = await db.sql`select mpackd_channel_1() as channel`;
  const { unlisten } = await db.sql.listen(channel, () => woken.resolve());
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    values ('theirs', 'any', ${TYPE}, '{}', 'pending', now(), 0)`;
  await woken.promise;
  await unlisten();
});

Deno.test("attempts that do not end well leave a row, and others none", async () => {
  await using test = await open();
  const { db } = test;
  const lost = await startJob(db);
  await db.sql`update musehub_background_jobs set lease_expires_at = now() - interval '1 second'`;
  const [again] = await take(db);
  await releaseJob(db, again);
  const [third] = await take(db);
  await failJob(db, third, { ...FAILURE, retry: true });
  await db.sql`update musehub_background_jobs set run_at = null`;
  const [fourth] = await take(db);
  await completeJob(db, fourth, {});
  const attempts = await listAttempts(db, lost.jobId);
  assert.deepEqual(
    attempts.map(({ outcome, attempt, code }) => [outcome, attempt, code]),
    [["lost", 1, null], ["released", 2, null], ["retrying", 2, ERROR.code]],
  );
});
