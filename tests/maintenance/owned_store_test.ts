import assert from "node:assert/strict";
import { readIdentity } from "../../src/db/store_owner.ts";
import { WrongStoreError } from "../../src/errors.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { getJob } from "../../src/jobs/queue/get_job.ts";
import { ownedStore } from "../../src/maintenance/owned_store.ts";
import { claimStore } from "../../src/maintenance/store_owner.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { runMain, startMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";

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
  try {
    await until(() => log.includes("Listening"));
    await Deno.rename(folder, `${folder}.away`);
    await Deno.mkdir(folder);
    const payload = { mpack_key: key };
    const { row } = await enqueue(db, { repoId, jobType: "mpack.index", payload });
    await until(() => log.includes("postponed, its attempt is not counted"));
    const job = await getJob(db, row.jobId);
    assert.deepEqual([job?.status, job?.attempt], ["pending", 0]);
    await Deno.remove(folder, { recursive: true });
    await Deno.rename(`${folder}.away`, folder);
    await db.sql`update musehub_background_jobs set run_at = null`;
    await until(async () => (await getJob(db, row.jobId))?.status === "done");
  } finally {
    child.kill("SIGTERM");
    await Promise.all([child.stdout.cancel(), reading, child.status]);
  }
});

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !await isTrue(); i++) {
    assert.ok(i < 1_200, "it did not happen within a minute");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
