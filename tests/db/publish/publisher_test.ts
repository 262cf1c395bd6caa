import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { ClientPublishers } from "../../../src/db/publish/client_publishers.ts";
import { OptimisticInsert } from "../../../src/db/publish/optimistic_insert.ts";
import { publish } from "../../../src/db/publish/publish.ts";
import type { PublishOutcome } from "../../../src/db/publish/publish_outcome.ts";
import type { PublishPack } from "../../../src/db/publish/publish_pack.ts";
import { publishPacks, type PublishPacksOptions } from "../../../src/db/publish/publish_packs.ts";
import { Publisher } from "../../../src/db/publish/publisher.ts";
import { stageBatch } from "../../../src/db/publish/stage.ts";
import { DatabaseError, LeaseLostError } from "../../../src/errors.ts";
import { KeyedLimit } from "../../../src/lib/keyed_limit.ts";
import { getJob, type Job } from "../../../src/jobs/queue/mod.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { columns, pack, REPO_ID, startJob, takeOver } from "../../support/process/leases.ts";
import { dumpContent } from "../../support/postgres/publish_oracle.ts";

const DEADLINE = { deadlineMs: 30_000 };

async function open() {
  const test = await openTestDatabase({ maxConnections: 8 });
  await addRepos(test.db, REPO_ID, "repo-2");
  return test;
}

/** Notes how each optimistic insert ended: true for a conflict. */
class WatchedInsert extends OptimisticInsert {
  readonly conflicts: boolean[] = [];

  override learn(conflict: string | null | undefined): void {
    this.conflicts.push(Boolean(conflict));
    super.learn(conflict);
  }
}

/** A small pack of these ids, named by its letter. */
function small(letter: string, ids: string, changes: Partial<PublishPack> = {}): PublishPack {
  return pack({
    mpackKey: `sha256:${letter}`,
    storageUri: `mpack://sha256:${letter}`,
    blobKey: `mpacks/${changes.repoId ?? REPO_ID}/sha256:${letter}`,
    inline: columns(...[...ids].map((id, i): [string, number] => [id, i])),
    sortedUnique: true,
    ...changes,
  });
}

async function start(db: Database, packs: readonly PublishPack[]) {
  const started: { lease: Job; pack: PublishPack }[] = [];
  for (const pack of packs) started.push({ lease: await startJob(db, pack.repoId), pack });
  return started;
}

function written(outcome: PublishOutcome | undefined): number[] | undefined {
  if (outcome?.outcome !== "published") return undefined;
  return [outcome.objectsWritten, outcome.objectRefsWritten];
}

for (const optimistic of [undefined, new OptimisticInsert()]) {
  const name = optimistic ? "publishPacks() with optimistic inserts" : "publishPacks()";
  Deno.test(`${name} leaves what publishing one by one leaves, and counts for each`, () =>
    leavesTheSame({ ...DEADLINE, optimistic }));
  Deno.test(`${name} inserts refs before objects, each in the order of their keys`, () =>
    insertsInOrder({ ...DEADLINE, optimistic }));
}

async function leavesTheSame(options: PublishPacksOptions) {
  const packs = () => [
    small("a", "abx"),
    small("b", "bcx"),
    small("c", "x", { repoId: "repo-2" }),
    small("d", "", { commits: 0 }),
  ];
  await using together = await open();
  await using single = await open();
  const group = await start(together.db, packs());
  const outcomes = await publishPacks(together.db, group, options);
  const expected: (number[] | undefined)[] = [];
  for (const { lease, pack } of await start(single.db, packs())) {
    expected.push(written(await publish(single.db, lease, pack)));
  }
  assert.deepEqual(group.map(({ lease }) => written(outcomes.get(lease.jobId))), expected);
  assert.deepEqual(expected, [[3, 3], [1, 1], [0, 1], [0, 0]]);
  assert.deepEqual(await dumpContent(together.db), await dumpContent(single.db));
  for (const { lease } of group) {
    const row = (await getJob(together.db, lease.jobId))!, done = outcomes.get(lease.jobId)!;
    assert(done.outcome === "published");
    assert.equal(row.status, "done");
    assert.deepEqual(row.result, done.result);
    assert.equal(done.result.job_id, lease.jobId);
    assert.equal(done.result.object_refs_written, done.objectRefsWritten);
  }
}

Deno.test("publishPacks() judges each pack of a group by itself", async (t) => {
  await using test = await open();
  const { db } = test;
  const judged = async (
    name: string,
    pack: PublishPack,
    expected: Partial<PublishOutcome> | undefined,
    prepare: (job: Job) => Promise<unknown>,
  ) => {
    await t.step(name, async () => {
      const [odd, plain] = await start(db, [pack, small(`plain ${name}`, "n")]);
      await prepare(odd.lease);
      const before = await getJob(db, odd.lease.jobId);
      const outcomes = await publishPacks(db, [odd, plain], DEADLINE);
      assert.equal(outcomes.get(plain.lease.jobId)!.outcome, "published");
      const found = outcomes.get(odd.lease.jobId);
      if (expected?.outcome === "published") {
        return assert.deepEqual(found, { ...found, ...expected });
      }
      assert.deepEqual(found, expected);
      assert.deepEqual(await getJob(db, odd.lease.jobId), before);
      const rows = await db.sql`select object_id from musehub_object_refs where object_id = 'o'
        union all select object_id from musehub_objects where object_id = 'o'`;
      assert.equal(rows.length, 0);
    });
  };
  await judged("a lost lease", small("lost", "o"), undefined, (job) => takeOver(db, job.jobId));
  const addTombstone = (name: string) =>
    db.sql`insert into mpackd_tombstones (name) values (${name})`;
  const tombstoned = small("tombstoned", "o");
  await judged(
    "a tombstone for the blob",
    tombstoned,
    { outcome: "tombstoned" },
    () => addTombstone(tombstoned.blobKey),
  );
  const gone = small("gone", "o", { repoId: "repo-2" });
  await judged(
    "a tombstone for the repo",
    gone,
    { outcome: "tombstoned" },
    () => addTombstone("repo-2"),
  );
  await db.sql`delete from mpackd_tombstones`;
  const missing = { outcome: "rows-missing", found: 1, expected: 2 } as const;
  await judged("missing rows", small("cut", "o", { objects: 2 }), missing, () => Promise.resolve());
  const twice = columns(["o", 1], ["p", 1], ["o", 2]);
  const conflict = {
    outcome: "conflict",
    objectId: "o",
    firstOffset: twice.contentOffsets[0],
    secondOffset: twice.contentOffsets[2],
  } as const;
  const torn = small("torn", "", { inline: twice, objects: 3, sortedUnique: false });
  await judged("one id with two sizes", torn, conflict, () => Promise.resolve());
  const isPublished = { outcome: "published" } as const;
  await judged("a moved blob", small("moved", "m"), isPublished, async () => {
    await publish(db, await startJob(db), { ...small("moved", ""), etag: "before" });
  });
  const [{ etag }] = await db.sql`select etag from musehub_mpacks where mpack_key = 'sha256:moved'`;
  assert.equal(etag, "e1");
  const healed = { outcome: "published", healedRefs: 1, objectRefsWritten: 1 } as const;
  await judged("a damaged ref", small("heals", "hi", { repoId: "repo-2" }), healed, async () => {
    await publish(db, await startJob(db, "repo-2"), small("hurts", "h", { repoId: "repo-2" }));
    await db.sql`update musehub_object_refs set damaged_at = now() where object_id = 'h'`;
  });
});

async function insertsInOrder(options: PublishPacksOptions) {
  await using test = await open();
  const { db } = test;
  await db.sql`create table inserted (place serial, key text)`;
  await db.sql.unsafe(`
    create function note_insert() returns trigger language plpgsql as $$
    begin
      insert into inserted (key) values (tg_table_name || ' ' || new.object_id);
      return new;
    end $$`);
  for (const table of ["musehub_objects", "musehub_object_refs"]) {
    await db.sql`create trigger note_insert before insert on ${db.sql(table)}
      for each row execute function note_insert()`;
  }
  const packs = [small("a", "bd", { repoId: "repo-2" }), small("b", "ce"), small("c", "a")];
  await publishPacks(db, await start(db, packs), options);
  const rows = await db.sql<{ key: string }[]>`select key from inserted order by place`;
  assert.deepEqual(rows.map(({ key }) => key.replace("musehub_", "")), [
    ...[..."acebd"].map((id) => `object_refs ${id}`),
    ...[..."abcde"].map((id) => `objects ${id}`),
  ]);
}

Deno.test("Publisher sends the first pack at once, and the others together", async () => {
  await using test = await open();
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const publisher = new Publisher(db);
  const jobs = await start(test.db, ["a", "b", "c", "d"].map((letter) => small(letter, letter)));
  const events: string[] = [];
  const outcomes = await Promise.all(
    jobs.map(({ lease, pack }) =>
      publisher.publish(lease, pack, { onSend: () => events.push(pack.mpackKey) })
    ),
  );
  assert.deepEqual(sent, ["publish a pack", "publish packs"]);
  assert.deepEqual(outcomes.map(written), jobs.map(() => [1, 1]));
  assert.deepEqual(events, jobs.map(({ pack }) => pack.mpackKey));
});

Deno.test("Publisher sends a second statement beside the first when many packs wait", async () => {
  await using test = await open();
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const publisher = new Publisher(db);
  const jobs = await start(test.db, [..."abcdefghijklmn"].map((letter) => small(letter, letter)));
  const events: string[] = [];
  const outcomes = jobs.map(({ lease, pack }) =>
    publisher.publish(lease, pack, { onSend: () => events.push(pack.mpackKey) })
  );
  // The first, and the twelve after it; the last waits for one of these two.
  assert.deepEqual(events, jobs.slice(0, -1).map(({ pack }) => pack.mpackKey));
  assert.deepEqual((await Promise.all(outcomes)).map(written), jobs.map(() => [1, 1]));
  assert.deepEqual(sent, ["publish a pack", "publish packs", "publish a pack"]);
});

Deno.test("publishPacks() reads no table from end to end, small or large when it was planned", async (t) => {
  const tables = ["background_jobs", "mpacks", "objects", "object_refs"].map((t) => `musehub_${t}`);
  const groupsReadNothing = async (db: Database, groups: number) => {
    const rowsRead = async () => {
      await db.sql`select pg_stat_force_next_flush()`;
      const [{ rows }] = await db.sql<{ rows: number }[]>`
        select sum(seq_tup_read)::int as rows from pg_stat_user_tables
        where relname in ${db.sql(tables)}`;
      return rows;
    };
    for (let group = 0; group < groups; group++) {
      const names = [..."abcdefghijklmnopqrst"].map((letter) => `${group}${letter}`);
      const jobs = await start(
        db,
        names.map((name) => small(name, "", { inline: columns([name, 1]), objects: 1 })),
      );
      const before = await rowsRead();
      assert.equal((await publishPacks(db, jobs, DEADLINE)).size, jobs.length);
      assert.equal(await rowsRead(), before, `group ${group}`);
    }
  };
  await t.step("small", async () => {
    await using test = await openTestDatabase({ maxConnections: 1 });
    await addRepos(test.db, REPO_ID);
    // Planned anew five times, then once for good; nobody analyzes.
    await groupsReadNothing(test.db, 8);
  });
  await t.step("large", async () => {
    await using test = await openTestDatabase({ maxConnections: 1 });
    const { db } = test;
    await addRepos(db, REPO_ID);
    await db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status)
      select 'old ' || n, ${REPO_ID}, 'mpack.index', '{}', 'done' from generate_series(1, 5000) n`;
    await db.sql`insert into musehub_mpacks (repo_id, mpack_key)
      select ${REPO_ID}, 'old ' || n from generate_series(1, 5000) n`;
    await db.sql`vacuum analyze musehub_background_jobs, musehub_mpacks`;
    await groupsReadNothing(db, 1);
  });
});

Deno.test("publishPacks() looks up an id that an optimistic insert found known", async () => {
  await using test = await open();
  const { db } = test, optimistic = new WatchedInsert();
  const known = `sha256:${"0".repeat(64)}`;
  const round = async (letter: string, repoId: string) => {
    const inline = columns([known, 1], [letter, 1]);
    const [with_, without] = await start(db, [
      small(letter, "", { inline, objects: 2, repoId }),
      small(`${letter}${letter}`, letter.toUpperCase()),
    ]);
    const outcomes = await publishPacks(db, [with_, without], { ...DEADLINE, optimistic });
    assert.deepEqual(written(outcomes.get(without.lease.jobId)), [1, 1]);
    return {
      written: written(outcomes.get(with_.lease.jobId)),
      conflict: optimistic.conflicts.at(-1),
    };
  };
  assert.deepEqual(await round("a", REPO_ID), { written: [2, 2], conflict: false });
  assert.deepEqual(await round("b", REPO_ID), { written: [1, 1], conflict: true });
  assert.deepEqual(await round("c", REPO_ID), { written: [1, 1], conflict: false });
  // Known to one repo is not known to another.
  assert.deepEqual(await round("d", "repo-2"), { written: [1, 2], conflict: false });
  await db.sql`delete from musehub_objects where object_id = ${known}`;
  assert.deepEqual(await round("e", "repo-2"), { written: [2, 1], conflict: false });
});

Deno.test("publishPacks() tells a known ref's id from its repo's", async () => {
  await using test = await open();
  const { db } = test, optimistic = new OptimisticInsert();
  const repoId = `sha256:${"a".repeat(64)}`, objectId = `sha256:${"b".repeat(64)}`;
  await addRepos(db, repoId);
  const round = async (letter: string) => {
    const inline = columns([objectId, 1]);
    const [job] = await start(db, [small(letter, "", { inline, objects: 1, repoId })]);
    const outcomes = await publishPacks(db, [job], { ...DEADLINE, optimistic });
    return written(outcomes.get(job.lease.jobId));
  };
  assert.deepEqual(await round("a"), [1, 1]);
  // Another program may have deleted it: only the ref is known.
  await db.sql`delete from musehub_objects`;
  assert.deepEqual(await round("b"), [1, 0]);
  assert.deepEqual([objectId, repoId].map((id) => optimistic.mayBeKnown(id)), [true, false]);
});

Deno.test("publishPacks() tries optimistic inserts less often the more of them fail", async () => {
  await using test = await open();
  const { db } = test, optimistic = new WatchedInsert();
  const id = (n: number) => `sha256:${n.toString(16).padStart(64, "0")}`;
  const inline = columns(...Array.from({ length: 20 }, (_, n): [string, number] => [id(n), 1]));
  const [all] = await start(db, [small("all", "", { inline, objects: 20 })]);
  await publish(db, all.lease, all.pack);
  const hasTried: boolean[] = [];
  for (let n = 0; n < 13; n++) {
    const before = optimistic.conflicts.length;
    const [job] = await start(db, [
      small(`known ${n}`, "", { inline: columns([id(n), 1]), objects: 1 }),
    ]);
    const outcomes = await publishPacks(db, [job], { ...DEADLINE, optimistic });
    assert.deepEqual(written(outcomes.get(job.lease.jobId)), [0, 0]);
    hasTried.push(optimistic.conflicts.length > before);
  }
  assert(optimistic.conflicts.every((isConflict) => isConflict));
  const tries = [...hasTried.entries()].flatMap(([n, tried]) => tried ? [n] : []);
  assert.deepEqual(tries, [0, 1, 4, 11]);
});

Deno.test("OptimisticInsert: a success makes it forget the conflicts before", () => {
  const optimistic = new OptimisticInsert();
  optimistic.learn("known");
  optimistic.learn(null);
  optimistic.learn("known");
  assert(optimistic.isDue());
  optimistic.learn("known");
  assert(!optimistic.isDue());
});

Deno.test("Publisher fails the job whose lease is lost, and no other of its group", async () => {
  await using test = await open();
  const { db } = test, publisher = new Publisher(db);
  const jobs = await start(db, [
    small("a", "a"),
    small("b", "b"),
    small("c", "c"),
    small("b", "b"),
  ]);
  await takeOver(db, jobs[2].lease.jobId);
  const settled = await Promise.allSettled(
    jobs.map(({ lease, pack }) => publisher.publish(lease, pack)),
  );
  const [a, b, c, duplicate] = settled.map((each) =>
    each.status === "fulfilled" ? written(each.value) : each.reason
  );
  assert.deepEqual([a, b], [[1, 1], [1, 1]]);
  assert(c instanceof LeaseLostError);
  // The same pack twice is two statements.
  assert.deepEqual(duplicate, [0, 0]);
});

Deno.test("Publisher sends alone what has many rows or staged ones", async () => {
  await using test = await open();
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const publisher = new Publisher(db);
  const ids = Array.from({ length: 1_001 }, (_, i): [string, number] => [`id-${i + 1_000}`, 1]);
  const jobs = await start(test.db, [
    small("a", "a"),
    small("b", "", { inline: columns(...ids), objects: ids.length }),
    small("c", "", { batches: 1, objects: 2, inline: columns(["d", 1]) }),
  ]);
  const rows = columns(["c", 1]);
  await stageBatch(test.db, jobs[2].lease, {
    leaseMs: 60_000,
    batch: 0,
    progress: {},
    repoId: REPO_ID,
    rows,
  });
  const done = await Promise.all(jobs.map(({ lease, pack }) => publisher.publish(lease, pack)));
  assert.deepEqual(done.map((each) => written(each)), [[1, 1], [1_001, 1_001], [2, 2]]);
  assert.deepEqual(sent.filter((action) => action === "publish a pack").length, 3);
});

Deno.test("Publisher: a statement that fails fails all its jobs, and the next group is sent", async () => {
  await using test = await open();
  const { sql } = test.db;
  const db: Database = {
    ...test.db,
    intercept: <T>(query: PromiseLike<T>, action: string): PromiseLike<T> =>
      action === "publish packs"
        ? sql`select pg_cancel_backend(pg_backend_pid())` as unknown as PromiseLike<T>
        : query,
  };
  const publisher = new Publisher(db);
  const jobs = await start(test.db, ["a", "b", "c"].map((letter) => small(letter, letter)));
  const [first, ...others] = await Promise.allSettled(
    jobs.map(({ lease, pack }) => publisher.publish(lease, pack)),
  );
  assert.equal(first.status, "fulfilled");
  for (const other of others) {
    assert(other.status === "rejected" && other.reason instanceof DatabaseError);
  }
  const [last] = await start(test.db, [small("e", "e")]);
  assert.deepEqual(written(await publisher.publish(last.lease, last.pack)), [1, 1]);
});

Deno.test("Publisher fails the pack whose values the server refuses, and no other of its repo", async () => {
  await using test = await open();
  const publisher = new Publisher(test.db);
  const jobs = await start(test.db, [
    small("a", "a"),
    small("b", "b"),
    small("c", "c", { sizeBytes: 2 ** 70 }),
    small("d", "d"),
  ]);
  const settled = await Promise.allSettled(
    jobs.map(({ lease, pack }) => publisher.publish(lease, pack)),
  );
  assert.deepEqual(settled.map(({ status }) => status), [
    ...["fulfilled", "fulfilled", "rejected", "fulfilled"],
  ]);
});

Deno.test("ClientPublishers publish together what one client pushes to one repo, and nothing else", async () => {
  await using test = await open();
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const limit = new KeyedLimit(1), publishers = new ClientPublishers(db, limit);
  const push = async (client: string, { lease, pack }: { lease: Job; pack: PublishPack }) => {
    using opened = publishers.open(client, pack.repoId);
    return await opened.publisher.publish(lease, pack);
  };
  const jobs = await start(test.db, [
    ...["a", "b", "c"].map((letter) => small(letter, letter)),
    small("d", "d", { repoId: "repo-2" }),
    small("e", "e"),
  ]);
  const held = await limit.enter("ada");
  const ofAda = jobs.slice(0, 4).map((job) => push("ada", job));
  // Another client does not wait for hers.
  assert.deepEqual(written(await push("bob", jobs[4])), [1, 1]);
  assert.deepEqual(sent.splice(0), ["publish a pack"]);
  held[Symbol.dispose]();
  assert.deepEqual((await Promise.all(ofAda)).map(written), Array(4).fill([1, 1]));
  assert.deepEqual(sent.toSorted(), ["publish a pack", "publish packs"]);
});

Deno.test("a push that is aborted while its client's connections are busy is not published", async () => {
  await using test = await open();
  const { db } = test, limit = new KeyedLimit(1);
  using opened = new ClientPublishers(db, limit).open("ada", REPO_ID);
  const [{ lease, pack }, other] = await start(db, [small("a", "a"), small("b", "b")]);
  const held = await limit.enter("ada"), abort = new AbortController();
  const publishing = opened.publisher.publish(lease, pack, { signal: abort.signal });
  const going = opened.publisher.publish(other.lease, other.pack);
  abort.abort(new Error("over"));
  await assert.rejects(publishing, { message: "over" });
  held[Symbol.dispose]();
  assert.deepEqual(written(await going), [1, 1]);
  assert.equal((await getJob(db, lease.jobId))?.status, "running");
});

Deno.test("Publisher: no pack waits long for a group that waits for a lock", async () => {
  await using test = await open();
  const { db } = test, publisher = new Publisher(db);
  const jobs = await start(db, ["a", "b", "c", "d"].map((letter) => small(letter, letter)));
  // Another statement has inserted "b" and is not done yet.
  const held = db.sql`
    with slow as (
      insert into musehub_objects (object_id) values ('b') returning 1
    )
    select count(*), pg_sleep(1.5) from slow`.execute();
  await test.db.sql`select pg_sleep(0.2)`;
  const order: string[] = [];
  const one = (i: number) =>
    publisher.publish(jobs[i].lease, jobs[i].pack).then(() => order.push(jobs[i].pack.mpackKey));
  const blocked = [one(1), one(0)];
  await Promise.all([one(2), one(3)]);
  assert.deepEqual(order.filter((key) => key === "sha256:b"), []);
  await Promise.all([...blocked, held]);
  assert.equal(order.length, 4);
});

Deno.test("groups and single packs that share ids never deadlock", async () => {
  await using test = await open();
  const { db } = test;
  const ids = "abcdefghijklmnopqrstuvwxyz";
  for (let round = 0; round < 12; round++) {
    const repos = [REPO_ID, "repo-2"];
    const packs = Array.from({ length: 24 }, (_, i) =>
      small(`${round}-${i}`, "", {
        repoId: repos[i % 2],
        inline: columns(
          ...[...ids].filter((_, at) => (at * 7 + i) % 3 > 0)
            .map((id): [string, number] => [`${round}-${id}`, 1]),
        ),
        sortedUnique: i % 5 > 0,
      }));
    for (const one of packs) Object.assign(one, { objects: one.inline!.length });
    const jobs = await start(db, packs);
    const publishers = [new Publisher(db), new Publisher(db), new Publisher(db)];
    const outcomes = await Promise.all(
      jobs.map(({ lease, pack }, i) => publishers[i % 3].publish(lease, pack)),
    );
    assert(outcomes.every(({ outcome }) => outcome === "published"));
  }
});
