import assert from "node:assert/strict";
import { readIdentity } from "../../src/db/store_owner.ts";
import { indexMpack, pushMpack } from "../../mod.ts";
import { ConfigError, WrongStoreError } from "../../src/errors.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { readMarker } from "../../src/stream/store/store_marker.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { getJob } from "../../src/jobs/queue/get_job.ts";
import { ownedStore } from "../../src/maintenance/owned_store.ts";
import { claimStore } from "../../src/maintenance/store_owner.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { runMain, startMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { until } from "../support/until.ts";

const PACK = buildMpack({ objects: [object({ content: sampleBytes(5_000) })] });

Deno.test("ownedStore() says that a blob is missing only of the right store", async () => {
  await using fixture = await createFixture();
  const { db, store, folder } = fixture, config = fixture.config();
  await claimStore({ db, store, config });
  const { databaseId } = await readIdentity(db), owned = ownedStore(store, databaseId);
  const key = `mpacks/${fixture.repo.repoId}/${mpackKey(PACK)}`;
  await assert.rejects(owned.stat(key), { code: "blob-missing" });
  await fixture.put(PACK);
  assert.equal((await owned.stat(key)).sizeBytes, PACK.length);
  // The mount is gone: an empty folder is in its place.
  await Deno.rename(folder, `${folder}.away`);
  await Deno.mkdir(folder);
  await assert.rejects(owned.stat(key), WrongStoreError);
  await assert.rejects(owned.open(key), WrongStoreError);
  await assert.rejects(
    ownedStore(store, databaseId).put(key, ReadableStream.from([PACK])),
    WrongStoreError,
  );
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  await Deno.remove(folder);
  await Deno.rename(`${folder}.away`, folder);
  assert.equal((await owned.stat(key)).sizeBytes, PACK.length);
});

Deno.test("a worker whose store is unmounted keeps the attempts of its jobs", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId }, folder } = fixture;
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${folder}` };
  assert.equal((await runMain(["worker", "--drain"], env)).code, 0);
  const key = await fixture.put(PACK);
  const child = startMain(["worker", "--poll-ms", "50"], env);
  let log = "";
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) log += text;
  })();
  const said = { found: () => log.slice(-2_000) };
  try {
    await until("it listens", () => log.includes("Listening"), said);
    await Deno.rename(folder, `${folder}.away`);
    await Deno.mkdir(folder);
    const payload = { mpack_key: key };
    const { row } = await enqueue(db, { repoId, jobType: "mpack.index", payload });
    await until(
      "the job is postponed",
      () => log.includes("postponed, its attempt is not counted"),
      said,
    );
    const job = await getJob(db, row.jobId);
    assert.deepEqual([job?.status, job?.attempt], ["pending", 0]);
    await Deno.remove(folder, { recursive: true });
    await Deno.rename(`${folder}.away`, folder);
    await db.sql`update musehub_background_jobs set run_at = null`;
    await until("it is done", async () => (await getJob(db, row.jobId))?.status === "done", said);
  } finally {
    child.kill("SIGTERM");
    await Promise.all([child.stdout.cancel(), reading, child.status]);
  }
});

/** Puts an empty folder in place of a store, as a lost mount leaves it, while `work` runs. */
async function unmounted(folder: string, work: () => Promise<void>): Promise<void> {
  await Deno.rename(folder, `${folder}.away`);
  await Deno.mkdir(folder);
  try {
    await work();
    assert.deepEqual([...Deno.readDirSync(folder)], [], "nothing is written beside the store");
  } finally {
    await Deno.remove(folder, { recursive: true });
    await Deno.rename(`${folder}.away`, folder);
  }
}

Deno.test("cat and export say that the store is gone, not that a blob is missing", async (t) => {
  await using fixture = await createFixture();
  const { folder, db, repo: { repoId } } = fixture, content = sampleBytes(5_000);
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${folder}` };
  const pack = await Deno.makeTempFile({ prefix: "mpackd-test-" });
  await Deno.writeFile(pack, PACK);
  const indexed = await runMain(["index", pack, "--repo", "me/repo"], env);
  assert.equal(indexed.code, 0, indexed.stderr);
  const id = mpackKey(content), archive = `${pack}.tar`;
  const cat = ["cat", id, "--repo", "me/repo", "--json"];
  const all = ["export", "--repo", "me/repo", "--to", archive, "--json"];
  for (const command of [cat, all]) {
    await t.step(`${command[0]}: 4`, () =>
      unmounted(folder, async () => {
        const { code, stdout } = await runMain(command, env);
        assert.equal(code, 4, stdout);
        const { error } = JSON.parse(stdout);
        assert.equal(error.code, "store-unavailable");
        assert.match(error.message, /has lost its marker. Is it mounted\?/);
      }));
  }
  await t.step("mounted, a blob that is missing is called missing: 4", async () => {
    await Deno.remove(fixture.blobPath(mpackKey(PACK)));
    const { code, stdout } = await runMain(cat, env);
    assert.deepEqual([code, JSON.parse(stdout).error.code], [4, "blob-missing"]);
  });
  assert.equal((await db.sql`select from musehub_mpacks where repo_id = ${repoId}`).length, 1);
  await Deno.remove(pack);
  await Deno.remove(archive).catch(() => {});
});

Deno.test("the library compares the store's marker, as the commands do", async (t) => {
  await using fixture = await createFixture();
  const { db, store, folder, repo: { repoId } } = fixture, config = fixture.config();
  const push = (which = store) =>
    pushMpack({
      ...{ db, store: which, config, repoId, worker: "test", mpackKey: mpackKey(PACK) },
      body: ReadableStream.from([PACK.slice()]),
    });
  await t.step("the first use marks the store", async () => {
    await push();
    assert.equal((await readMarker(store))?.databaseId, (await readIdentity(db)).databaseId);
  });
  await t.step("another store without a marker is refused, and stays empty", async () => {
    const other = await Deno.makeTempDir({ prefix: "mpackd-test-" });
    await assert.rejects(push(openFileStore(other)), ConfigError);
    const mpack = { db, store: openFileStore(other), config, repoId, mpackKey: mpackKey(PACK) };
    await assert.rejects(indexMpack(mpack), ConfigError);
    assert.deepEqual([...Deno.readDirSync(other)], []);
    await Deno.remove(other);
  });
  await t.step("another database is refused", async () => {
    await using stranger = await createFixture();
    const mpack = { db: stranger.db, store, config, mpackKey: mpackKey(PACK) };
    await assert.rejects(indexMpack({ ...mpack, repoId: stranger.repo.repoId }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /the store belongs to the database/);
      return true;
    });
  });
  await t.step(
    "a lost mount is noticed after the claim: no job waits for bytes that are gone",
    () =>
      unmounted(folder, async () => {
        await new Promise((resolve) => setTimeout(resolve, 1_100));
        await assert.rejects(push(), WrongStoreError);
        const open = await db.sql`
        select from musehub_background_jobs where status in ('pending', 'running')`;
        assert.equal(open.length, 0);
        const mpack = { db, store, config, repoId, mpackKey: mpackKey(PACK) };
        await assert.rejects(indexMpack(mpack), WrongStoreError);
      }),
  );
  await t.step("mounted again, the pack can be pushed and indexed", async () => {
    await db.sql`update musehub_background_jobs set run_at = null`;
    assert.equal((await push()).object_refs_written, 0);
    await indexMpack({ db, store, config, repoId, mpackKey: mpackKey(PACK) });
  });
});
