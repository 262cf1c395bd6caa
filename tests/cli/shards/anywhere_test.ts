/**
 * Commands that find by an id what is in a shard, and lists that go over all shards.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createPlacedRepo } from "../../../src/db/shards/create_repo.ts";
import { ShardPools } from "../../../src/db/shards/shard_pools.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { claimJobs, completeJob, failJob, getJob } from "../../../src/jobs/queue/mod.ts";
import { Forwarder } from "../../../src/jobs/shards/forwarder.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { runMain } from "../../support/process/main.ts";
import { addShard, insertForeign } from "../../support/shards/catalog_with.ts";

/** A catalog with a repo of its own, and a repo in each of two shards, one of which has a store. */
async function open() {
  const stack = new AsyncDisposableStack();
  const fixture = stack.use(await createFixture());
  const { db: catalog, databaseUrl: url, folder } = fixture;
  const own = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  stack.defer(() => Deno.remove(own, { recursive: true }));
  for (const name of ["s1", "s2"]) await (await addShard({ db: catalog, url }, name)).close();
  await catalog.sql`update mpackd_shards set store_url = ${`file://${own}`} where name = 's2'`;
  const pools = stack.use(new ShardPools({ catalog, catalogUrl: url, maxConnections: 4 }));
  const env = { DATABASE_URL: url, MPACK_STORE: `file://${folder}`, MPACK_HOME: folder };
  const json = async (code: number, ...args: string[]) => {
    const ended = await runMain([...args, "--json"], env);
    assert.equal(ended.code, code, ended.stderr);
    return JSON.parse(ended.stdout.trimEnd().split("\n").at(-1)!);
  };
  const repo = async (shard: string) => {
    const wanted = { owner: "me", slug: `in-${shard}` };
    const made = await createPlacedRepo(pools, wanted, {
      shard,
      defaults: { owner: {}, repo: {} },
    });
    const { repoId, home } = made.repo;
    return { repoId, name: `me/in-${shard}`, db: (await pools.at(home)).db };
  };
  return {
    ...{ fixture, catalog, pools, env, json, own },
    ...{ inS1: await repo("s1"), inS2: await repo("s2") },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

Deno.test("an mpack is found in any shard by how its key begins", async (t) => {
  await using world = await open();
  const { fixture, inS1, inS2, json, own } = world, keys: string[] = [];
  for (const [i, repo] of [inS1, inS2].entries()) {
    const bytes = buildMpack({ objects: [object({ content: new TextEncoder().encode(`${i}`) })] });
    const key = mpackKey(bytes);
    await Deno.mkdir(`${[fixture.folder, own][i]}/mpacks/${repo.repoId}`, { recursive: true });
    await Deno.writeFile(
      `${[fixture.folder, own][i]}/mpacks/${repo.repoId}/${key}`,
      bytes,
    );
    const store = openFileStore([fixture.folder, own][i]);
    await indexMpack({ ...fixture.options(key), db: repo.db, store, repoId: repo.repoId });
    keys.push(key);
  }
  for (const [i, repo] of [inS1, inS2].entries()) {
    const key = keys[i], begin = key.slice("sha256:".length, 20);
    await t.step(`audit --mpack, s${i + 1}`, async () => {
      const { summary } = await json(0, "audit", "--mpack", begin);
      assert.deepEqual([summary.mpacks, summary.mpacks_damaged], [1, 0]);
    });
    await t.step(`inspect, s${i + 1}`, async () => {
      for (const args of [[begin], [key], [begin, "--repo", repo.name]]) {
        const report = await json(0, "inspect", ...args);
        assert.deepEqual([report.mpack_key, report.is_valid], [key, true]);
      }
    });
  }
  await t.step("audit --shard looks only there", async () => {
    const [, other] = keys;
    const { error } = await json(2, "audit", "--mpack", other.slice(7, 20), "--shard", "s1");
    assert.match(error.message, /no key begins so/);
    const whole = await json(2, "audit", "--mpack", other, "--shard", "s1");
    assert.match(whole.error.message, /no indexed mpack has this key/);
  });
  await t.step("a shard that is away may have it", async () => {
    await world.catalog.sql`update mpackd_shards set url = 'postgres://127.0.0.1:1/none',
      version = version + 1 where name = 's2'`;
    const { error } = await json(4, "audit", "--mpack", "abcdef0123");
    assert.match(error.message, /in no shard that answers, and s2 does not/);
    const shown = await json(4, "jobs", "show", "abcdef0123");
    assert.match(shown.error.message, /Cannot show job abcdef0123: it is in no shard/);
  });
});

Deno.test("a job that was forwarded to a shard is one job, in lists and counts", async (t) => {
  await using world = await open();
  const { catalog, inS1, json } = world, { db: shard, repoId } = inS1;
  const jobTypes = ["mpack.index"];
  const claim = (db: typeof catalog, limit = 10) =>
    claimJobs(db, { worker: "w", jobTypes, leaseMs: 60_000, limit, perRepo: 10 });
  const forwarder = new Forwarder({
    catalog,
    at: () => shard,
    onError: (error) => assert.fail(error),
    signal: new AbortController().signal,
  });
  for (const jobId of ["job-a", "job-b"]) await insertForeign(catalog, { jobId, repoId });
  await forwarder.forward(await claim(catalog));
  await insertForeign(catalog, { jobId: "job-c", repoId: world.fixture.repo.repoId });
  const [running] = await claim(shard, 1);

  await t.step("jobs list and status", async () => {
    const { jobs, total } = await json(0, "jobs", "list");
    assert.deepEqual([jobs.length, total], [3, 3]);
    assert.equal((await json(0, "jobs", "list", "--limit", "1")).total, 3);
    const pending = await json(0, "jobs", "list", "--status", "pending");
    assert.ok(!pending.jobs.some(({ job_id }: { job_id: string }) => job_id === running.jobId));
    assert.equal((await json(0, "jobs", "list", "--shard", "catalog")).total, 3);
    const { queue } = await json(0, "status");
    assert.deepEqual([queue.pending, queue.running], [2, 1]);
  });
  await t.step("show, cancel and retry find it by how its id begins", async () => {
    assert.equal((await json(0, "jobs", "show", running.jobId)).status, "running");
    assert.equal((await json(0, "jobs", "cancel", running.jobId, "--dry-run")).would_cancel, true);
    assert.equal((await getJob(shard, running.jobId))?.cancelRequested, false);
    const error = { code: "truncated", message: "m", retryable: false };
    await failJob(shard, running, { error, retry: false, baseDelayMs: 0, maxDelayMs: 0 });
    await forwarder.follow();
    assert.equal((await getJob(catalog, running.jobId))?.status, "failed");
    const failed = await json(0, "jobs", "retry", "--failed", "--dry-run");
    assert.equal(failed.would_retry, 1);
    assert.equal((await json(0, "jobs", "retry", running.jobId, "--dry-run")).would_retry, 1);
    assert.equal((await json(0, "status")).queue.failed_last_day, 1);
    assert.deepEqual((await json(0, "jobs", "retry", running.jobId)).retried, [running.jobId]);
    for (const db of [shard, catalog]) {
      assert.equal((await getJob(db, running.jobId))?.status, "pending");
    }
    const refused = await json(2, "jobs", "retry", running.jobId, "--dry-run");
    assert.match(refused.error.message, /it is pending, neither failed nor cancelled/);
  });
  await t.step("the program that has put it there is told", async () => {
    await forwarder.forward((await claim(catalog)).filter((job) => job.shard === "s1"));
    for (const job of await claim(shard)) await completeJob(shard, job, {});
    await forwarder.follow();
    assert.equal((await getJob(catalog, running.jobId))?.status, "done");
  });
});
