import assert from "node:assert/strict";
import { arrayLiteral } from "../../src/db/client/array_literal.ts";
import { GhostGuard } from "../../src/db/publish/ghost_guard.ts";
import { createRepo } from "../../src/db/repos.ts";
import { DatabaseError, InvalidMpackError, LeaseLostError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { filterMissing, findGhosts } from "../../src/objects/ghosts.ts";
import { guardMpack } from "../../src/objects/guard_mpack.ts";
import { bodyOf } from "../support/store/blobs.ts";
import { corpusPacks } from "../support/mpack/corpus.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { readNamed } from "../support/named.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { startJob, takeOver } from "../support/process/leases.ts";
import { type Manifest, snapshotIdOf, snapshotRecord } from "../support/history/records.ts";

const UTF8 = new TextEncoder();
const idOf = (name: string) => mpackKey(UTF8.encode(name));

/** A pack that holds and names these. */
function packOf(held: readonly string[], named: readonly string[], objectsFirst = false) {
  const manifest = Object.fromEntries(named.map((name, i) => [`path/${i}`, idOf(name)]));
  const snapshots = [["snapshots", [snapshotRecord(manifest)]]] as const;
  const objects = [[
    "objects",
    held.map((name) => object({ content: UTF8.encode(name) })),
  ]] as const;
  return buildMpack(objectsFirst ? [...objects, ...snapshots] : [...snapshots, ...objects]);
}

async function guarded(fixture: TestFixture, bytes: Uint8Array, maxIds?: number) {
  const ids: string[] = [];
  const result = await guardMpack({
    db: fixture.db,
    repoId: fixture.repo.repoId,
    mpack: bodyOf(bytes, 1_000),
    maxIds,
    onMissing: (page) => ids.push(...page),
  });
  assert.equal(result.missing, ids.length);
  assert.deepEqual(await rowsLeft(fixture), 0);
  return { ids, ...result };
}

async function rowsLeft({ db }: TestFixture): Promise<number> {
  return (await db.sql`select count(*)::int as rows from mpack_guard_ids`)[0].rows;
}

Deno.test("guardMpack() finds exactly the ids that each pack's facts call missing", async (t) => {
  await using fixture = await createFixture();
  for (const { name, bytes, facts } of await corpusPacks()) {
    const { named, held, entries } = readNamed(bytes);
    const wanted = [...named].filter((id) => !held.has(id)).sort();
    // The facts of the samples list them, those of the corpus count them.
    const fact = facts.manifest_ids_missing;
    if (typeof fact === "number") assert.equal(wanted.length, fact);
    else assert.deepEqual(wanted, fact);
    for (const maxIds of [undefined, 3]) {
      await t.step(`${name}, ${maxIds ?? "any number of"} ids in memory`, async () => {
        const found = await guarded(fixture, bytes, maxIds);
        assert.deepEqual(found.ids, wanted);
        assert.equal(found.manifest_entries, entries);
        assert.equal(found.objects, held.size);
      });
    }
  }
});

Deno.test("guardMpack() counts the repo's own refs, whichever side of the pack comes first", async (t) => {
  await using fixture = await createFixture();
  const known = Array.from({ length: 30 }, (_, i) => `known ${i}`);
  await indexMpack(fixture.options(await fixture.put(packOf(known, []))));
  const brought = Array.from({ length: 30 }, (_, i) => `brought ${i}`);
  const ghosts = Array.from({ length: 30 }, (_, i) => `ghost ${i}`);
  const wanted = ghosts.map(idOf).sort();
  for (const objectsFirst of [false, true]) {
    for (const maxIds of [1, 7, 60, 10_000]) {
      await t.step(`${objectsFirst ? "objects" : "snapshots"} first, ${maxIds} ids`, async () => {
        const named = [...known, ...ghosts, ...brought, ...ghosts];
        const pack = packOf(brought, named, objectsFirst);
        assert.deepEqual((await guarded(fixture, pack, maxIds)).ids, wanted);
        const valid = packOf(brought, [...brought, ...known], objectsFirst);
        assert.deepEqual((await guarded(fixture, valid, maxIds)).ids, []);
      });
    }
  }
});

Deno.test("guardMpack() counts no other repo's refs, however few ids fit into memory", async () => {
  await using fixture = await createFixture();
  const { db, store } = fixture;
  const strangers = Array.from({ length: 30 }, (_, i) => `stranger ${i}`);
  const { repo: { repoId } } = await createRepo(db, { owner: "stranger", slug: "repo" });
  const theirs = packOf(strangers, []), key = mpackKey(theirs);
  await store.put(`mpacks/${repoId}/${key}`, bodyOf(theirs, 1_000));
  await indexMpack({ ...fixture.options(key), repoId });
  for (const maxIds of [1, 7, 10_000]) {
    const { ids } = await guarded(fixture, packOf([], strangers), maxIds);
    assert.deepEqual(ids, strangers.map(idOf).sort(), `${maxIds} ids`);
  }
});

Deno.test("guardMpack() refuses what is no pack, and leaves nothing behind", async () => {
  await using fixture = await createFixture();
  const bytes = packOf([], Array.from({ length: 50 }, (_, i) => `${i}`));
  await assert.rejects(guarded(fixture, bytes.subarray(0, bytes.length - 1), 2), InvalidMpackError);
  assert.equal(await rowsLeft(fixture), 0);
});

Deno.test("guardMpack() verifies deltas to snapshots in the pack", async () => {
  await using fixture = await createFixture();
  const [one, two] = [{ a: idOf("a") }, { a: idOf("a"), b: idOf("b") }];
  const delta = (delta_add: Manifest) =>
    buildMpack({
      snapshots: [snapshotRecord(one), {
        snapshot_id: snapshotIdOf(two),
        parent_snapshot_id: snapshotIdOf(one),
        delta_add,
      }],
    });
  const { ids } = await guarded(fixture, delta({ b: idOf("b") }));
  assert.deepEqual(ids, [idOf("a"), idOf("b")].sort());
  await assert.rejects(guarded(fixture, delta({ c: idOf("b") })), { code: "false-id" });
});

Deno.test("GhostGuard counts rows staged for a job as held", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const ids = ["a", "b", "c"].map(idOf).sort();
  await db.sql`insert into mpack_staged_objects
    values ('job', 1, 0, 2, ${arrayLiteral(ids.slice(0, 2))}::text[], '{1,2}', '{0,0}')`;
  for (const maxIds of [1, 100]) {
    await using guard = new GhostGuard({ db, repoId, maxIds });
    for (const id of ids) guard.name(id);
    if (guard.isDue) await guard.flush();
    const { count, pages } = await guard.ghosts({ staged: { jobId: "job", batches: 1, rows: 2 } });
    assert.equal(count, 1);
    assert.deepEqual((await Array.fromAsync(pages())).flat(), [ids[2]]);
  }
});

Deno.test("GhostGuard notices ids that the database has lost, named, held or staged", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  for (const kind of ["named", "held"]) {
    await t.step(kind, async () => {
      await using guard = new GhostGuard({ db, repoId, maxIds: 1 });
      guard.name(idOf("a"));
      guard.hold([idOf("b")]);
      await guard.flush();
      await db.sql`delete from mpack_guard_ids where kind = ${kind}`;
      await assert.rejects(guard.ghosts(), DatabaseError);
    });
  }
  await t.step("staged", async () => {
    await using guard = new GhostGuard({ db, repoId });
    await assert.rejects(
      guard.ghosts({ staged: { jobId: "gone", batches: 1, rows: 5 } }),
      DatabaseError,
    );
  });
});

Deno.test("GhostGuard writes nothing that the job's next attempt would find", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, { repoId } = fixture.repo;
  const stale = await startJob(db, repoId);
  await using first = new GhostGuard({ db, repoId, lease: stale });
  first.name(idOf("a"));
  first.hold([idOf("b")]);
  const state = await first.flush();
  assert.equal(state.batches, 2);

  const lease = await takeOver(db, stale.jobId);
  assert.equal(await GhostGuard.canResume(db, state, lease), true);
  await using second = new GhostGuard({ db, repoId, lease, from: state });
  // The first attempt does not know yet: its statements come after those of the second began.
  first.hold([idOf("c")]);
  await assert.rejects(first.flush(), LeaseLostError);
  first.name(idOf("d"));
  await assert.rejects(first.flush(), LeaseLostError);
  await assert.rejects(GhostGuard.canResume(db, { ...state, batches: 1 }, stale), LeaseLostError);
  assert.equal(await rowsLeft(fixture), 2);
  second.hold([idOf("e")]);
  assert.equal((await second.flush()).batches, 3);
  assert.equal(await rowsLeft(fixture), 3);
});

Deno.test("GhostGuard goes on from nothing, whatever an attempt wrote that went on from there", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, { repoId } = fixture.repo;
  let lease = await startJob(db, repoId);
  const state = await new GhostGuard({ db, repoId, lease }).flush();
  assert.equal(state.batches, 0);
  for (const name of ["a", "b"]) {
    assert.equal(await GhostGuard.canResume(db, state, lease), true);
    // It is not disposed of: its process is killed.
    const guard = new GhostGuard({ db, repoId, lease, from: state });
    guard.hold([idOf(name)]);
    await guard.flush();
    lease = await takeOver(db, lease.jobId);
  }
  assert.equal(await rowsLeft(fixture), 1);
});

Deno.test("GhostGuard finds the ghosts again after an attempt that had found them was killed", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, { repoId } = fixture.repo;
  let lease = await startJob(db, repoId);
  const first = new GhostGuard({ db, repoId, lease });
  first.name(idOf("a"));
  const state = await first.flush();
  assert.equal((await first.ghosts()).count, 1);
  lease = await takeOver(db, lease.jobId);
  assert.equal(await GhostGuard.canResume(db, state, lease), true);
  await using second = new GhostGuard({ db, repoId, lease, from: state });
  second.name(idOf("b"));
  const { count, pages } = await second.ghosts();
  assert.equal(count, 2);
  assert.deepEqual((await Array.fromAsync(pages())).flat(), [idOf("a"), idOf("b")].sort());
});

Deno.test("GhostGuard sweeps up after guards that died", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  await db.sql`insert into mpack_guard_ids (guard_id, kind, batch, ids, created_at)
    values ('dead', 'named', 0, '{}', now() - interval '2 days'),
      ('alive', 'named', 0, '{}', now() - interval '1 hour')`;
  {
    await using guard = new GhostGuard({ db, repoId, maxIds: 1 });
    guard.name(idOf("a"));
    await guard.flush();
  }
  const rows = await db.sql`select guard_id from mpack_guard_ids`;
  assert.deepEqual(rows.map(({ guard_id }) => guard_id), ["alive"]);
});

Deno.test("GhostGuard hands out any number of ghosts in pages, sorted", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const ids = Array.from({ length: 12_345 }, (_, i) => `sha256:${String(i).padStart(64, "0")}`);
  for (const maxIds of [1_000, 100_000]) {
    await using guard = new GhostGuard({ db, repoId, maxIds });
    for (const id of ids.toReversed()) {
      guard.name(id);
      if (guard.isDue) await guard.flush();
    }
    const { count, pages } = await guard.ghosts();
    assert.equal(count, ids.length);
    assert.deepEqual((await Array.fromAsync(pages())).flat(), ids);
  }
});

Deno.test("findGhosts() and filterMissing() look at this repo's refs only", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  await indexMpack(fixture.options(await fixture.put(packOf(["here", "broken"], []))));
  await db.sql`update musehub_object_refs set damaged_at = now()
    where object_id = ${idOf("broken")}`;
  const objectIds = ["here", "elsewhere", "broken", "here", "elsewhere"].map(idOf);
  objectIds.push("no id", "{", "");
  const none = ["no id", "{", ""];
  assert.deepEqual(await findGhosts({ db, repoId, objectIds }), [idOf("elsewhere"), ...none]);
  assert.deepEqual(
    await filterMissing({ db, repoId, objectIds }),
    [idOf("elsewhere"), idOf("broken"), ...none],
  );
  assert.deepEqual(
    await findGhosts({ db, repoId: "another", objectIds: [idOf("here")] }),
    [idOf("here")],
  );
  const many = Array.from({ length: 12_000 }, (_, i) => `${i}`.padStart(64, "0"));
  assert.deepEqual(await findGhosts({ db, repoId, objectIds: many }), many);
});
