import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { findRepoFor } from "../../../src/db/collaborators.ts";
import { createRepo, findRepo, listRepos } from "../../../src/db/repos.ts";
import {
  copyRepo,
  findHome,
  findShard,
  insertShard,
  listShards,
  placeRepo,
  setShardState,
} from "../../../src/db/shards/catalog.ts";
import { requireShardName, shardUrl } from "../../../src/db/shards/shard.ts";
import { ShardPools } from "../../../src/db/shards/shard_pools.ts";
import { PushStarter } from "../../../src/jobs/index/begin_push.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { ConfigError, DatabaseError, ShardMovedError } from "../../../src/errors.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";
import { openTestShards } from "../../support/postgres/shards.ts";
import { startTestServer } from "../../support/postgres/test_server.ts";

const schemaOf = async ({ sql }: Database): Promise<string> =>
  (await sql`select current_schema() as name`)[0].name;
const countOf = async ({ sql }: Database, of: string): Promise<number> =>
  (await sql`select count(*)::int as n from pg_stat_activity
    where application_name = 'mpackd' and datname = current_database()
      and query like ${`%${of}%`} and pid <> pg_backend_pid()`)[0].n;

Deno.test("shardUrl() takes what a shard's URL lacks from the catalog's", () => {
  const catalog = "postgres://ann:secret@h1,h2:5433/main?sslmode=require&schema=x";
  assert.equal(
    shardUrl("postgres://h3/other?search_path=s1", catalog),
    "postgres://ann:secret@h3/other?search_path=s1",
  );
  assert.equal(
    shardUrl("postgres://bob@h3/other?search_path=s1", catalog),
    "postgres://bob@h3/other?search_path=s1",
  );
  assert.equal(
    shardUrl("?search_path=s1", catalog),
    "postgres://ann:secret@h1,h2:5433/main?sslmode=require&search_path=s1",
  );
  assert.equal(shardUrl("?search_path=s1", "postgres://h/d"), "postgres://h/d?search_path=s1");
  assert.throws(() => shardUrl("http://h/d", catalog), ConfigError);
});

Deno.test("requireShardName() refuses names that could be schemas of others, or mean more", () => {
  assert.equal(requireShardName("s1"), "s1");
  for (const name of ["", "S1", "1s", "catalog", "all", "a b", "a\0", "a".repeat(51)]) {
    assert.throws(() => requireShardName(name), ConfigError, name);
  }
});

Deno.test("the catalog says where a repo lives, by each way to find it", async () => {
  await using test = await openTestShards();
  const { catalog, pools, shards } = test;
  const { repo: kept } = await createRepo(catalog, { owner: "ann", slug: "kept" });
  const { repo } = await createRepo(catalog, { owner: "ann", slug: "song" });
  assert.equal(repo.home, undefined);
  assert(await placeRepo(catalog, { repoId: repo.repoId, from: null, to: "s2" }));
  assert(!await placeRepo(catalog, { repoId: repo.repoId, from: null, to: "s1" }));
  const home = { shard: "s2", version: 1 };
  assert.deepEqual((await findRepo(catalog, repo))?.home, home);
  assert.deepEqual((await findRepoFor(catalog, repo, undefined))?.home, home);
  assert.deepEqual(await findHome(catalog, repo.repoId), { home });
  assert.deepEqual(await findHome(catalog, kept.repoId), { home: undefined });
  assert.equal(await findHome(catalog, "none"), undefined);
  for await (const page of listRepos(catalog)) {
    assert.deepEqual(page.map((one) => one.home), [undefined, home]);
  }
  const { db, name } = await pools.at(home);
  assert.equal(name, "s2");
  assert.equal(await schemaOf(db), "s2");
  assert.equal((await pools.at(undefined)).db, catalog);
  await copyRepo(catalog, db, repo.repoId);
  await copyRepo(catalog, db, repo.repoId);
  const [copy] = await shards[1].sql`select repo_id, owner, slug, shard from musehub_repos`;
  assert.deepEqual({ ...copy }, { repo_id: repo.repoId, owner: "ann", slug: "song", shard: null });
  assert.deepEqual(await Promise.all((await pools.all()).map((one) => one.open().then(schemaOf))), [
    "public",
    "s1",
    "s2",
  ]);
});

Deno.test("nobody indexes in the catalog what lives in a shard", async () => {
  await using test = await openTestShards();
  const { catalog } = test;
  const { repo: { repoId } } = await createRepo(catalog, { owner: "ann", slug: "song" });
  await placeRepo(catalog, { repoId, from: null, to: "s1" });
  const job = { repoId, jobType: "mpack.index", payload: { mpack_key: "sha256:00" } };
  const claimAs = { worker: "test", leaseMs: 30_000 };
  await assert.rejects(enqueue(catalog, { ...job, claimAs }), ShardMovedError);
  const begun = new PushStarter(catalog).begin({
    ...{ repoId, mpackKey: undefined, sizeBytes: undefined, branch: undefined, payload: {} },
    ...claimAs,
    defaults: { owner: {}, repo: {} },
  });
  await assert.rejects(begun, ShardMovedError);
  assert.equal((await catalog.sql`select from musehub_background_jobs`).length, 0);
  // Other programs know only the catalog: a worker forwards what they put there.
  assert.equal((await enqueue(catalog, job)).existing, false);
});

Deno.test("ShardPools goes to the new place of a shard as soon as a repo names its version", async () => {
  await using test = await openTestShards();
  const { catalog, pools, shards, shardUrls: [, second] } = test;
  const before = await pools.at({ shard: "s1", version: 1 });
  await shards[1].sql`update mpackd_database set shard = 's1'`;
  await catalog.sql`update mpackd_shards set url = ${second}, version = 2 where name = 's1'`;
  assert.equal((await pools.at({ shard: "s1", version: 1 })).db, before.db);
  const after = await pools.at({ shard: "s1", version: 2 });
  assert.equal(await schemaOf(after.db), "s2");
  // A request that has read the older version goes to the new place, too.
  assert.equal((await pools.at({ shard: "s1", version: 1 })).db, after.db);
  // What began before may end.
  assert.equal(await schemaOf(before.db), "s1");
});

Deno.test("ShardPools refuses a schema that is not the shard of this catalog", async (t) => {
  await using test = await openTestShards();
  const { catalog, catalogUrl, pools, shards: [db], shardUrls: [first] } = test;
  await t.step("another shard of this catalog", async () => {
    await insertShard(catalog, { name: "s3", url: first, replicaUrl: null, storeUrl: null });
    const opened = pools.at({ shard: "s3", version: 1 });
    await assert.rejects(opened, /that schema is shard s1 of this catalog/);
  });
  await t.step("the catalog itself", async () => {
    await insertShard(catalog, { name: "s4", url: catalogUrl, replicaUrl: null, storeUrl: null });
    const opened = pools.at({ shard: "s4", version: 1 });
    await assert.rejects(opened, /that schema is no shard of any catalog/);
  });
  await t.step("a shard of another catalog", async () => {
    await db.sql`update mpackd_database set catalog_id = 'another'`;
    const opened = pools.at({ shard: "s1", version: 1 });
    await assert.rejects(opened, (error) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, /is shard s1 of another catalog/);
      assert.doesNotMatch(error.message, /postgres:\/\//);
      return true;
    });
  });
  await t.step("no shard at all", async () => {
    const opened = pools.at({ shard: "none", version: 1 });
    await assert.rejects(opened, /Cannot find shard none/);
  });
});

Deno.test("the catalog's rows of shards", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  const shard = { name: "s1", url: "?search_path=s1", replicaUrl: null, storeUrl: null };
  assert(await insertShard(db, shard));
  assert(!await insertShard(db, { ...shard, url: "?search_path=s2" }));
  const found = await findShard(db, "s1");
  assert.deepEqual({ ...found, addedAt: 0 }, { ...shard, state: "open", version: 1, addedAt: 0 });
  assert(await setShardState(db, "s1", "drained"));
  assert(!await setShardState(db, "s2", "drained"));
  assert.deepEqual((await listShards(db)).map(({ state }) => state), ["drained"]);
});

Deno.test("all shards together have no more connections than their cap, and each has one", async () => {
  await using test = await openTestShards([undefined, undefined, undefined], {
    maxConnections: 4,
  });
  const { pools, catalog } = test;
  const [, ...shards] = await pools.all();
  const dbs = await Promise.all(shards.map((one) => one.open()));
  let most = 0;
  const watching = { isOver: false };
  const watch = (async () => {
    while (!watching.isOver) most = Math.max(most, await countOf(catalog, "pg_sleep"));
  })();
  const work = dbs.flatMap((db) =>
    Array.from({ length: 8 }, () => db.query("sleep")`select pg_sleep(0.02)`)
  );
  await Promise.all(work);
  // One shard after the other gets most of them, also while the others keep theirs open.
  for (const db of dbs) {
    await Promise.all(Array.from({ length: 8 }, () => db.query("sleep")`select pg_sleep(0.02)`));
  }
  watching.isOver = true;
  await watch;
  assert(most <= 4 + 3, `${most} connections`);
  assert(most > 3, `${most} connections`);
});

Deno.test("a statement that gets no connection in time fails unsent, and the next ones go on", async () => {
  await using test = await openTestShards([undefined], { maxConnections: 0 });
  const { db } = await test.pools.at({ shard: "s1", version: 1 });
  const blocking = db.query("sleep")`select pg_sleep(0.5)`;
  const late = db.query("count repos", { deadlineMs: 50 })`select 1`;
  await assert.rejects(
    late,
    /Cannot count repos on shard s1 .*all connections were busy for 50 ms/,
  );
  await blocking;
  assert.equal((await db.query("count repos")`select 1`).length, 1);
});

Deno.test("a shard whose server is gone fails its own callers, and comes back", async () => {
  // What was committed must outlive the process, though not the machine.
  await using server = await startTestServer({ settings: { synchronous_commit: "on" } });
  await using test = await openTestShards([undefined, server.url]);
  const { catalog, catalogUrl } = test;
  await using pools = new ShardPools({ catalog, catalogUrl, maxConnections: 4 });
  const opened = await pools.at({ shard: "s2", version: 1 });
  await server.kill();
  const statement = () => opened.db.query("count repos")`select 1`;
  await assert.rejects(statement, (error) => {
    assert(error instanceof DatabaseError && error.retryable);
    assert.match(error.message, /shard s2/);
    return true;
  });
  const away = Array.from({ length: 20 }, () => statement().then(() => "up", () => "away"));
  const { db } = await pools.at({ shard: "s1", version: 1 });
  const others = Array.from({ length: 20 }, () => db.query("count repos")`select 1`);
  assert.equal((await Promise.all(others)).length, 20);
  assert.deepEqual(new Set(await Promise.all(away)), new Set(["away"]));
  // A pool that never reached its shard is not kept.
  await using later = new ShardPools({ catalog, catalogUrl, maxConnections: 4 });
  await assert.rejects(later.at({ shard: "s2", version: 1 }), DatabaseError);
  await server.start();
  assert.equal(await schemaOf((await later.at({ shard: "s2", version: 1 })).db), "s2");
  assert.equal((await statement()).length, 1);
});
