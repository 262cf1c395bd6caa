/**
 * A worker process over a catalog with two shards: one beside it, one on another server, which dies.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { getJob, listJobs } from "../../../src/jobs/queue/mod.ts";
import { pause, resume } from "../../../src/jobs/schedules/pauses.ts";
import { putSchedule } from "../../../src/jobs/schedules/schedules.ts";
import { runNow } from "../../../src/jobs/schedules/fire.ts";
import { copyRepo } from "../../../src/db/shards/catalog.ts";
import { adoptStore } from "../../../src/maintenance/store_owner.ts";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { concat, mpackKey } from "../../support/mpack/mpacks.ts";
import { createTestDatabase } from "../../support/postgres/postgres.ts";
import { startTestServer } from "../../support/postgres/test_server.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";
import { freePort } from "../../support/process/free_port.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { addRepoIn, addShard, insertForeign } from "../../support/shards/catalog_with.ts";
import { until } from "../../support/until.ts";

const SHAPE = { objects: 20, size: { kind: "range", minBytes: 1, maxBytes: 99 } } as const;
let jobs = 0;

/** Puts a pack of its own into the store, and a job for it into a queue. */
async function add({ folder }: TestFixture, db: Database, repoId: string): Promise<string> {
  const jobId = `job-${++jobs}`;
  const bytes = concat(
    await Array.fromAsync(makeMpack({ ...SHAPE, seed: jobs }), (chunk) => chunk.slice()),
  );
  const key = mpackKey(bytes);
  await Deno.mkdir(`${folder}/mpacks/${repoId}`, { recursive: true });
  await Deno.writeFile(`${folder}/mpacks/${repoId}/${key}`, bytes);
  await insertForeign(db, { jobId, repoId, payload: JSON.stringify({ mpack_key: key }) });
  return jobId;
}

/** Waits until a job has ended well. */
async function done(db: Database, jobId: string): Promise<void> {
  for (let look = 0; look < 1_200; look++) {
    const { status, lastError } = (await getJob(db, jobId))!;
    if (status === "done") return;
    assert.notEqual(status, "failed", lastError?.message);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${jobId} is not done`);
}

async function openShard(fixture: TestFixture, name: string, serverUrl?: string) {
  const { db, databaseUrl: url, store } = fixture;
  const shard = await addShard({ db, url }, name, serverUrl);
  await adoptStore({ db: shard, store });
  await addRepoIn(db, shard, `repo-${name}`);
  return shard;
}

Deno.test("worker runs the jobs of all shards, and one whose server dies holds up no other", async (t) => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  await using server = await startTestServer();
  await using other = await createTestDatabase("shard", server.url);
  await using stack = new AsyncDisposableStack();
  const s1 = stack.adopt(await openShard(fixture, "s1"), (db) => db.close());
  const port = freePort();
  await using worker = startWorkerProcess({
    ...fixture,
    // Notifications only: a poll would hide that one was not heard.
    args: ["--http-port", String(port), "--poll-ms", "600000", "--concurrency", "2"],
  });
  const ask = async (path: string) => await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  await worker.line(({ message, shard }) => message === "Listening for new jobs" && shard === "s1");
  const s2 = stack.adopt(await openShard(fixture, "s2", other.url), (db) => db.close());
  await worker.line(({ message, shard }) => message === "Listening for new jobs" && shard === "s2");

  await t.step(
    "jobs of the catalog, of a shard beside it, and of one added while it runs",
    async () => {
      const ids = [
        [db, await add(fixture, db, repo.repoId)],
        [s1, await add(fixture, s1, "repo-s1")],
        [s2, await add(fixture, s2, "repo-s2")],
      ] as const;
      for (const [shard, id] of ids) await done(shard, id);
      const metrics = await ask("/metrics");
      for (
        const sample of [
          'mpackd_claims_total{job_type="mpack.index"} 1',
          'mpackd_claims_total{job_type="mpack.index",shard="s2"} 1',
          'mpackd_objects_total{shard="s1"} 20',
          'mpackd_jobs{status="done",shard="s1"} 1',
          'mpackd_shard_up{shard="s2"} 1',
          "mpackd_listening 1",
          'mpackd_listening{shard="s2"} 1',
          "mpackd_queue_errors_total 0",
        ]
      ) assert(metrics.includes(`${sample}\n`), `${sample} is not in\n${metrics}`);
    },
  );

  await t.step("jobs that another program puts into the catalog's queue", async () => {
    const id = await add(fixture, db, "repo-s2");
    await done(db, id);
    assert.deepEqual((await getJob(db, id))!.result, (await getJob(s2, id))!.result);
    const [{ packs }] = await s2.sql`select count(*) as packs from musehub_mpacks`;
    const [{ strays }] = await db.sql`select count(*) as strays from musehub_mpacks
      where repo_id = 'repo-s2'`;
    assert.deepEqual([packs, strays], [2, 0]);
  });

  await t.step("a schedule's job runs once in each", async () => {
    await putSchedule(db, { name: "purge", cron: "@yearly", task: "purge", options: {} });
    await runNow(db, "purge");
    const jobsOf = async (db: Database) =>
      (await listJobs(db, { jobType: "mpackd.purge" })).map(({ jobId }) => jobId);
    const all: string[] = [];
    for (const each of [db, s1, s2]) {
      await until("the schedule has made a job", async () => (await jobsOf(each)).length > 0);
      const [id, ...more] = await jobsOf(each);
      await done(each, id);
      assert.deepEqual(more, []);
      all.push(id);
    }
    assert.equal(new Set(all).size, 3);
  });

  await t.step(
    "gc by a schedule frees the name of a repo that was deleted in a shard",
    async () => {
      const repoId = "repo-gone";
      await db.sql`insert into musehub_repos (repo_id, owner, slug, shard, deleted_at)
      values (${repoId}, 'ann', 'gone', 's1', now() - interval '2 hours')`;
      await copyRepo(db, s1, repoId);
      const options = { grace_ms: 60_000 };
      await putSchedule(db, { name: "gc", cron: "@yearly", task: "gc", options });
      await runNow(db, "gc");
      const isGone = async () =>
        (await db.sql`select from musehub_repos where slug = 'gone'`).length === 0;
      await until("the repo's row is gone", isGone);
    },
  );

  await t.step("a pause in the catalog holds for all, and its end wakes all", async () => {
    await pause(db, { kind: "type", value: "mpack.index" });
    // What was read before the pause counts for a second.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const id = await add(fixture, s2, "repo-s2"), mark = await add(fixture, s2, "repo-s2");
    await s2.sql`update musehub_background_jobs set job_type = 'mpackd.purge'
      where job_id = ${mark}`;
    await s2.sql`select mpackd_notify_1('')`;
    await done(s2, mark);
    assert.equal((await getJob(s2, id))!.status, "pending");
    await resume(db, { kind: "type", value: "mpack.index" });
    await done(s2, id);
  });

  await t.step(
    "a dead server: said once, the others go on, and its jobs run when it is back",
    async () => {
      await server.kill();
      await worker.line(({ message }) => /^Shard s2 is away: /.test(message));
      const forwarded = await add(fixture, db, "repo-s2");
      for (let round = 0; round < 3; round++) {
        await done(s1, await add(fixture, s1, "repo-s1"));
        await done(db, await add(fixture, db, repo.repoId));
      }
      assert.equal(JSON.parse(await ask("/readyz")).ready, true);
      assert.match(await ask("/metrics"), /^mpackd_shard_up\{shard="s2"\} 0$/m);
      assert.equal((await getJob(db, forwarded))!.attempt, 0);
      assert.equal(worker.lines.filter(({ message }) => /is away/.test(message)).length, 1);
      await server.start();
      await worker.line(({ message }) => message === "Working for shard s2");
      await done(db, forwarded);
    },
  );
  worker.kill("SIGTERM");
  assert.equal((await worker.status).code, 0);
});
