import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { createRepo } from "../../src/db/repos.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { claimJobs, type ClaimOptions, completeJob, enqueue } from "../../src/jobs/queue/mod.ts";
import { Worker } from "../../src/jobs/worker/worker.ts";
import { openTestDatabase } from "../support/postgres/database.ts";
import { until } from "../support/until.ts";

const TYPE = "mpack.index", FLOOD_JOBS = 10_000;

/** Ten thousand jobs, all older than what comes after them. */
interface Flood {
  readonly owners?: number;
  readonly reposPerOwner: number;
  /** SQL of columns of job `i`. */
  readonly priority?: string;
  readonly runAt?: string;
  /** Whether no repo has a row. */
  readonly isForeign?: boolean;
}

async function flood(db: Database, shape: Flood): Promise<void> {
  const { owners = 1, reposPerOwner, priority = "null", runAt = "null", isForeign = false } = shape;
  const repos = owners * reposPerOwner;
  if (!isForeign) {
    await db.sql`insert into musehub_repos (repo_id, owner, slug)
      select 'flood-' || i, 'flood-' || i % ${owners}::int, 'repo-' || i
      from generate_series(0, ${repos - 1}::int) i`;
  }
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt, priority, run_at)
    select 'flood-' || i, 'flood-' || i % ${repos}::int, ${TYPE},
      json_build_object('mpack_key', i::text), 'pending',
      now() - interval '1 hour' + i * interval '1 ms', 0,
      ${db.sql.unsafe(`(${priority})`)}::integer, ${db.sql.unsafe(`(${runAt})`)}::timestamptz
    from generate_series(1, ${FLOOD_JOBS}::int) i`;
}

async function addLone(db: Database, owner = "lone"): Promise<string> {
  const { repo } = await createRepo(db, { owner, slug: "repo" });
  const payload = { mpack_key: owner };
  return (await enqueue(db, { repoId: repo.repoId, jobType: TYPE, payload })).row.jobId;
}

async function claim(db: Database, options: Partial<ClaimOptions> = {}) {
  const own = { worker: "w", jobTypes: [TYPE], leaseMs: 60_000, limit: 4, perRepo: 2 };
  return await claimJobs(db, { ...own, ...options });
}

/** How many jobs are claimed until this one is, four at a time, each completed at once. */
async function claimedUntil(db: Database, jobId: string, most: number): Promise<number> {
  let claimed = 0;
  while (claimed < most) {
    const jobs = await claim(db);
    assert.ok(jobs.length > 0, `nothing was claimed after ${claimed} jobs`);
    claimed += jobs.length;
    for (const job of jobs) await completeJob(db, job, {});
    if (jobs.some((job) => job.jobId === jobId)) return claimed;
  }
  return Infinity;
}

Deno.test("a flood of ten thousand jobs delays another owner's job by one claim", async (t) => {
  const shapes: Record<string, Flood> = {
    "in one repo": { reposPerOwner: 1 },
    "in a hundred repos": { reposPerOwner: 100 },
    "in ten thousand repos": { reposPerOwner: 10_000 },
    "in one repo without a row": { reposPerOwner: 1, isForeign: true },
    "most of them not due, in ten thousand repos": {
      reposPerOwner: 10_000,
      runAt: "case when i % 10 <> 0 then now() + interval '1 day' end",
    },
    "that wait for another attempt": { reposPerOwner: 100, runAt: "now() - interval '1 minute'" },
    "of four priorities, none above": { reposPerOwner: 100, priority: "- (i % 4)" },
    "above which one is urgent, but not due": {
      reposPerOwner: 100,
      priority: "case when i = 1 then 9 end",
      runAt: "case when i = 1 then now() + interval '1 day' end",
    },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    await t.step(name, async () => {
      await using test = await openTestDatabase();
      await flood(test.db, shape);
      const lone = await addLone(test.db);
      const claimed = await claimedUntil(test.db, lone, 8);
      assert.ok(claimed <= 4, `${claimed} jobs were claimed first`);
    });
  }
});

Deno.test("of hundreds of owners with many jobs each is served once before a lone one", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await flood(db, { owners: 200, reposPerOwner: 2 });
  const lone = await addLone(db);
  const claimed = await claimedUntil(db, lone, 500);
  assert.ok(claimed <= 300, `${claimed} jobs were claimed first`);
});

Deno.test("a claim reads a bounded part of the queue, whatever is in it", async (t) => {
  const shapes: Record<string, Flood> = {
    "one repo": { reposPerOwner: 1 },
    "ten thousand repos of one owner": { reposPerOwner: 10_000 },
    "two thousand owners": { owners: 2_000, reposPerOwner: 1 },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    await t.step(name, async () => {
      await using test = await openTestDatabase();
      await flood(test.db, shape);
      // One connection, so that its counters are there when they are read.
      const own = connectDatabase(test.url, { maxConnections: 1 });
      // The table was never analyzed: its statistics say that it is empty.
      for (let i = 0; i < 8; i++) {
        const before = await rowsRead(own);
        await claim(own);
        const rows = await rowsRead(own) - before;
        assert.ok(rows < 1_000, `${rows} rows were read to claim four jobs`);
      }
      await own.close();
    });
  }
});

Deno.test("a claim that was planned while the queue was empty reads no more when it is long", async (t) => {
  for (const name of ["never analyzed", "analyzed"]) {
    await t.step(name, async () => {
      await using test = await openTestDatabase();
      const { db } = test;
      const own = connectDatabase(test.url, { maxConnections: 1 });
      if (name === "analyzed") await db.sql`vacuum analyze musehub_background_jobs`;
      for (let i = 0; i < 8; i++) await claim(own);
      await flood(db, { reposPerOwner: 100 });
      const before = await rowsRead(own);
      assert.equal((await claim(own)).length, 4);
      const rows = await rowsRead(own) - before;
      assert.ok(rows < 1_000, `${rows} rows were read to claim four jobs`);
      await own.close();
    });
  }
});

/** How many rows of jobs statements have read. */
async function rowsRead(db: Database): Promise<number> {
  await db.sql`select pg_stat_force_next_flush()`;
  const [{ n }] = await db.sql<{ n: number }[]>`
    select coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) as n
    from pg_stat_user_tables where relname = 'musehub_background_jobs'
      and schemaname = current_schema()`;
  return n;
}

Deno.test("a claim finds the one due job among thousands of owners without one", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await flood(db, { owners: 5_000, reposPerOwner: 1, runAt: "now() + interval '1 day'" });
  const lone = await addLone(db);
  assert.deepEqual((await claim(db)).map(({ jobId }) => jobId), [lone]);
});

Deno.test("a claim gives all it was asked for while one owner has it", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await flood(db, { reposPerOwner: 1_000 });
  // Their turns come first, but they have one job each.
  for (let i = 0; i < 20; i++) await addLone(db, `owner-${i}`);
  assert.equal((await claim(db, { limit: 100 })).length, 100);
});

Deno.test("claims at one moment by eight workers take each job once", async () => {
  await using test = await openTestDatabase({ maxConnections: 8 });
  const { db } = test;
  await flood(db, { owners: 50, reposPerOwner: 20 });
  const taken: string[] = [];
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let i = 0; i < 25; i++) taken.push(...(await claim(db)).map(({ jobId }) => jobId));
  }));
  assert.equal(new Set(taken).size, taken.length);
  assert.ok(taken.length > 400, `${taken.length}`);
});

Deno.test("a claim goes by the owner's running jobs, below the priority", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test;
  await flood(db, { reposPerOwner: 100 });
  const ada = await addLone(db, "ada"), bob = await addLone(db, "bob");
  const ids = async (options?: Partial<ClaimOptions>) =>
    (await claim(db, options)).map(({ jobId }) => jobId);
  await t.step("one job of each owner comes first", async () => {
    const claimed = await ids({ limit: 3 });
    assert.equal(claimed.length, 3);
    assert.ok(claimed.includes(ada) && claimed.includes(bob), claimed.join());
  });
  await t.step("owners with running jobs wait for those without", async () => {
    const cay = await addLone(db, "cay");
    assert.deepEqual(await ids({ limit: 1 }), [cay]);
  });
  await t.step("a priority goes first, whoever owns it", async () => {
    const { row: { jobId } } = await enqueue(db, {
      repoId: "flood-7",
      jobType: TYPE,
      payload: { mpack_key: "urgent" },
      priority: 1,
    });
    assert.deepEqual(await ids({ limit: 1 }), [jobId]);
  });
  await t.step("a repo without a row is an owner of its own", async () => {
    await db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at)
      values ('foreign', 'no such repo', ${TYPE}, '{}', 'pending', now())`;
    assert.deepEqual(await ids({ limit: 1 }), ["foreign"]);
  });
});

Deno.test("every row has its owner's tenant, whoever wrote it and when", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test;
  await createRepo(db, { owner: "ada", slug: "one" });
  await createRepo(db, { owner: "ada", slug: "two" });
  const insert = (by: Database, id: string, repoId: string) =>
    by.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at, attempt)
      values (${id}, ${repoId}, ${TYPE}, '{}', 'pending', now(), 0)`;
  const tenants = async () =>
    (await db.sql<{ tenant: string | null }[]>`
      select tenant_hash::text as tenant from musehub_background_jobs order by job_id`)
      .map(({ tenant }) => tenant);
  const repos = await db.sql<{ repo_id: string }[]>`
    select repo_id from musehub_repos order by slug`;
  await insert(db, "a", repos[0].repo_id);
  await insert(db, "b", repos[1].repo_id);
  await t.step("also one that may only insert", async () => {
    const role = `inserts_${crypto.randomUUID().slice(0, 8)}`;
    const [{ schema }] = await db.sql`select current_schema() as schema`;
    await db.sql.unsafe(
      `create role ${role} login password 'pw'; grant usage on schema ${schema} to ${role};
      grant insert on musehub_background_jobs to ${role}`,
    ).simple();
    const url = new URL(test.url);
    url.username = role;
    url.password = "pw";
    const by = connectDatabase(url.href, { maxConnections: 1 });
    await insert(by, "c", repos[0].repo_id);
    await by.close();
    await db.sql.unsafe(`drop owned by ${role}; drop role ${role}`).simple();
  });
  await insert(db, "d", "no such repo");
  const [a, b, c, d] = await tenants();
  assert.ok(a !== null && d !== null);
  assert.deepEqual([b, c], [a, a]);
  assert.notEqual(d, a);
  await t.step("and those that are older than the column get it from migrate()", async () => {
    await db.sql`update musehub_background_jobs set tenant_hash = null,
      status = case when job_id = 'b' then 'running' else status end`;
    await db.sql`delete from mpackd_migrations where name = '0030_tenants_of_old_jobs'`;
    assert.deepEqual((await migrate(db)).applied, ["0030_tenants_of_old_jobs"]);
    assert.deepEqual(await tenants(), [a, b, c, d]);
  });
  await t.step("and one that slipped through is claimed", async () => {
    await db.sql`update musehub_background_jobs set tenant_hash = null`;
    assert.deepEqual((await claim(db)).map(({ jobId }) => jobId).sort(), ["a", "c", "d"]);
  });
});

Deno.test("a worker runs another owner's new job before those that it has prefetched", async () => {
  await using test = await openTestDatabase({ maxConnections: 8 });
  const { db } = test;
  await flood(db, { reposPerOwner: 100 });
  const stop = new AbortController();
  const gate = Promise.withResolvers<void>(), full = Promise.withResolvers<void>();
  const started: string[] = [], claimed = Promise.withResolvers<void>();
  const mine: { lone?: string } = {};
  let waiting = 0;
  const worker = new Worker({
    db,
    handlers: {
      [TYPE]: async (job) => {
        started.push(job.jobId);
        // The first are short, so it prefetches. The others wait in all of its places.
        if (started.length > 50 && job.jobId !== mine.lone) {
          if (++waiting === 2) full.resolve();
          await gate.promise;
        }
        await completeJob(db, job, {});
        return {};
      },
    },
    worker: "w",
    leaseMs: 60_000,
    concurrency: 2,
    perRepo: 2,
    pollMs: 60_000,
    drainMs: 10_000,
    signal: stop.signal,
    observe: (event) => {
      if (event.type === "claimed" && event.jobs.some(({ jobId }) => jobId === mine.lone)) {
        claimed.resolve();
      }
    },
  });
  const over = worker.run();
  await full.promise;
  const before = started.length;
  mine.lone = await addLone(db);
  worker.wake();
  // Long after the prefetched jobs were released, if it did not come.
  const timer = setTimeout(claimed.resolve, 10_000);
  await claimed.promise;
  clearTimeout(timer);
  assert.equal(started.length, before);
  gate.resolve();
  await until("another job starts", () => started.length > before, { everyMs: 0 });
  stop.abort();
  await over;
  assert.equal(started[before], mine.lone);
});

Deno.test("a worker does not let ten thousand jobs of one owner delay another owner's one", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await flood(db, { reposPerOwner: 10_000 });
  const lone = await addLone(db);
  const stop = new AbortController();
  const started: string[] = [];
  const worker = new Worker({
    db,
    handlers: {
      [TYPE]: async (job) => {
        started.push(job.jobId);
        if (job.jobId === lone || started.length === 100) stop.abort();
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
