/**
 * A failover of one shard's server, by Patroni and etcd and by hand, under worker processes: the jobs
 * of the catalog and of the other shard go on, and of the shard's jobs nothing is lost or doubled,
 * also not of those that programs put into the catalog's queue.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { codeOf } from "../../../src/db/client/error_code.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { DatabaseError } from "../../../src/errors.ts";
import { adoptStore } from "../../../src/maintenance/store_owner.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { type Pair, withPatroni, withPromotion } from "../../support/postgres/failing_pairs.ts";
import { hasPatroni } from "../../support/postgres/patroni.ts";
import { createTestDatabase } from "../../support/postgres/postgres.ts";
import { POSTGRES_15_BIN } from "../../support/postgres/test_server.ts";
import { type MpackdProcess, startProcess } from "../../support/process/mpackd_process.ts";
import { addRepoIn, addShard, insertForeign } from "../../support/shards/catalog_with.ts";
import { sampleBytes } from "../../support/store/blobs.ts";
import { until } from "../../support/until.ts";

const WORKERS = 3;
const OBJECTS = 5;
/** Jobs for each queue, before the failover, during it and after it. */
const JOBS = 30;
const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);

async function failShard(t: Deno.TestContext, pair: Pair): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const store = await openFileStore(folder);
  const database = stack.use(await createTestDatabase("catalog"));
  const options = { maxConnections: 4, statementTimeoutMs: 10_000 };
  const catalog = stack.adopt(connectDatabase(database.url, options), (db) => db.close());
  await migrate(catalog);
  const openShard = async (name: string, url?: string) => {
    const shard = await addShard({ db: catalog, url: database.url }, name, url);
    stack.defer(() => shard.close());
    await adoptStore({ db: shard, store });
    await addRepoIn(catalog, shard, `repo-${name}`);
    return shard;
  };
  const steady = await openShard("steady"), failing = await openShard("failing", pair.url);
  const env = {
    DATABASE_URL: database.url,
    MPACK_STORE: `file://${folder}`,
    MPACK_CONCURRENCY: "2",
    MPACK_LEASE_MS: "5000",
    MPACK_POLL_MS: "1000",
  };
  const workers: MpackdProcess[] = [];
  stack.defer(async () => {
    for (const worker of workers) worker.kill("SIGKILL");
    await Promise.all(workers.map(({ ended }) => ended));
  });
  for (let i = 0; i < WORKERS; i++) workers.push(startProcess(["worker"], env));
  for (const worker of workers) {
    await worker.line(({ message, shard }) =>
      message === "Listening for new jobs" && shard === "failing"
    );
  }
  // What follows a step that failed would only hide why.
  const step = async (name: string, run: () => Promise<void>) => {
    if (!await t.step(name, run)) {
      throw new Error(`the step failed; the pair's log:\n${await pair.log()}`);
    }
  };
  let seed = 1;
  const added = { steady: [] as string[], failing: [] as string[], forwarded: [] as string[] };
  const add = async (kind: keyof typeof added) => {
    const contents = Array.from({ length: OBJECTS }, () => sampleBytes(200, seed++));
    const bytes = buildMpack({ objects: contents.map((content) => object({ content })) });
    const key = mpackKey(bytes), repoId = kind === "steady" ? "repo-steady" : "repo-failing";
    await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]), {
      sizeBytes: bytes.length,
    });
    const jobId = `${kind}-${seed}`, payload = JSON.stringify({ mpack_key: key });
    const queue = { steady, failing, forwarded: catalog }[kind];
    await insistInsert(queue, { jobId, repoId, payload });
    added[kind].push(jobId);
  };

  await step("the primary of one shard is lost; the other shard's jobs go on", async () => {
    for (let i = 0; i < JOBS; i++) {
      for (const kind of ["steady", "failing", "forwarded"] as const) await add(kind);
    }
    let isOver = false, doneMeanwhile = 0;
    const over = pair.fail().then(() => isOver = true);
    for (let i = 0; i < JOBS || !isOver; i++) {
      await add("steady");
      if (i < JOBS) await add("forwarded");
      const [id] = added.steady.slice(-1);
      await untilDone(steady, [id]);
      if (!isOver) doneMeanwhile++;
    }
    await over;
    console.log(`${doneMeanwhile} jobs of the other shard ended before the new primary was there`);
    assert(doneMeanwhile > 0);
    for (let i = 0; i < JOBS; i++) {
      for (const kind of ["steady", "failing", "forwarded"] as const) await add(kind);
    }
  });

  await step("nothing is lost or doubled, in the shard and in the catalog's queue", async () => {
    await untilDone(steady, added.steady);
    await untilDone(failing, added.failing);
    await untilDone(catalog, added.forwarded);
    for (
      const [shard, jobs] of [
        [steady, added.steady.length],
        [failing, added.failing.length + added.forwarded.length],
      ] as const
    ) {
      const [sums] = await shard.query<Record<string, number>>("count")`
        select (select count(*) from musehub_mpacks) as mpacks,
          (select count(*) from musehub_object_refs) as refs,
          (select count(*) from musehub_objects) as objects,
          (select sum((result->>'objects_written')::int) from musehub_background_jobs) as written,
          (select count(*) from musehub_background_jobs where status <> 'done') as open`;
      const objects = jobs * OBJECTS;
      assert.deepEqual(sums, { mpacks: jobs, refs: objects, objects, written: objects, open: 0 });
    }
    const [left] = await catalog.query<Record<string, number>>("count")`
      select (select count(*) from musehub_mpacks) as strays,
        (select count(*) from mpackd_forwarded_jobs) as forwarded,
        (select count(*) from musehub_background_jobs where status <> 'done') as open`;
    assert.deepEqual(left, { strays: 0, forwarded: 0, open: 0 });
  });

  await step("the lost server comes back as a standby, and all processes end well", async () => {
    await pair.rejoin();
    await add("failing");
    const [id] = added.failing.slice(-1);
    await untilDone(failing, [id]);
    for (const worker of workers) worker.kill("SIGTERM");
    for (const { ended, lines } of workers) {
      assert.equal((await ended).code, 0, JSON.stringify(lines.slice(-5)));
      assert(!lines.some(({ message }) => /uncaught|unhandled|defect/i.test(message)));
      const away = lines.filter(({ message }) => /^Shard .* is away/.test(message));
      assert(away.length > 0 && away.every(({ shard }) => shard === "failing"));
    }
  });
}

/** Inserts as a program does that waits for its database: Patroni may demote the new primary again. */
async function insistInsert(db: Database, job: Parameters<typeof insertForeign>[1]): Promise<void> {
  let found: unknown;
  await until(`${job.jobId} is in the queue`, async () => {
    try {
      await insertForeign(db, job);
      return true;
    } catch (error) {
      found = (error as Error).message;
      // The answer to the first one was lost.
      if (codeOf((error as Error).cause) === "23505") return true;
      assert(error instanceof DatabaseError && error.retryable, String(error));
      return false;
    }
  }, { everyMs: 100, found: () => found });
}

async function untilDone(db: Database, jobIds: readonly string[]): Promise<void> {
  let found: unknown;
  for (const jobId of jobIds) {
    const isDone = async () => {
      try {
        [found] = await db.query<{ status: string }>("look for a job")`
          select status, last_error from musehub_background_jobs where job_id = ${jobId}`;
      } catch (error) {
        found = (error as Error).message;
      }
      const { status } = (found ?? {}) as { status?: string };
      assert.notEqual(status, "failed", JSON.stringify(found));
      return status === "done";
    };
    await until(`${jobId} is done`, isDone, { everyMs: 10, found: () => found ?? "no such row" });
  }
}

Deno.test({
  name: "a failover of one shard by Patroni and etcd loses nothing and stops no other shard",
  ignore: !hasPatroni,
  fn: (t) => withPatroni((pair) => failShard(t, pair)),
});

Deno.test({
  name: "a failover of one shard by hand loses nothing and stops no other shard",
  ignore: !hasPostgres15,
  fn: (t) => withPromotion((pair) => failShard(t, pair)),
});
