import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { publish, type PublishOptions } from "../../../src/db/publish/publish.ts";
import type { PublishOutcome } from "../../../src/db/publish/publish_outcome.ts";
import type { PublishPack } from "../../../src/db/publish/publish_pack.ts";
import { Publisher } from "../../../src/db/publish/publisher.ts";
import { stageBatch } from "../../../src/db/publish/stage.ts";
import { writeObjects } from "../../../src/db/publish/write_objects.ts";
import { CancelledError, LeaseLostError } from "../../../src/errors.ts";
import { cancelJob, getJob, type Job } from "../../../src/jobs/queue/mod.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { openGate } from "../../support/postgres/gate.ts";
import { dumpContent } from "../../support/postgres/publish_oracle.ts";
import { columns, pack, REPO_ID, startJob, takeOver } from "../../support/process/leases.ts";

const BATCHES = [["a1", "a2"], ["m1", "m2"], ["x1", "x2"]];

async function open() {
  const test = await openTestDatabase({ maxConnections: 8 });
  await addRepos(test.db, REPO_ID, "repo-2");
  return test;
}

/** A job with three staged batches. */
async function startLarge(db: Database, { isFresh = true, sortedUnique = true } = {}) {
  const job = await startJob(db);
  for (const [batch, ids] of BATCHES.entries()) {
    const rows = columns(...ids.map((id): [string, number] => [id, 1]));
    await stageBatch(db, job, { leaseMs: 60_000, progress: {}, repoId: REPO_ID, rows, batch });
  }
  const large = pack({ batches: 3, objects: 6, sortedUnique, isStageFresh: isFresh });
  return { job, large };
}

/** Publishes a small pack of another repo. */
async function publishOther(db: Database, ids: string[]): Promise<PublishOutcome> {
  return await publish(db, await startJob(db, "repo-2"), otherPack(ids));
}

function otherPack(ids: string[], changes: Partial<PublishPack> = {}): PublishPack {
  const mpackKey = `sha256:other-${ids}`;
  return pack({
    repoId: "repo-2",
    mpackKey,
    storageUri: `mpack://${mpackKey}`,
    inline: columns(...ids.map((id): [string, number] => [id, 1])),
    sortedUnique: true,
    ...changes,
  });
}

/** Has the insert of one row of a table wait at a gate. */
async function pauseAt(db: Database, table: string, row: string, key: number): Promise<void> {
  await db.sql.unsafe(`
    create function pause_${key}() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock(${key}); return new; end $$;
    create trigger pause_${key} after insert on ${table} for each row when (${row})
    execute function pause_${key}();`);
}

Deno.test("another repo waits for one batch of a large pack's objects, and not for its publish", async () => {
  await using test = await open();
  const { db } = test;
  const { job, large } = await startLarge(db);
  await pauseAt(db, "musehub_objects", "new.object_id = 'm2'", 1);
  await pauseAt(
    db,
    "musehub_object_refs",
    `new.repo_id = '${REPO_ID}' and new.object_id = 'x2'`,
    2,
  );
  await using batch = await openGate(test.url, 1);
  await using last = await openGate(test.url, 2);
  await batch.close();
  await last.close();
  const publishing = publish(db, job, large);
  await batch.waiting(1);
  // The second batch hangs with m1 and m2. The first is committed, the third has not begun.
  assert.equal((await publishOther(db, ["a1", "x1"])).outcome, "published");
  const sharing = publishOther(db, ["m1"]);
  await batch.waiting(2);
  await batch.open();
  // The large pack has written its refs and hangs; whoever shares an object with it goes on.
  const shared = await sharing;
  assert(shared.outcome === "published");
  assert.deepEqual([shared.objectsWritten, shared.objectRefsWritten], [0, 1]);
  await last.waiting(1);
  assert.equal((await publishOther(db, ["m2", "x2"])).outcome, "published");
  assert.equal((await getJob(db, job.jobId))!.status, "running");
  await last.open();
  const done = await publishing;
  assert(done.outcome === "published");
  // The other repo brought x1 first.
  assert.deepEqual([done.objectsWritten, done.objectRefsWritten], [5, 6]);
});

Deno.test("a publish that dies between two batches is finished by the next claim, counts included", async (t) => {
  const expected = await (async () => {
    await using test = await open();
    const { job, large } = await startLarge(test.db);
    await publish(test.db, job, large);
    return await dumpContent(test.db);
  })();
  for (const sortedUnique of [true, false]) {
    for (const isFresh of [true, false]) {
      // Sorted rows stay in their three batches, others make one.
      for (let survived = 0; survived <= (sortedUnique ? 4 : 2); survived++) {
        const name = `sorted ${sortedUnique}, fresh ${isFresh}, after ${survived} statements`;
        await t.step(name, async () => {
          await using test = await open();
          const { db } = test;
          const { job, large } = await startLarge(db, { isFresh, sortedUnique });
          let sent = 0;
          const dying: Database = {
            ...db,
            intercept: (query) => sent++ < survived ? query : Promise.reject(new Error("died")),
          };
          await assert.rejects(publish(dying, job, large), /died/);
          assert.equal((await db.sql`select from musehub_object_refs`).length, 0);
          const successor = await takeOver(db, job.jobId);
          await assert.rejects(publish(db, job, large), LeaseLostError);
          // Its batches were staged by the attempt before.
          const done = await publish(db, successor, { ...large, isStageFresh: false });
          assert(done.outcome === "published");
          assert.deepEqual([done.objectsWritten, done.objectRefsWritten], [6, 6]);
          assert.equal(done.result.objects_written, 6);
          assert.equal(await dumpContent(db), expected);
          const [{ counting }] = await db.sql`select count(objects_written)::int as counting
            from musehub_background_jobs`;
          assert.equal(counting, 0);
          assert.equal((await db.sql`select from mpack_staged_objects`).length, 0);
        });
      }
    }
  }
});

Deno.test("a publish is stopped between two batches, and nothing is visible", async (t) => {
  const stopped = async (
    stop: (db: Database, job: Job) => Promise<unknown>,
    error: RegExp | typeof CancelledError,
    options: PublishOptions = {},
  ) => {
    await using test = await open();
    const { db } = test;
    const { job, large } = await startLarge(db);
    let batches = 0;
    const watched: Database = {
      ...db,
      intercept: async <T>(query: PromiseLike<T>, action: string) => {
        if (action === "write objects" && ++batches === 2) await stop(db, job);
        return await query;
      },
    };
    await assert.rejects(publish(watched, job, large, options), error);
    assert.equal(batches, 2);
    const rows = await db.sql`select from musehub_object_refs union all select from musehub_mpacks`;
    assert.equal(rows.length, 0);
  };
  await t.step(
    "the job is to be cancelled",
    () => stopped((db, job) => cancelJob(db, job.jobId), CancelledError),
  );
  const stop = new AbortController();
  await t.step(
    "the worker stops",
    () =>
      stopped(() => Promise.resolve(stop.abort(new Error("stopping"))), /stopping/, {
        signal: stop.signal,
      }),
  );
});

Deno.test("a publish writes the objects of a long batch in several statements", async () => {
  await using test = await open();
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const ids = Array.from({ length: 20_001 }, (_, i): [string, number] => [`id-${100_000 + i}`, 1]);
  const job = await startJob(db);
  const rows = columns(...ids), stage = { leaseMs: 60_000, progress: {}, repoId: REPO_ID };
  await stageBatch(db, job, { ...stage, batch: 0, rows });
  const long = pack({ batches: 1, objects: ids.length, sortedUnique: true, isStageFresh: true });
  const done = await publish(db, job, long);
  assert(done.outcome === "published");
  assert.deepEqual([done.objectsWritten, done.objectRefsWritten], [20_001, 20_001]);
  assert.equal(sent.filter((action) => action === "write objects").length, 3);
  const [{ found }] = await db.sql`select count(*)::int as found from musehub_objects`;
  assert.equal(found, 20_001);
});

Deno.test("a publish whose objects are all known writes none of them, and no count", async () => {
  await using test = await open();
  const { db } = test;
  const first = await startLarge(db);
  await publish(db, first.job, first.large);
  const sent: string[] = [];
  const watched: Database = { ...db, intercept: (query, action) => (sent.push(action), query) };
  const again = await startLarge(db);
  const done = await publish(watched, again.job, again.large);
  assert(done.outcome === "published");
  assert.deepEqual([done.objectsWritten, done.objectRefsWritten], [0, 0]);
  assert.deepEqual(sent, ["prepare a publish", "publish a pack"]);
});

Deno.test("writeObjects() of a worker that lost its lease writes nothing", async () => {
  await using test = await open();
  const { db } = test;
  const { job } = await startLarge(db);
  await takeOver(db, job.jobId);
  const slice = { batch: 0, firstRow: 1, lastRow: 9, storageUri: "mpack://a", isFresh: true };
  await assert.rejects(writeObjects(db, job, slice), LeaseLostError);
  assert.equal((await db.sql`select from musehub_objects`).length, 0);
});

Deno.test("a group does not keep one repo's pack waiting for a lock that another's needs", async () => {
  await using test = await open();
  const { db } = test, publisher = new Publisher(db);
  await pauseAt(db, "musehub_object_refs", `new.object_id = 'held'`, 1);
  await using gate = await openGate(test.url);
  await gate.close();
  // Another publish of this repo has written the ref of "held" and is not done.
  const { job } = await startLarge(db);
  const holding = publish(db, job, pack({ inline: columns(["held", 1]) }));
  await gate.waiting(1);
  const packs = [
    otherPack(["first"]),
    otherPack(["held"], { repoId: REPO_ID }),
    otherPack(["free"]),
  ];
  const jobs: Job[] = [];
  for (const { repoId } of packs) jobs.push(await startJob(db, repoId));
  const [first, held, free] = packs.map((pack, i) => publisher.publish(jobs[i], pack));
  assert.deepEqual([(await first).outcome, (await free).outcome], ["published", "published"]);
  assert.equal((await getJob(db, jobs[1].jobId))!.status, "running");
  await gate.open();
  assert.deepEqual([(await held).outcome, (await holding).outcome], ["published", "published"]);
});
