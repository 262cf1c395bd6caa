import assert from "node:assert/strict";
import { publish } from "../../../src/db/publish/publish.ts";
import { stageBatch } from "../../../src/db/publish/stage.ts";
import { LeaseLostError } from "../../../src/errors.ts";
import { getJob } from "../../../src/jobs/queue/mod.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { dumpContent } from "../../support/postgres/publish_oracle.ts";
import { addRepos, dumpTables, openTestDatabase } from "../../support/postgres/database.ts";
import { columns, pack, REPO_ID, startJob, takeOver } from "../../support/process/leases.ts";

const ROWS = columns(["b", 3], ["a", 0], ["c", 7]);

async function open() {
  const test = await openTestDatabase();
  await addRepos(test.db, REPO_ID, "repo-2");
  return test;
}

Deno.test("publish() makes a small pack visible and its job done, in one statement", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  const done = await publish(db, job, pack({ inline: ROWS }));
  assert(done.outcome === "published");
  assert.deepEqual(
    [done.objectsWritten, done.objectRefsWritten, done.duplicateObjects],
    [3, 3, 0],
  );
  const refs = await db.sql`select object_id, mpack_id, content_offset, size_bytes
    from musehub_object_refs order by object_id`;
  assert.deepEqual([...refs], [
    { object_id: "a", mpack_id: done.mpackId, content_offset: 23, size_bytes: 0 },
    { object_id: "b", mpack_id: done.mpackId, content_offset: 15, size_bytes: 3 },
    { object_id: "c", mpack_id: done.mpackId, content_offset: 28, size_bytes: 7 },
  ]);
  const row = await getJob(db, job.jobId);
  assert.equal(row!.status, "done");
  assert.deepEqual(row!.result, done.result);
  const { phases_ms, elapsed_ms, ...rest } = done.result as {
    phases_ms: Record<string, number>;
    elapsed_ms: number;
  };
  assert.equal(elapsed_ms, 5 + phases_ms.publish);
  assert.equal(phases_ms.open, 1);
  assert.deepEqual(rest, {
    job_id: job.jobId,
    repo_id: REPO_ID,
    mpack_key: "sha256:aa",
    objects_written: 3,
    object_refs_written: 3,
    duplicate_objects: 0,
    commits_written: 0,
    snapshots_written: 0,
    tags_written: 0,
  });
});

Deno.test("publish() of a pack that is there already changes no row and no sequence", async (t) => {
  await using test = await open();
  const { db } = test;
  await publish(db, await startJob(db), pack({ inline: ROWS }));
  const before = await dumpTables(db);
  await t.step("from memory", async () => {
    const done = await publish(db, await startJob(db), pack({ inline: ROWS }));
    assert(done.outcome === "published");
    assert.deepEqual([done.objectsWritten, done.objectRefsWritten], [0, 0]);
    assert.deepEqual(await dumpTables(db), before);
  });
  await t.step("from the staging table", async () => {
    const job = await startJob(db);
    await stageBatch(db, job, {
      leaseMs: 60_000,
      batch: 0,
      progress: {},
      rows: ROWS,
      repoId: REPO_ID,
    });
    await publish(db, job, pack({ batches: 1, objects: 3 }));
    assert.deepEqual(await dumpTables(db), before);
  });
  await t.step("a blob that moved is followed", async () => {
    await publish(db, await startJob(db), pack({ inline: ROWS, etag: "e2" }));
    assert.deepEqual([...await db.sql`select etag from musehub_mpacks`], [{ etag: "e2" }]);
  });
});

Deno.test("publish() takes staged batches and the rest from memory, and clears the stage", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  const stage = { leaseMs: 60_000, progress: {}, repoId: REPO_ID };
  await stageBatch(db, job, { ...stage, batch: 0, rows: columns(["d", 1], ["c", 1]) });
  await stageBatch(db, job, { ...stage, batch: 1, rows: columns(["b", 1]) });
  await stageBatch(db, job, { ...stage, batch: 2, rows: columns(["x", 1]) });
  const done = await publish(
    db,
    job,
    pack({ batches: 2, objects: 4, inline: columns(["a", 1]) }),
  );
  assert.equal(done.outcome, "published");
  const { objects, staged } = await dumpTables(db);
  assert.deepEqual(objects.map((row) => (row as { object_id: string }).object_id), [
    "a",
    "b",
    "c",
    "d",
  ]);
  assert.deepEqual(staged, []);
});

Deno.test("publish() under a lost lease writes nothing", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  await stageBatch(db, job, {
    leaseMs: 60_000,
    batch: 0,
    progress: {},
    rows: ROWS,
    repoId: REPO_ID,
  });
  const before = await dumpTables(db);
  const successor = await takeOver(db, job.jobId);
  await assert.rejects(publish(db, job, pack({ batches: 1, objects: 3 })), LeaseLostError);
  assert.deepEqual(await dumpTables(db), before);
  assert.equal(
    (await publish(db, successor, pack({ batches: 1, objects: 3 }))).outcome,
    "published",
  );
  await assert.rejects(publish(db, successor, pack({ inline: ROWS })), LeaseLostError);
});

Deno.test("publish() changes nothing when rows are missing or contradict each other", async (t) => {
  await using test = await open();
  const { db } = test;
  const before = await dumpTables(db);
  await t.step("staged rows lost", async () => {
    const job = await startJob(db);
    await stageBatch(db, job, {
      leaseMs: 60_000,
      batch: 0,
      progress: {},
      rows: ROWS,
      repoId: REPO_ID,
    });
    await db.sql`truncate mpack_staged_objects`;
    assert.deepEqual(await publish(db, job, pack({ batches: 1, objects: 3 })), {
      outcome: "rows-missing",
      found: 0,
      expected: 3,
    });
    assert.equal((await getJob(db, job.jobId))!.status, "running");
    assert.deepEqual(await dumpTables(db), before);
  });
  await t.step("one id with two sizes", async () => {
    const job = await startJob(db);
    const inline = columns(["b", 3], ["a", 1], ["b", 4], ["a", 1]);
    assert.deepEqual(await publish(db, job, pack({ inline })), {
      outcome: "conflict",
      objectId: "b",
      firstOffset: 15,
      secondOffset: inline.contentOffsets[2],
    });
    assert.equal((await getJob(db, job.jobId))!.status, "running");
    assert.deepEqual(await dumpTables(db), before);
  });
});

Deno.test("publish() counts an id that comes twice, and the first place wins", async () => {
  await using test = await open();
  const { db } = test;
  const inline = columns(["b", 3], ["a", 1], ["b", 3], ["b", 3]);
  const done = await publish(db, await startJob(db), pack({ inline }));
  assert(done.outcome === "published");
  assert.deepEqual([done.objectsWritten, done.duplicateObjects], [2, 2]);
  const [row] = await db.sql`select content_offset from musehub_object_refs where object_id = 'b'`;
  assert.equal(row.content_offset, 15);
});

Deno.test("publish() of an empty pack is a pack with no objects", async () => {
  await using test = await open();
  const done = await publish(test.db, await startJob(test.db), pack({}));
  assert(done.outcome === "published");
  assert.equal(done.objectsWritten, 0);
  assert.equal((await dumpTables(test.db)).mpacks.length, 1);
});

Deno.test("publish() replaces a damaged location, and no other", async () => {
  await using test = await open();
  const { db } = test;
  await publish(db, await startJob(db), pack({ inline: ROWS }));
  await publish(db, await startJob(db, "repo-2"), pack({ repoId: "repo-2", inline: ROWS }));
  await db.sql`update musehub_object_refs set damaged_at = now() where object_id = 'a'`;
  const next = pack({ mpackKey: "sha256:bb", inline: columns(["c", 7], ["a", 0]) });
  const done = await publish(db, await startJob(db), next);
  assert(done.outcome === "published");
  assert.deepEqual([done.objectRefsWritten, done.healedRefs], [0, 1]);
  const rows = await db.sql`select repo_id, object_id, mpack_id = ${done.mpackId} as is_new,
      damaged_at is not null as is_damaged
    from musehub_object_refs where object_id in ('a', 'c') order by 1, 2`.values();
  assert.deepEqual([...rows], [
    ["repo-1", "a", true, false],
    ["repo-1", "c", false, false],
    ["repo-2", "a", false, true],
    ["repo-2", "c", false, false],
  ]);
});

Deno.test("publish() inserts in the order of ids, as every writer does, however they come", async (t) => {
  const first: [string, number][] = [["a", 1], ["b", 1]], second: [string, number][] = [["c", 1]];
  const last: [string, number][] = [["d", 1]];
  for (
    const [sortedUnique, batches] of [[true, [first, second, last]], [false, [last, first, second]]]
  ) {
    await t.step(`told that they are sorted: ${sortedUnique}`, async () => {
      await using test = await open();
      const { db } = test;
      const job = await startJob(db);
      const [one, two, inline] = (batches as typeof first[]).map((rows) => columns(...rows));
      // The second batch lies before the first.
      for (const [batch, rows] of [[1, two], [0, one]] as const) {
        await stageBatch(db, job, { leaseMs: 60_000, progress: {}, repoId: REPO_ID, rows, batch });
      }
      const done = await publish(
        db,
        job,
        pack({ inline, batches: 2, objects: 4, sortedUnique: sortedUnique as boolean }),
      );
      assert.equal(done.outcome, "published");
      const { objects, refs } = {
        objects: await db.sql`select object_id from musehub_objects order by ctid`,
        refs: await db.sql`select object_id from musehub_object_refs order by ctid`,
      };
      for (const rows of [objects, refs]) {
        assert.deepEqual(rows.map(({ object_id }) => object_id), ["a", "b", "c", "d"]);
      }
    });
  }
});

Deno.test("publish() of freshly staged batches inserts what was new, and leaves the same rows", async (t) => {
  const dump = async (isStageFresh: boolean, meanwhile?: (db: Database) => Promise<unknown>) => {
    await using test = await open();
    const { db } = test;
    await publish(db, await startJob(db), pack({ mpackKey: "old", inline: columns(["b", 1]) }));
    const theirs = pack({ mpackKey: "2", repoId: "repo-2", inline: columns(["d", 1], ["f", 1]) });
    await publish(db, await startJob(db, "repo-2"), theirs);
    await db.sql`update musehub_object_refs set damaged_at = now() where object_id = 'b'`;
    const job = await startJob(db);
    const [one, two] = [columns(["a", 1], ["b", 1]), columns(["c", 1], ["d", 1])];
    for (const [batch, rows] of [one, two].entries()) {
      await stageBatch(db, job, { leaseMs: 60_000, progress: {}, repoId: REPO_ID, rows, batch });
    }
    await meanwhile?.(db);
    const inline = columns(["e", 1], ["f", 1]);
    const done = await publish(
      db,
      job,
      pack({ batches: 2, objects: 6, inline, sortedUnique: true, isStageFresh }),
    );
    assert(done.outcome === "published");
    const { objectsWritten, objectRefsWritten, healedRefs } = done;
    return {
      counts: [objectsWritten, objectRefsWritten, healedRefs],
      content: await dumpContent(db),
    };
  };
  const careful = await dump(false);
  assert.deepEqual(careful.counts, [3, 5, 1]);
  await t.step("nothing has changed since", async () => {
    assert.deepEqual(await dump(true), careful);
  });
  for (const table of ["musehub_objects", "musehub_object_refs"]) {
    await t.step(`a row has come since: ${table}`, async () => {
      const add = async (db: Database) => {
        if (table === "musehub_objects") {
          await db.sql`insert into musehub_objects (object_id) values ('c')`;
        } else {
          await db.sql`insert into musehub_object_refs (repo_id, object_id)
            values (${REPO_ID}, 'c')`;
        }
      };
      const expected = await dump(false, add), found = await dump(true, add);
      assert.deepEqual(found, expected);
    });
  }
});

Deno.test("publish() of packs that share ids, by four writers at once, never deadlocks", async () => {
  await using test = await openTestDatabase({ maxConnections: 4 });
  const { db } = test;
  await addRepos(db, REPO_ID);
  const ids = Array.from({ length: 3_000 }, (_, i) => `id-${(i * 7919) % 3_000}`);
  const writer = async (w: number) => {
    for (let round = 0; round < 6; round++) {
      const turned = [...ids.slice(w * 500 + round * 50), ...ids.slice(0, w * 500 + round * 50)];
      const rows = columns(...turned.map((id): [string, number] => [id, 1]));
      const job = await startJob(db);
      const done = await publish(
        db,
        job,
        pack({ mpackKey: `sha256:${round}`, inline: rows }),
      );
      assert.equal(done.outcome, "published");
      // The next round begins with new ids, so that inserts meet.
      ids.forEach((_, i) => ids[i] = `${round}-${w}-${ids[i]}`.slice(-9));
    }
  };
  await Promise.all([0, 1, 2, 3].map(writer));
  const [{ duplicates }] = await db.sql`select count(*) - count(distinct mpack_key) as duplicates
    from musehub_mpacks`;
  assert.equal(duplicates, 0);
});
