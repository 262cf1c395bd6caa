import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { publish, type PublishOutcome } from "../../../src/db/publish/publish.ts";
import type { PublishPack } from "../../../src/db/publish/publish_pack.ts";
import {
  isSmallPack,
  publishTogether,
  type TogetherOptions,
} from "../../../src/db/publish/publish_together.ts";
import { Publisher } from "../../../src/db/publish/publisher.ts";
import { Suspects } from "../../../src/db/publish/optimistic_insert.ts";
import { DatabaseError, LeaseLostError } from "../../../src/errors.ts";
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

/** A small pack of these ids, by its letter; sorted, as a group wants it. */
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

for (const suspects of [undefined, new Suspects()]) {
  const name = suspects ? "publishTogether(), hopeful," : "publishTogether()";
  Deno.test(`${name} leaves what publishing one by one leaves, and counts for each`, () =>
    leavesTheSame({ ...DEADLINE, suspects }));
  Deno.test(`${name} inserts objects before refs, each in the order of their keys`, () =>
    insertsInOrder({ ...DEADLINE, suspects }));
}

async function leavesTheSame(options: TogetherOptions) {
  const packs = () => [
    small("a", "abx"),
    small("b", "bcx"),
    small("c", "x", { repoId: "repo-2" }),
    small("d", "", { commits: 0 }),
  ];
  await using together = await open();
  await using single = await open();
  const group = await start(together.db, packs());
  assert(group.every(isSmallPack));
  const outcomes = await publishTogether(together.db, group, options);
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

Deno.test("publishTogether() leaves out whatever is not plain, and it as it was", async (t) => {
  await using test = await open();
  const { db } = test;
  const leftOut = async (
    name: string,
    pack: PublishPack,
    prepare: (job: Job) => Promise<unknown>,
  ) => {
    await t.step(name, async () => {
      const [odd, plain] = await start(db, [pack, small(`plain ${name}`, "n")]);
      await prepare(odd.lease);
      const before = await getJob(db, odd.lease.jobId);
      const outcomes = await publishTogether(db, [odd, plain], DEADLINE);
      assert.deepEqual([...outcomes.keys()], [plain.lease.jobId]);
      assert.deepEqual(await getJob(db, odd.lease.jobId), before);
      const rows = await db.sql`select from musehub_object_refs where object_id = 'o'`;
      assert.equal(rows.length, 0);
    });
  };
  await leftOut("a lost lease", small("lost", "o"), (job) => takeOver(db, job.jobId));
  const doom = (name: string) => db.sql`insert into mpackd_doomed (name) values (${name})`;
  const removeTombstones = () => db.sql`delete from mpackd_doomed`;
  const doomed = small("tombstoned", "o");
  await leftOut("a doomed blob", doomed, () => doom(doomed.blobKey));
  await removeTombstones();
  await leftOut("a doomed repo", small("gone", "o", { repoId: "repo-2" }), () => doom("repo-2"));
  await removeTombstones();
  await leftOut("a moved blob", small("moved", "o"), async () => {
    const moved = { ...small("moved", ""), etag: "before" };
    await publish(db, await startJob(db), moved);
  });
  await leftOut("a repo with damaged refs", small("hurt", "o", { repoId: "repo-2" }), async () => {
    await publish(db, await startJob(db, "repo-2"), small("hurts", "h", { repoId: "repo-2" }));
    await db.sql`update musehub_object_refs set damaged_at = now() where object_id = 'h'`;
  });
});

async function insertsInOrder(options: TogetherOptions) {
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
  await publishTogether(db, await start(db, packs), options);
  const rows = await db.sql<{ key: string }[]>`select key from inserted order by place`;
  assert.deepEqual(rows.map(({ key }) => key.replace("musehub_", "")), [
    ...[..."abcde"].map((id) => `objects ${id}`),
    ...[..."acebd"].map((id) => `object_refs ${id}`),
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
  // The first, and the twelve after it; the last waits for either.
  assert.deepEqual(events, jobs.slice(0, -1).map(({ pack }) => pack.mpackKey));
  assert.deepEqual((await Promise.all(outcomes)).map(written), jobs.map(() => [1, 1]));
  assert.deepEqual(sent, ["publish a pack", "publish packs", "publish a pack"]);
});

Deno.test("publishTogether() reads no table from end to end, small or large when it was planned", async (t) => {
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
      assert.equal((await publishTogether(db, jobs, DEADLINE)).size, jobs.length);
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

Deno.test("publishTogether() takes an id that turned out known for a suspect, and looks it up", async () => {
  await using test = await open();
  const { db } = test, suspects = new Suspects();
  const known = `sha256:${"0".repeat(64)}`;
  const sent: string[] = [];
  const watched: Database = { ...db, intercept: (query, action) => (sent.push(action), query) };
  const round = async (letter: string, repoId: string) => {
    const inline = columns([known, 1], [letter, 1]);
    const [with_, without] = await start(db, [
      small(letter, "", { inline, objects: 2, repoId }),
      small(`${letter}${letter}`, letter.toUpperCase()),
    ]);
    sent.length = 0;
    const outcomes = await publishTogether(watched, [with_, without], { ...DEADLINE, suspects });
    assert.deepEqual(written(outcomes.get(without.lease.jobId)), [1, 1]);
    return { written: written(outcomes.get(with_.lease.jobId)), statements: sent.length };
  };
  assert.deepEqual(await round("a", REPO_ID), { written: [2, 2], statements: 1 });
  assert.deepEqual(await round("b", REPO_ID), { written: [1, 1], statements: 2 });
  assert.deepEqual(await round("c", REPO_ID), { written: [1, 1], statements: 1 });
  // Known is not known to everybody.
  assert.deepEqual(await round("d", "repo-2"), { written: [1, 2], statements: 1 });
  await db.sql`delete from musehub_objects where object_id = ${known}`;
  assert.deepEqual(await round("e", "repo-2"), { written: [2, 1], statements: 1 });
});

Deno.test("Suspects: a group that was right makes the failures before it forgotten", () => {
  const suspects = new Suspects(), error = new DatabaseError("known");
  suspects.wasWrong(error);
  suspects.wasRight();
  suspects.wasWrong(error);
  assert(suspects.isHopeful());
  suspects.wasWrong(error);
  assert(!suspects.isHopeful());
});

Deno.test("publishTogether() tells a known ref's id from its repo's", async () => {
  await using test = await open();
  const { db } = test, suspects = new Suspects();
  const repoId = `sha256:${"a".repeat(64)}`, objectId = `sha256:${"b".repeat(64)}`;
  await addRepos(db, repoId);
  const round = async (letter: string) => {
    const inline = columns([objectId, 1]);
    const [job] = await start(db, [small(letter, "", { inline, objects: 1, repoId })]);
    const outcomes = await publishTogether(db, [job], { ...DEADLINE, suspects });
    return written(outcomes.get(job.lease.jobId));
  };
  assert.deepEqual(await round("a"), [1, 1]);
  // Some other program's doing: only the ref is known.
  await db.sql`delete from musehub_objects`;
  assert.deepEqual(await round("b"), [1, 0]);
  assert.deepEqual([suspects.has(objectId), suspects.has(repoId)], [true, false]);
});

Deno.test("publishTogether() hopes less and less often where hope is in vain", async () => {
  await using test = await open();
  const { db } = test, suspects = new Suspects();
  const id = (n: number) => `sha256:${n.toString(16).padStart(64, "0")}`;
  const inline = columns(...Array.from({ length: 20 }, (_, n): [string, number] => [id(n), 1]));
  const [all] = await start(db, [small("all", "", { inline, objects: 20 })]);
  await publish(db, all.lease, all.pack);
  const statements: number[] = [];
  for (let n = 0; n < 13; n++) {
    let sent = 0;
    const watched: Database = { ...db, intercept: (query) => (sent++, query) };
    const [job] = await start(db, [
      small(`known ${n}`, "", { inline: columns([id(n), 1]), objects: 1 }),
    ]);
    const outcomes = await publishTogether(watched, [job], { ...DEADLINE, suspects });
    assert.deepEqual(written(outcomes.get(job.lease.jobId)), [0, 0]);
    statements.push(sent);
  }
  assert.deepEqual(statements, [2, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1]);
});

Deno.test("Publisher judges on its own what the group left out", async () => {
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
  const [a, b, c, twin] = settled.map((each) =>
    each.status === "fulfilled" ? written(each.value) : each.reason
  );
  assert.deepEqual([a, b], [[1, 1], [1, 1]]);
  assert(c instanceof LeaseLostError);
  // The same pack twice is two statements.
  assert.deepEqual(twin, [0, 0]);
});

Deno.test("Publisher takes alone what may have staged rows, ids twice or many rows", async () => {
  await using test = await open();
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const publisher = new Publisher(db);
  const ids = Array.from({ length: 1_001 }, (_, i): [string, number] => [`id-${i + 1_000}`, 1]);
  const jobs = await start(test.db, [
    small("a", "a"),
    small("b", "b", { sortedUnique: false }),
    small("c", "", { inline: columns(...ids), objects: ids.length }),
    small("d", "d"),
  ]);
  const later = await takeOver(test.db, jobs[3].lease.jobId);
  jobs[3] = { ...jobs[3], lease: later };
  const done = await Promise.all(jobs.map(({ lease, pack }) => publisher.publish(lease, pack)));
  assert.deepEqual(done.map((each) => written(each)?.[1]), [1, 1, 1_001, 1]);
  assert.deepEqual(sent, jobs.map(() => "publish a pack"));
});

Deno.test("Publisher: a statement that fails fails all its jobs, and the next group is sent", async () => {
  await using test = await open();
  const { sql } = test.db;
  const db: Database = {
    ...test.db,
    intercept: <T>(query: PromiseLike<T>, action: string): PromiseLike<T> =>
      action === "publish packs" ? sql`select 1 / 0` as unknown as PromiseLike<T> : query,
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

Deno.test("Publisher: nobody waits long for a group that a large pack holds up", async () => {
  await using test = await open();
  const { db } = test, publisher = new Publisher(db);
  const jobs = await start(db, ["a", "b", "c", "d"].map((letter) => small(letter, letter)));
  // Somebody inserts "b" and is not done yet.
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
