/**
 * Schedules and pauses with several worker processes on one database: clocks that are wrong, a time in
 * which no worker ran, and workers that claim while somebody pauses.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createRepo } from "../../src/db/repos.ts";
import { type Pause, pause, resume } from "../../src/jobs/schedules/pauses.ts";
import { putSchedule } from "../../src/jobs/schedules/schedules.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { type MpackdProcess, startWorkerProcess } from "../support/process/mpackd_process.ts";
import { until } from "../support/until.ts";

const SKEW = new URL("../simulator/workers/skew.ts", import.meta.url).pathname;
const HOUR_MS = 60 * 60_000;
/** Of the workers' clocks. */
const SKEWS_MS = [0, -3 * HOUR_MS, 3 * HOUR_MS, -60_000];
/** Each worker looks for due schedules once in ten seconds. */
const ALL_HAVE_LOOKED_MS = 10_500;
/** A worker reads once a second what is paused. */
const ALL_KNOW_OF_A_PAUSE_MS = 1_500;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts workers with these clocks, and waits until each has said that it runs. */
async function startWorkers(
  { db, databaseUrl, folder }: TestFixture,
  skewsMs: readonly number[],
): Promise<MpackdProcess[]> {
  const count = async () => (await db.sql`select from mpackd_workers`).length;
  const before = await count();
  const workers = skewsMs.map((skewMs) => {
    const env = {
      MPACKD_SIMULATE_SKEW_MS: String(skewMs),
      MPACK_POLL_MS: "200",
      MPACK_CONCURRENCY: "2",
    };
    return startWorkerProcess({ databaseUrl, folder, preload: SKEW, env });
  });
  await until("the workers have started", async () => await count() === before + skewsMs.length);
  return workers;
}

async function endAll(workers: readonly MpackdProcess[]): Promise<void> {
  await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
}

Deno.test("worker processes fire each time of a schedule once, and catch up once", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, names = ["a", "b", "c", "d", "e"];
  for (const name of names) {
    await putSchedule(db, { name, cron: "0 * * * *", task: "purge", options: {} });
  }
  /** Time goes on for so long, and no worker runs. */
  const miss = (hours: number) =>
    db.sql`update mpackd_schedules set next_at = date_trunc('hour', now())
      - ${hours}::float8 * interval '1 hour'`;
  const fired = async () => [
    ...await db.sql<{ name: string; jobs: number; done: number }[]>`
      select payload->>'schedule' as name, count(*)::int as jobs,
        count(*) filter (where status = 'done')::int as done
      from musehub_background_jobs group by 1 order by 1`,
  ];
  const haveRun = (count: number) =>
    until(`each schedule's job has run ${count} times`, async () => {
      const rows = await fired();
      return rows.length === names.length && rows.every(({ done }) => done >= count);
    }, { found: fired });
  // Across a full hour each of them would fire by right.
  const [{ seconds }] = await db.sql`
    select extract(epoch from date_trunc('hour', now()) + interval '1 hour' - now())::int as seconds`;
  if (seconds < 60) await sleep(1_000 * (seconds + 1));
  await miss(7 * 24);
  const workers = await startWorkers(fixture, SKEWS_MS);
  try {
    await haveRun(1);
    // All of them are stopped for three days, and one is killed.
    for (const worker of workers) worker.kill("SIGSTOP");
    assert.deepEqual(await fired(), names.map((name) => ({ name, jobs: 1, done: 1 })));
    await miss(3 * 24);
    workers[0].kill("SIGKILL");
    for (const worker of workers) worker.kill("SIGCONT");
    await haveRun(2);
    await sleep(ALL_HAVE_LOOKED_MS);
    assert.deepEqual(await fired(), names.map((name) => ({ name, jobs: 2, done: 2 })));
  } finally {
    await endAll(workers);
  }
});

Deno.test("nothing that is paused is claimed, however many workers claim", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const { repo: { repoId: otherId } } = await createRepo(db, { owner: "me", slug: "other" });
  const workers = await startWorkers(fixture, [0, 0, 0]);
  /** Jobs that end at once, well or not: that they were claimed is what matters. */
  const add = (repoId: string, type: string, count: number) =>
    db.sql`insert into musehub_background_jobs
        (job_id, repo_id, job_type, payload, status, created_at)
      select gen_random_uuid()::text, ${repoId}, ${type}, '{"mpack_key":"x"}', 'pending', now()
      from generate_series(1, ${count}::int)`;
  const count = async (repoId: string, type: string) => {
    const [row] = await db.sql<{ ended: number; running: number; pending: number }[]>`select
        (count(*) filter (where status in ('done', 'failed')))::int as ended,
        (count(*) filter (where status = 'running'))::int as running,
        (count(*) filter (where status = 'pending'))::int as pending
      from musehub_background_jobs where repo_id = ${repoId} and job_type = ${type}`;
    return row;
  };
  const allEnd = (repoId: string, type: string) =>
    until(`jobs of ${type} end`, async () => {
      const { running, pending } = await count(repoId, type);
      return running + pending === 0;
    }, { found: () => count(repoId, type) });
  type Jobs = readonly [repoId: string, type: string];
  const cases: readonly [pause: Pause, held: Jobs, free?: Jobs][] = [
    [{ kind: "all" }, [repoId, "mpack.index"]],
    [{ kind: "type", value: "mpack.index" }, [repoId, "mpack.index"], [repoId, "mpackd.purge"]],
    [{ kind: "repo", value: repoId }, [repoId, "mpack.index"], [otherId, "mpack.index"]],
  ];
  try {
    for (const [what, held, free] of cases) {
      await t.step(what.kind, async () => {
        // The workers are in the middle of a full queue.
        const before = await count(...held);
        await add(...held, 2_000);
        await until("others run", async () => (await count(...held)).ended > before.ended);
        await pause(db, what);
        await sleep(ALL_KNOW_OF_A_PAUSE_MS);
        await until("claimed jobs end", async () => (await count(...held)).running === 0);
        const { ended, pending } = await count(...held);
        assert.ok(pending > 0, "the queue was not long enough");
        // What comes later waits, too; a worker that starts now knows it; what is not paused runs.
        await add(...held, 10);
        await workers.pop()![Symbol.asyncDispose]();
        workers.unshift(...await startWorkers(fixture, [0]));
        if (free !== undefined) {
          await add(...free, 50);
          await allEnd(...free);
        }
        assert.deepEqual(await count(...held), { ended, running: 0, pending: pending + 10 });
        await db.sql`delete from musehub_background_jobs where job_id in (
          select job_id from musehub_background_jobs where status = 'pending'
          order by created_at desc offset 50)`;
        assert.ok(await resume(db, what));
        await allEnd(...held);
      });
    }
    const twice = await db.sql`select from musehub_background_jobs where attempt > 1`;
    assert.equal(twice.length, 0, "each was claimed once");
  } finally {
    await endAll(workers);
  }
});
