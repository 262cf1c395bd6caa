import assert from "node:assert/strict";
import { collectUnreached, holdRepo } from "../../src/db/history/unreached.ts";
import { collectGarbage, type GcOptions, type GcSummary } from "../../src/maintenance/gc/gc.ts";
import { MadeHistory, type PackPart } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { runMain } from "../support/process/main.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

async function gc(
  fixture: TestFixture,
  options: Partial<GcOptions> = {},
): Promise<Partial<GcSummary>> {
  const { db, store } = fixture, { signal } = new AbortController();
  const summary = await collectGarbage({
    db,
    store,
    config: fixture.config(),
    graceMs: DAY_MS,
    signal,
    ...options,
  });
  const { elapsed_ms: _, dry_run: __, store_bytes: ___, blob_bytes: ____, ...counts } = summary;
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** Makes all rows two days old, so that the next gc may take them, and all blobs. */
async function age({ db, store, folder }: TestFixture): Promise<void> {
  const then = new Date(Date.now() - 2 * DAY_MS);
  for (const table of ["musehub_commit_refs", "musehub_snapshot_refs", "musehub_object_refs"]) {
    await db.sql`update ${db.sql(table)} set created_at = ${then}`;
  }
  await db.sql`update musehub_mpacks set indexed_at = ${then}`;
  for await (const { key } of store.list("mpacks/")) {
    await Deno.utime(`${folder}/${key}`, then, then);
    const { etag } = await store.stat(key);
    await db.sql`update musehub_mpacks set etag = ${etag} where blob_key = ${key}`;
  }
}

/** Pushes a part of a history, as a client would; a branch moves if one is named. */
async function push(
  fixture: TestFixture,
  history: MadeHistory,
  part: PackPart,
  branch?: { name: string; head: string },
): Promise<string> {
  const { db, repo: { repoId } } = fixture, pack = history.pack(part);
  await indexHistory(fixture, pack, { partial: true });
  // A real push has one tip, and objects only of that; these packs may have any.
  if (branch !== undefined) {
    await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
      values (${repoId}, ${branch.name}, ${branch.head})
      on conflict (repo_id, name) do update set head_commit_id = excluded.head_commit_id`;
  }
  return pack.mpackKey;
}

interface Rows {
  readonly commits: string[];
  readonly snapshots: string[];
  readonly objects: string[];
}

/** What the repo has, by ids without their prefix. */
async function rowsOf({ db, repo: { repoId } }: TestFixture): Promise<Rows> {
  const ids = async (table: string, column: string) => {
    const rows = await db.sql`select right(${db.sql(column)}, 64) as id from ${db.sql(table)}
      where repo_id = ${repoId}`;
    return rows.map(({ id }) => id as string).sort();
  };
  const commits = await ids("musehub_commit_refs", "commit_id");
  assert.deepEqual(await ids("musehub_commit_graph", "commit_id"), commits);
  return {
    commits,
    snapshots: await ids("musehub_snapshot_refs", "snapshot_id"),
    objects: await ids("musehub_object_refs", "object_id"),
  };
}

/** What these heads reach. */
function reached(history: MadeHistory, heads: readonly string[]): Rows {
  const commits = new Set(heads.flatMap((head) => history.reachable(head)));
  const bare = (ids: Iterable<string>) => [...new Set(ids)].map((id) => id.slice(-64)).sort();
  return {
    commits: bare(commits),
    snapshots: bare([...commits].map((id) => history.commits.get(id)!.snapshotId)),
    objects: bare(history.objectsOf(commits)),
  };
}

Deno.test("gc removes what a force push has left behind, after the grace time, down to the blobs", async (t) => {
  await using fixture = await createFixture();
  const history = new MadeHistory();
  const base = history.commit({ files: { a: "shared", b: "base" } });
  const dropped = history.commit({ files: { a: "shared", b: "dropped" } });
  const kept = history.commit({ parents: [base], files: { a: "shared", b: "kept" } });
  await push(fixture, history, { commits: [base] }, { name: "main", head: base });
  const gone = await push(fixture, history, { commits: [dropped] }, {
    name: "main",
    head: dropped,
  });
  await push(fixture, history, { commits: [kept] }, { name: "main", head: kept });
  const everything = await rowsOf(fixture);
  await t.step("nothing that is young", async () => {
    assert.deepEqual(await gc(fixture), {});
    assert.deepEqual(await rowsOf(fixture), everything);
  });
  await age(fixture);
  const found = { commits: 1, snapshots: 1, history_refs: 1 };
  await t.step("nothing in a dry run", async () => {
    assert.deepEqual(await gc(fixture, { isDryRun: true }), found);
    assert.deepEqual(await rowsOf(fixture), everything);
  });
  await t.step("the rows, the pack and its blob", async () => {
    assert.deepEqual(await gc(fixture), { ...found, mpacks: 1, blobs: 1 });
    assert.deepEqual(await rowsOf(fixture), reached(history, [kept]));
    const packs = await fixture.db.sql`select mpack_key from musehub_mpacks`;
    assert.ok(!packs.some(({ mpack_key }) => mpack_key === gone));
    assert.deepEqual(await gc(fixture), {});
  });
  await t.step("not again what has not changed", async () => {
    assert.deepEqual(await gc(fixture), {});
    const [{ state }] = await fixture.db.sql`select state from mpackd_collections`;
    assert.ok(state);
    // Such a repo is not even walked.
    await fixture.db.sql`update musehub_snapshot_refs set record_offset = record_offset + 1`;
    assert.deepEqual(await gc(fixture), {});
  });
});

Deno.test("gc keeps what a tag, a merge, a delta or a young commit needs, and drops unfinished pushes", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture, history = new MadeHistory();
  const root = history.commit({ files: { a: "1" } });
  const tagged = history.commit({ files: { a: "2" } });
  const side = history.commit({ parents: [root], files: { a: "3" } });
  const merge = history.commit({ parents: [root, side], files: { a: "4", b: "5" } });
  await push(fixture, history, {}, { name: "main", head: merge });
  await db.sql`insert into musehub_tags (tag_id, repo_id, tag, commit_id)
    values ('t', ${repoId}, 'v1', ${tagged})`;
  // Objects and commits of pushes that were never finished.
  const lost = history.commit({ parents: [merge], files: { a: "lost", b: "5" } });
  await push(fixture, history, { commits: [], objects: history.objectsOf([lost]) });
  await push(fixture, history, { commits: [lost], objects: [] });
  await age(fixture);
  await t.step("an old commit that a young one builds upon", async () => {
    const young = history.commit({ parents: [lost], files: { a: "young", b: "5" } });
    await push(fixture, history, { commits: [young] });
    assert.deepEqual(await gc(fixture), {});
    assert.deepEqual(await rowsOf(fixture), reached(history, [merge, tagged, young]));
    await age(fixture);
    const { commits, history_refs } = await gc(fixture);
    assert.deepEqual({ commits, history_refs }, { commits: 2, history_refs: 2 });
    assert.deepEqual(await rowsOf(fixture), reached(history, [merge, tagged]));
  });
  await t.step("the snapshots that a delta is over", async () => {
    const first = history.commit({ parents: [merge], files: { a: "6" } });
    const second = history.commit({ parents: [merge], files: { a: "6", c: "7" } });
    await push(fixture, history, { commits: [first, second], isDelta: true }, {
      name: "main",
      head: second,
    });
    await age(fixture);
    await gc(fixture);
    const found = await rowsOf(fixture), wanted = reached(history, [second, tagged]);
    assert.deepEqual(found.commits, wanted.commits);
    assert.deepEqual(found.objects, wanted.objects);
    assert.deepEqual(found.snapshots.length, wanted.snapshots.length + 1);
  });
  await t.step("a branch that is deleted goes, too", async () => {
    await db.sql`update musehub_branches set head_commit_id = ${root}`;
    await age(fixture);
    await gc(fixture);
    assert.deepEqual(await rowsOf(fixture), reached(history, [root, tagged]));
  });
});

Deno.test("gc leaves repos alone whose history is not all there is", async (t) => {
  const history = new MadeHistory();
  const root = history.commit({ files: { a: "1" } });
  const dropped = history.commit({ files: { a: "2" } });
  const unchanged = async (fixture: TestFixture, expected: Partial<GcSummary> = {}) => {
    await age(fixture);
    const before = await rowsOf(fixture);
    assert.deepEqual(await gc(fixture), expected);
    assert.deepEqual(await rowsOf(fixture), before);
  };
  await t.step("no branch", async () => {
    await using fixture = await createFixture();
    await push(fixture, history, {});
    await unchanged(fixture);
  });
  await t.step("a pack that no push has brought", async () => {
    await using fixture = await createFixture();
    await push(fixture, history, {}, { name: "main", head: root });
    // Its objects are there already, so its row goes, and must not be forgotten.
    await indexHistory(
      fixture,
      history.pack({ commits: [], objects: history.objectsOf([dropped]) }),
    );
    await unchanged(fixture, { mpacks: 1, blobs: 1 });
    await unchanged(fixture);
  });
  await t.step("a manifest that cannot be read", async () => {
    await using fixture = await createFixture();
    await push(fixture, history, {}, { name: "main", head: root });
    await fixture.db.sql`update musehub_snapshot_refs set record_offset = record_offset + 1`;
    await unchanged(fixture, { postponed: 1 });
  });
  await t.step("a snapshot that is not there", async () => {
    await using fixture = await createFixture();
    await push(fixture, history, {}, { name: "main", head: dropped });
    await fixture.db.sql`delete from musehub_snapshot_refs`;
    await unchanged(fixture, { postponed: 1 });
  });
  await t.step("a branch whose commit is not there", async () => {
    await using fixture = await createFixture();
    await push(fixture, history, { commits: [root] }, { name: "main", head: dropped });
    await unchanged(fixture, { postponed: 1 });
  });
  await t.step("a pack that is being indexed", async () => {
    await using fixture = await createFixture();
    await push(fixture, history, {}, { name: "main", head: root });
    await fixture.db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload,
      status, lease_expires_at) values ('j', ${fixture.repo.repoId}, 'mpack.index', '{}', 'running',
      now() + interval '1 hour')`;
    await unchanged(fixture, { postponed: 1 });
    await fixture.db.sql`update musehub_background_jobs set status = 'done'`;
    assert.equal((await gc(fixture)).commits, 1);
  });
});

Deno.test("index --collectable lets gc collect in a repo with mpacks that came by no push", async (t) => {
  await using fixture = await createFixture();
  const history = new MadeHistory();
  const base = history.commit({ files: { a: "base" } });
  const left = history.commit({ parents: [], files: { a: "left behind" } });
  const unknown = history.commit({
    parents: [],
    files: { a: "of a commit that was never pushed" },
  });
  const old = history.commit({ parents: [], files: { a: "indexed by version 0.2" } });
  await push(fixture, history, { commits: [base] }, { name: "main", head: base });
  const keys = [
    await push(fixture, history, { commits: [old] }),
    await push(fixture, history, { objects: history.objectsOf([unknown]), commits: [] }),
  ];
  await push(fixture, history, { commits: [left] });
  const { sql } = fixture.db;
  await sql`update musehub_mpacks set is_push = null where mpack_key = ${keys[0]}`;
  await sql`update musehub_mpacks set is_push = false where mpack_key = ${keys[1]}`;
  // One more such mpack was collected.
  await sql`insert into mpackd_collections (repo_id, run_id, expires_at, ended_at, is_mixed)
    values (${fixture.repo.repoId}, '', now(), now(), true)`;
  await age(fixture);
  const everything = await rowsOf(fixture);
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  for (const [i, key] of keys.entries()) {
    await t.step(`nothing is collected while ${2 - i} of them are not`, async () => {
      assert.deepEqual(await gc(fixture), {});
      assert.deepEqual(await rowsOf(fixture), everything);
    });
    const args = ["index", key, "--repo", "me/repo", "--collectable"];
    const { code, stderr } = await runMain(args, env);
    assert.equal(code, 0, stderr);
    assert.match(stderr, i === 0 ? /1 other mpack of it is not/ : /gc now removes what no branch/);
  }
  await t.step("then what no branch reaches is", async () => {
    const { commits, snapshots, history_refs } = await gc(fixture);
    assert.deepEqual([commits, snapshots, history_refs], [2, 2, 3]);
    assert.deepEqual(await rowsOf(fixture), reached(history, [base]));
  });
});

Deno.test("collectUnreached() deletes nothing once branches have moved, or its hold has expired", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture, history = new MadeHistory();
  const kept = history.commit({ files: { a: "1" } });
  const left = history.commit({ files: { a: "2" } });
  await push(fixture, history, {}, { name: "main", head: kept });
  const walk = { repoId, walkId: "w", before: "2100-01-01T00:00:00Z" };
  const stateNow = async () =>
    (await db.sql`select mpackd_history_state_1(${repoId}) as state`)[0].state;
  const state = await stateNow();
  const collect = () =>
    collectUnreached(db, walk, { kind: "commit", ids: [`sha256:${left.slice(-64)}`], state });
  assert.ok(await holdRepo(db, walk));
  await db.sql`insert into mpackd_marks (walk_id, kind, id) values ('w', 'walk', '')`;
  await t.step("a branch that points to it now", async () => {
    await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
      values (${repoId}, 'dev', ${left})`;
    assert.equal(await collect(), undefined);
    await db.sql`delete from musehub_branches where name = 'dev'`;
    assert.equal(await stateNow(), state);
  });
  await t.step("a walk whose marks a crash has emptied", async () => {
    await db.sql`update mpackd_marks set walk_id = 'other'`;
    assert.equal(await collect(), undefined);
    await db.sql`update mpackd_marks set walk_id = 'w'`;
  });
  await t.step("a hold that has expired", async () => {
    await db.sql`update mpackd_collections set expires_at = now() - interval '1 second'`;
    assert.equal(await collect(), undefined);
    await db.sql`update mpackd_collections set expires_at = now() + interval '1 minute'`;
  });
  assert.equal(await collect(), 1);
});
