import assert from "node:assert/strict";
import { createRepo } from "../../../src/db/repos.ts";
import { readStats } from "../../../src/db/stats.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { sampleBytes } from "../../support/store/blobs.ts";
import { runMain } from "../../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { commitRecord, snapshotRecord } from "../../support/history/records.ts";

Deno.test("repo lists, creates and deletes repos", async () => {
  await using fixture = await createFixture();
  const repo = (...args: string[]) =>
    runMain(["repo", ...args, "--json"], { DATABASE_URL: fixture.databaseUrl });
  const created = await repo("create", "ada/engine", "--name", "Engine", "--visibility", "public");
  assert.equal(created.code, 0);
  const { created: isNew, created_at: _, ...engine } = JSON.parse(created.stdout);
  assert.equal(isNew, true);
  assert.equal(JSON.parse((await repo("create", "ada/engine")).stdout).created, false);
  // It is public, and asking for a private one changes nothing.
  assert.equal((await repo("create", "ada/engine", "--visibility", "private")).code, 2);

  const list = async () =>
    JSON.parse((await repo("list")).stdout).map(
      ({ created_at: _, ...shown }: { created_at: string }) => shown,
    );
  const { repoId, name, visibility } = fixture.repo;
  const mine = { repo_id: repoId, owner: "me", slug: "repo", name, visibility };
  assert.deepEqual(engine, {
    repo_id: engine.repo_id,
    owner: "ada",
    slug: "engine",
    name: "Engine",
    visibility: "public",
  });
  assert.deepEqual(await list(), [engine, mine]);

  const edited = JSON.parse((await repo("edit", "ada/engine", "--visibility", "private")).stdout);
  assert.deepEqual([edited.visibility, edited.name], ["private", "Engine"]);
  assert.deepEqual(JSON.parse((await repo("show", "ada/engine")).stdout), edited);
  assert.equal((await repo("edit", "ada/engine")).code, 2);
  assert.equal((await repo("edit", "ada/engine", "--visibility", "secret")).code, 2);

  const dry = JSON.parse((await repo("delete", "ada/engine", "--dry-run")).stdout);
  assert.deepEqual(dry.would_delete, { packs: 0, pack_bytes: 0, refs: 0 });
  assert.equal(JSON.parse((await repo("delete", "ada/engine")).stdout).deleted, true);
  assert.deepEqual(await list(), [mine]);
  const again = await repo("delete", "ada/engine");
  assert.deepEqual([again.code, JSON.parse(again.stdout).error.code], [2, "repo-not-found"]);
  assert.equal((await repo("create", "ada/engine")).code, 2);
  assert.equal((await repo("create", "ada/other", "--visibility", "secret")).code, 2);
  assert.equal((await repo("create", "no slug")).code, 2);
});

Deno.test("readStats() counts a repo or all of them, and what is there twice", async () => {
  await using fixture = await createFixture();
  const { db, store, repo } = fixture;
  const { repo: other } = await createRepo(db, { owner: "other", slug: "repo" });
  const { repo: gone } = await createRepo(db, { owner: "gone", slug: "repo" });
  const [a, b, c] = [100, 20, 3].map((size) => sampleBytes(size));
  let packBytes = 0;
  const push = async (repoId: string, ...contents: Uint8Array[]) => {
    const bytes = buildMpack({
      commits: [commitRecord()],
      snapshots: [snapshotRecord({}), snapshotRecord({ a: mpackKey(contents[0]) })],
      objects: contents.map((content) => object({ content })),
      tags: [],
    });
    const key = mpackKey(bytes);
    await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]));
    await indexMpack({ db, store, repoId, mpackKey: key });
    if (repoId !== gone.repoId) packBytes += bytes.length;
    return bytes.length;
  };
  const ofRepo = await push(repo.repoId, a, b) + await push(repo.repoId, b, c);
  await push(other.repoId, a);
  await push(gone.repoId, a, b, c);
  await db.sql`update musehub_repos set deleted_at = now() where repo_id = ${gone.repoId}`;
  await db.sql`update musehub_object_refs set damaged_at = now()
    where repo_id = ${repo.repoId} and object_id = ${mpackKey(b)}`;

  const wanted = {
    repos: 1,
    packs: 2,
    pack_bytes: ofRepo,
    pack_objects: 4,
    commits: 2,
    snapshots: 4,
    tags: 0,
    refs: 3,
    ref_bytes: 123,
    damaged_refs: 1,
    repeated_objects: 1,
    other_bytes: ofRepo - 123,
    objects: 3,
    object_bytes: 123,
  };
  assert.deepEqual({ ...await readStats(db, { repoId: repo.repoId }) }, wanted);
  const all = {
    ...wanted,
    repos: 2,
    packs: 3,
    pack_bytes: packBytes,
    pack_objects: 5,
    commits: 3,
    snapshots: 6,
    refs: 4,
    ref_bytes: 223,
    other_bytes: packBytes - 223,
  };
  assert.deepEqual({ ...await readStats(db) }, all);

  const env = { DATABASE_URL: fixture.databaseUrl };
  const json = await runMain(["stats", "--repo", "me/repo", "--json"], env);
  assert.deepEqual(JSON.parse(json.stdout), { ...wanted, tenants_at_limits: [] });
  const text = await runMain(["stats"], env);
  assert.match(text.stdout, /^refs +4 +223 B +1 damaged$/m);
  assert.match(text.stdout, /^waits for gc: 1 mpack of deleted repos, /m);
  assert.match(text.stdout, /^ {2}all tables +[\d.]+ kB {2}indexes +[\d.]+ kB$/m);
  const { waiting_for_gc, tables } = JSON.parse((await runMain(["stats", "--json"], env)).stdout);
  assert.deepEqual([waiting_for_gc.repos, waiting_for_gc.packs], [1, 1]);
  assert.ok(tables.some(({ name }: { name: string }) => name === "musehub_object_refs"));
});
