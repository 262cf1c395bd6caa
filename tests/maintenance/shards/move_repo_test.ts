import assert from "node:assert/strict";
import { loadConfig } from "../../../src/config/config.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { setQuota } from "../../../src/db/quotas/quotas.ts";
import { createRepo, type Repo } from "../../../src/db/repos.ts";
import { copyRepo, findHome, placeRepo } from "../../../src/db/shards/catalog.ts";
import { CATALOG } from "../../../src/db/shards/shard.ts";
import { unnamedBlobs } from "../../../src/db/garbage.ts";
import { insertUpload } from "../../../src/db/uploads.ts";
import { addWebhook } from "../../../src/db/webhooks/webhooks.ts";
import { ConfigError, ShardMovedError } from "../../../src/errors.ts";
import { readManifest } from "../../../src/history/read_manifest.ts";
import { walkCommits } from "../../../src/history/walk_commits.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { pause } from "../../../src/jobs/schedules/pauses.ts";
import { claimJobs } from "../../../src/jobs/queue/claim_jobs.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import {
  abortRepoMove,
  moveRepo,
  type MoveRepoOptions,
} from "../../../src/maintenance/shards/move_repo.ts";
import { readObjects } from "../../../src/objects/read_objects.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { mpackKey } from "../../support/mpack/mpacks.ts";
import { dumpContent } from "../../support/postgres/publish_oracle.ts";
import { afterNewKind, KilledError, mortal } from "../../support/shards/mortal.ts";
import { packOf } from "../../support/shards/routed.ts";
import {
  addTestShard,
  openShardedCatalog,
  type ShardedCatalog,
  twoServers,
} from "../../support/shards/two_servers.ts";

const CLAIM = { worker: "w", jobTypes: ["mpack.index"], leaseMs: 60_000, limit: 9, perRepo: 9 };

/** A repo with all kinds of rows in shard `s1`, and an empty shard `s2` on the other server. */
async function prepare(test: ShardedCatalog, store: BlobStore) {
  const { catalog, newUrl } = test;
  const s1 = await test.openShard();
  await test.open(newUrl).sql`create schema s1`;
  const s2 = await addTestShard(test, "s2", newUrl);
  const { repo } = await createRepo(catalog, { owner: "me", slug: "repo" }), { repoId } = repo;
  await placeRepo(catalog, { repoId, from: null, to: "s1" });
  await copyRepo(catalog, s1, repoId);
  await setQuota(catalog, { kind: "repo", name: repoId }, { bytes: 1_000_000_000 });
  await setQuota(s1, { kind: "repo", name: repoId }, { bytes: 1_000_000_000 });
  await addWebhook(s1, {
    repoId,
    url: "https://example.com/",
    host: "example.com",
    events: ["pack.published", "branch.moved"],
  });
  const history = new MadeHistory();
  for (let i = 0; i < 5; i++) {
    history.commit({ files: { a: `a ${i}`, b: "b" }, message: `Δ "quoted", {braces} \\ ${i}` });
  }
  const index = async (bytes: Uint8Array, payload: object) => {
    const key = mpackKey(bytes);
    await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]), {
      sizeBytes: bytes.length,
    });
    await indexMpack({ db: s1, store, config: loadConfig({}), repoId, mpackKey: key, payload });
  };
  const head = [...history.commits.keys()].at(-1)!;
  await index(history.pack().bytes, { branch: "main", head });
  await index(packOf("no history"), { partial: true });
  await s1
    .sql`insert into musehub_tags (repo_id, tag, commit_id) values (${repoId}, 'v1', ${head})`;
  await s1.sql`update musehub_repos set default_branch = 'main'`;
  await insertUpload(s1, {
    repoId,
    mpackKey: mpackKey(packOf("upload")),
    uploadId: "up",
    sizeBytes: 9,
    partBytes: 3,
  });
  const add = async (text: string) =>
    (await enqueue(s1, {
      repoId,
      jobType: "mpack.index",
      payload: { mpack_key: mpackKey(packOf(text)), note: '\u0000 "x" \\u0000' },
    })).row.jobId;
  // One runs, and one waits.
  const running = await add("running");
  await claimJobs(s1, CLAIM);
  const waiting = await add("waiting");
  return { s1, s2, repo, head, history, running, waiting };
}

function optionsOf(
  test: ShardedCatalog,
  repo: Repo,
  to: string,
  more: Partial<MoveRepoOptions> = {},
): MoveRepoOptions {
  const { catalog, connect, completeUrl, signal } = test.moveOptions();
  const how = { waitMs: 0, graceMs: 0, hasOwnerLimit: false };
  return { catalog, connect, completeUrl, signal, repo, to, ...how, ...more };
}

/** Every row of the repo that is not of a shard alone, as its readers see it. */
async function readAll(db: Database, store: BlobStore, { repoId }: Repo, head: string) {
  const objects = await db.sql<{ id: string }[]>`
    select object_id as id from musehub_object_refs where repo_id = ${repoId} order by 1`;
  const contents: string[] = [];
  const ids = objects.map(({ id }) => id);
  for await (const { objectId, content } of readObjects({ db, store, repoId, objectIds: ids })) {
    contents.push(`${objectId} ${mpackKey(content!)}`);
  }
  const pages = await Array.fromAsync(walkCommits({ db, repoId, from: head }));
  const commits = pages.flatMap(({ commits }) => commits);
  const manifests = [];
  for (const { snapshotId } of commits) {
    manifests.push(await Array.fromAsync(readManifest({ db, store, repoId, snapshotId })));
  }
  const rest = await db.sql`
    select j.job_id, j.status, j.payload::text, j.created_at,
      case when j.status in ('pending', 'running') then j.tenant_hash end as tenant, a.outcome, a.attempt
    from musehub_background_jobs j left join mpackd_attempts a using (job_id)
    where j.repo_id = ${repoId} order by 1, 6`;
  const others = await db.sql`
    select (select json_agg(w order by webhook_id) from mpackd_webhooks w) as webhooks,
      (select json_agg(d order by delivery_id) from mpackd_deliveries d) as deliveries,
      (select json_agg(u) from mpackd_uploads u where repo_id = ${repoId}) as uploads,
      (select json_agg(json_build_array(q.bytes, u.packs, u.bytes)) from mpackd_quotas q
        join mpackd_usage u using (kind, name)) as usage,
      (select default_branch from musehub_repos where repo_id = ${repoId}) as branch`;
  return JSON.stringify({ contents, commits, manifests, rest: [...rest], others: [...others] });
}

/** Rows that name the repo, by table. */
async function rowsOf({ sql }: Database, { repoId }: Repo): Promise<string[]> {
  const tables = await sql<{ name: string; column: string }[]>`
    select table_name::text as name, column_name::text as column from information_schema.columns
    where table_schema = current_schema() and column_name in ('repo_id', 'name', 'value')
      and table_name not in ('mpackd_doomed', 'mpackd_repo_moves', 'mpackd_moved_repos') order by 1, 2`;
  const found: string[] = [];
  for (const { name, column } of tables) {
    const [{ count }] = await sql`
      select count(*)::int as count from ${sql(name)} where ${sql(column)} = ${repoId}`;
    if (count > 0) found.push(name);
  }
  for (const name of ["mpackd_deliveries", "mpackd_attempts", "mpack_staged_objects"]) {
    const [{ count }] = await sql`select count(*)::int as count from ${sql(name)}`;
    if (count > 0) found.push(name);
  }
  const triggers = await sql<{ name: string }[]>`
    select tgname::text as name from pg_trigger where tgname like 'mpackd_repo_move%'
    union all select proname from pg_proc where proname = 'mpackd_repo_moves'`;
  return [...found, ...triggers.map(({ name }) => name)];
}

Deno.test("moveRepo() moves all of a repo, and goes on after a kill at any statement", async (t) => {
  await using test = await openShardedCatalog(await twoServers());
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const store = await openFileStore(folder);
  const { s1, s2, repo, head, running, waiting } = await prepare(test, store);
  const { repoId } = repo;
  // Numbers of mpacks are others there.
  await s2.sql`select setval('musehub_mpacks_mpack_id_seq', 1000)`;
  const before = await readAll(s1, store, repo, head), content = await dumpContent(s1);

  await t.step("it moves, whenever its process is killed", async () => {
    const seen = new Set<string>();
    let runs = 0, isHeld = false;
    for (let isKilled = true; isKilled; runs++) {
      const options = optionsOf(test, repo, "s2");
      isKilled = await moveRepo(mortal(options, afterNewKind(seen)))
        .then(() => false, (error) => {
          if (error instanceof KilledError) return true;
          throw error;
        });
      const lives = (await findHome(test.catalog, repoId))!.home!.shard;
      if (lives === "s1" && seen.has("read rows of a repo in TABLE")) {
        isHeld = true;
        // Held: nothing is written, readers read, and gc of the new shard knows nothing of it.
        const job = { repoId, jobType: "mpack.index", payload: { mpack_key: "k" } };
        await assert.rejects(enqueue(s1, job), ShardMovedError);
        for (const db of [s1, s2]) assert.deepEqual(await claimJobs(db, CLAIM), []);
        assert.equal(await dumpContent(s1), content);
      }
      // Whoever knows the repo has all of its mpacks: gc takes no blob for garbage.
      for (const db of [s1, s2, test.catalog]) {
        assert.deepEqual(await garbageIn(db, repoId), []);
      }
    }
    assert(isHeld);
    assert(runs > 30, `${runs} runs`);
  });

  await t.step("everything of it reads as before", async () => {
    assert.equal(await dumpContent(s2), content);
    const put = before.replaceAll('"running"', '"pending"');
    const after = JSON.parse(await readAll(s2, store, repo, head)), was = JSON.parse(put);
    // The attempt that was ended is noted.
    const noted = after.rest.filter((row: { outcome: string }) => row.outcome === "released");
    assert.deepEqual(noted.map((row: { job_id: string }) => row.job_id), [running]);
    for (const row of [...after.rest, ...was.rest]) delete row.outcome, delete row.attempt;
    assert.deepEqual(after, was);
  });

  await t.step("nothing of it is where it was", async () => {
    assert.deepEqual(await rowsOf(s1, repo), []);
    assert.deepEqual((await rowsOf(s2, repo)).filter((name) => /move/.test(name)), []);
    // A process that knew the repo there writes its copy again.
    await copyRepo(test.catalog, s1, repoId);
    assert.deepEqual(await garbageIn(s1, repoId), []);
    await s1.sql`delete from musehub_repos`;
    const [{ count }] = await test.catalog.sql`select count(*)::int from mpackd_repo_moves`;
    assert.equal(count, 0);
    assert.deepEqual([...await s2.sql`select * from mpackd_pauses`], []);
  });

  await t.step("its jobs and pushes go on there", async () => {
    const jobs = await claimJobs(s2, CLAIM);
    assert.deepEqual(jobs.map(({ jobId }) => jobId).sort(), [running, waiting].sort());
    assert(jobs.every(({ attempt }) => attempt === 1));
    await s2.sql`update musehub_background_jobs set status = 'done' where status = 'running'`;
    const bytes = packOf("after"), key = mpackKey(bytes);
    await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]), {
      sizeBytes: bytes.length,
    });
    const config = loadConfig({});
    await indexMpack({ db: s2, store, config, repoId, mpackKey: key, payload: { partial: true } });
  });

  await t.step(
    "it moves into the catalog and out of it, and keeps an operator's pause",
    async () => {
      const content = await dumpContent(s2);
      await pause(s2, { kind: "repo", value: repoId });
      await moveRepo(optionsOf(test, repo, CATALOG));
      assert.equal((await findHome(test.catalog, repoId))!.home, undefined);
      assert.deepEqual(await rowsOf(s2, repo), []);
      const summary = await moveRepo(optionsOf(test, repo, "s2"));
      assert.deepEqual([summary.from, summary.to, summary.moved], [CATALOG, "s2", true]);
      assert.equal(await dumpContent(s2), content);
      assert.equal((await s2.sql`select * from mpackd_pauses where kind = 'repo'`).length, 1);
      // The row of the repo, its limit, and the jobs of the catalog's queue.
      assert.deepEqual(await rowsOf(test.catalog, repo), [
        "mpackd_quotas",
        "musehub_background_jobs",
        "musehub_repos",
        "mpackd_attempts",
      ]);
      assert.equal((await moveRepo(optionsOf(test, repo, "s2"))).moved, false);
      // Where it lives, gc finds what no row names.
      assert.equal((await unnamedIn(s2, repoId, packOf("never pushed"))).length, 1);
      assert.equal((await unnamedIn(test.catalog, repoId, packOf("never pushed"))).length, 0);
    },
  );
  await Deno.remove(folder, { recursive: true });
});

/** Blobs of the repo that gc of this database would take for garbage. */
function garbageIn(db: Database, repoId: string): Promise<string[]> {
  return unnamedIn(db, repoId, packOf("no history"));
}

async function unnamedIn(db: Database, repoId: string, pack: Uint8Array): Promise<string[]> {
  const mpack_key = mpackKey(pack), key = `mpacks/${repoId}/${mpack_key}`;
  const found = await unnamedBlobs(db, [{ key, pack_repo: repoId, mpack_key }]);
  return found.filter(({ isRepoKnown }) => isRepoKnown).map(({ key }) => key);
}

Deno.test("abortRepoMove() leaves a repo where it was, and nothing in the new shard", async (t) => {
  await using test = await openShardedCatalog(await twoServers());
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const store = await openFileStore(folder);
  const { s1, s2, repo } = await prepare(test, store);
  const content = await dumpContent(s1);
  for (
    const last of [
      "hold a repo that moves",
      "write rows of a repo into musehub_tags",
      "add up a repo's rows in musehub_branches",
    ]
  ) {
    await t.step(`after "${last}"`, async () => {
      const options = optionsOf(test, repo, "s2");
      await assert.rejects(
        moveRepo(mortal(options, (action) => action === last)),
        KilledError,
      );
      await abortRepoMove(options);
      assert.deepEqual((await rowsOf(s1, repo)).filter((name) => /move/.test(name)), []);
      assert.equal(await dumpContent(s1), content);
      assert.deepEqual(await rowsOf(s2, repo), []);
      const payload = { mpack_key: mpackKey(packOf(last)) };
      await enqueue(s1, { repoId: repo.repoId, jobType: "mpack.index", payload });
      assert.equal((await claimJobs(s1, CLAIM)).length > 0, true);
    });
  }
  await t.step("a repo of an owner with a limit does not move alone", async () => {
    await createRepo(test.catalog, { owner: "me", slug: "other" });
    await assert.rejects(
      moveRepo(optionsOf(test, repo, "s2", { hasOwnerLimit: true })),
      ConfigError,
    );
  });
  await Deno.remove(folder, { recursive: true });
});
