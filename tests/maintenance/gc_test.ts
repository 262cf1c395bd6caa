import assert from "node:assert/strict";
import { stageBatch } from "../../src/db/publish/stage.ts";
import { testWebhook } from "../../src/db/webhooks/deliveries.ts";
import { addWebhook } from "../../src/db/webhooks/webhooks.ts";
import { writeTombstones } from "../../src/db/tombstones.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { enqueue } from "../../src/jobs/queue/mod.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { MARKER_KEY } from "../../src/stream/store/store_marker.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { blobNames } from "../../src/maintenance/gc/blob_names.ts";
import { collectGarbage, type GcOptions } from "../../src/maintenance/gc/gc.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { columns, REPO_ID, startJob } from "../support/process/leases.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { commitRecord } from "../support/history/records.ts";

const CONTENTS = Array.from({ length: 20 }, (_, i) => sampleBytes(20 + i, i + 1));
const DAY_MS = 24 * 60 * 60 * 1000;

function packOf(...numbers: number[]): Uint8Array {
  return buildMpack({ objects: numbers.map((i) => object({ content: CONTENTS[i] })) });
}

async function gc(fixture: TestFixture, options: Partial<GcOptions> = {}) {
  const collected: string[] = [];
  const { elapsed_ms: _, dry_run: __, store_bytes: ___, ...summary } = await collectGarbage({
    db: fixture.db,
    store: fixture.store,
    config: fixture.config(),
    graceMs: DAY_MS,
    signal: new AbortController().signal,
    onCollected: (kind, name) => collected.push(`${kind} ${name.slice(-12)}`),
    ...options,
  });
  const found = Object.fromEntries(Object.entries(summary).filter(([, count]) => count > 0));
  return { found, collected };
}

/** Makes every blob, and every pack's row, two days old. */
async function age(fixture: TestFixture): Promise<void> {
  const then = new Date(Date.now() - 2 * DAY_MS);
  for await (const { key } of fixture.store.list("")) {
    await Deno.utime(`${fixture.folder}/${key}`, then, then);
  }
  await fixture.db.sql`update musehub_mpacks set indexed_at = ${then}`;
  // A blob's time is part of its version.
  for (const { mpack_id, blob_key } of await fixture.db.sql`select * from musehub_mpacks`) {
    const { etag } = await fixture.store.stat(blob_key);
    await fixture.db.sql`update musehub_mpacks set etag = ${etag} where mpack_id = ${mpack_id}`;
  }
}

async function keys(store: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list("")) if (key !== MARKER_KEY) found.push(key);
  return found;
}

Deno.test("collectGarbage() takes nothing that is young or needed", async () => {
  await using fixture = await createFixture();
  await indexMpack({
    ...fixture.options(await fixture.put(packOf(0, 1, 2))),
    payload: { materialize: true },
  });
  await fixture.put(packOf(3));
  const before = [await fixture.dump(), await keys(fixture.store)];
  assert.deepEqual(await gc(fixture), { found: {}, collected: [] });
  await age(fixture);
  // Now the blob that nobody indexed is old, and a foreign one, which is not ours to judge.
  await fixture.store.put("mpacks/readme.txt", ReadableStream.from([new Uint8Array(3)]));
  await age(fixture);
  const stray = `blob ${mpackKey(packOf(3)).slice(-12)}`;
  const steps: string[] = [];
  const dry = await gc(fixture, { isDryRun: true, onStep: (step) => void steps.push(step) });
  assert.deepEqual([...steps.slice(0, 3), ...steps.slice(-3)], [
    ...["staged rows", "deleted repos", "history"],
    ...["unused mpacks", "blobs", "half-written blobs"],
  ]);
  assert.deepEqual(dry, { found: { blobs: 1, blob_bytes: packOf(3).length }, collected: [stray] });
  assert.equal((await keys(fixture.store)).length, before[1].length + 1);
  assert.deepEqual((await gc(fixture)).collected, [stray]);
  assert.equal((await keys(fixture.store)).length, before[1].length);
  assert.deepEqual(await gc(fixture), { found: {}, collected: [] });
});

Deno.test("collectGarbage() collects staged rows of jobs that are not open", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, rows = columns(["a", 1], ["b", 2]);
  const [dead, alive] = [
    await startJob(db, fixture.repo.repoId),
    await startJob(db, fixture.repo.repoId),
  ];
  for (const job of [dead, alive]) {
    for (let batch = 0; batch < 3; batch++) {
      await stageBatch(db, job, { leaseMs: 60_000, batch, progress: {}, rows, repoId: REPO_ID });
    }
  }
  await db.sql`update musehub_background_jobs set status = 'failed' where job_id = ${dead.jobId}`;
  assert.deepEqual((await gc(fixture, { isDryRun: true })).found, { staged_batches: 3 });
  assert.equal(await fixture.staged(), 6);
  assert.deepEqual((await gc(fixture)).found, { staged_batches: 3 });
  assert.equal(await fixture.staged(), 3);
});

Deno.test("collectGarbage() leaves a blob that an open job names, however old", async () => {
  await using fixture = await createFixture();
  const key = await fixture.put(packOf(1, 2));
  await age(fixture);
  const { db, repo } = fixture;
  await enqueue(db, { repoId: repo.repoId, jobType: "mpack.index", payload: { mpack_key: key } });
  assert.deepEqual((await gc(fixture)).found, {});
  const result = await indexMpack(fixture.options(key));
  assert.equal(result.objects_written, 2);
  assert.deepEqual((await gc(fixture)).found, {});
});

Deno.test("collectGarbage() keeps the blob of a job that can be retried, until it is purged", async (t) => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  const cases: [status: string, code: string | null, isKept: boolean][] = [
    ["failed", "store-unavailable", true],
    ["failed", "database-unavailable", true],
    ["failed", "blob-missing", true],
    ["failed", "internal", true],
    ["failed", "limit-exceeded", true],
    ["failed", "ghost-objects", true],
    ["failed", null, true],
    ["cancelled", null, true],
    ["failed", "digest-mismatch", false],
    ["failed", "malformed-msgpack", false],
    ["done", null, false],
  ];
  for (const [i, [status, code, isKept]] of cases.entries()) {
    await t.step(`${status} ${code ?? "without an error"}`, async () => {
      const key = await fixture.put(packOf(i));
      const payload = { mpack_key: key };
      const { row } = await enqueue(db, { repoId: repo.repoId, jobType: "mpack.index", payload });
      const error = code && JSON.stringify({ code, message: "" });
      await db.sql`update musehub_background_jobs set status = ${status}, finished_at = now(),
        last_error = ${error}::text::json where job_id = ${row.jobId}`;
      await age(fixture);
      const name = `blob ${key.slice(-12)}`;
      assert.deepEqual((await gc(fixture)).collected, isKept ? [] : [name]);
      await db.sql`delete from musehub_background_jobs`;
      assert.deepEqual((await gc(fixture)).collected, isKept ? [name] : []);
    });
  }
  await t.step("not after the repo was deleted", async () => {
    const key = await fixture.put(packOf(1));
    const payload = { mpack_key: key };
    await enqueue(db, { repoId: repo.repoId, jobType: "mpack.index", payload });
    await db.sql`update musehub_repos set deleted_at = now() - interval '2 days'`;
    await age(fixture);
    const { found } = await gc(fixture);
    assert.deepEqual([found.repos, found.blobs], [1, 1]);
  });
});

Deno.test("collectGarbage() collects a pack that no ref points into, unless it has history", async () => {
  await using fixture = await createFixture();
  await indexMpack(fixture.options(await fixture.put(packOf(0, 1, 2))));
  const useless = await fixture.put(packOf(1, 2));
  await indexMpack(fixture.options(useless));
  const slim = buildMpack({ commits: [commitRecord()], objects: [] });
  await indexMpack(fixture.options(await fixture.put(slim)));
  await age(fixture);
  const { found, collected } = await gc(fixture);
  const name = useless.slice(-12);
  assert.deepEqual(collected, [`mpack ${name}`, `blob ${name}`]);
  assert.deepEqual([found.mpacks, found.blobs], [1, 1]);
  assert.equal((await keys(fixture.store)).length, 2);
  // It can come again.
  await indexMpack(fixture.options(await fixture.put(packOf(1, 2))));
  assert.deepEqual((await gc(fixture)).found, {});
});

Deno.test("collectGarbage() collects a deleted repo with all it has, and nothing of another one", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  const key = await fixture.put(packOf(0, 1, 2));
  const payload = { materialize: true };
  await indexMpack({ ...fixture.options(key), payload });
  await db.sql`insert into musehub_repos (repo_id, owner, slug) values ('other', 'me', 'other')`;
  const other = `mpacks/other/${key}`;
  await fixture.store.put(other, ReadableStream.from([packOf(0, 1, 2)]));
  await indexMpack({ ...fixture.options(key), repoId: "other", payload });
  const hook = { url: "https://a.test/", host: "a.test", events: ["branch.moved"] };
  for (const repoId of [repo.repoId, "other"]) {
    const { webhookId } = await addWebhook(db, { repoId, ...hook });
    await testWebhook(db, repoId, webhookId);
  }
  await db.sql`update musehub_repos set deleted_at = now() - interval '2 days'
    where repo_id = ${repo.repoId}`;
  await age(fixture);
  const dry = await gc(fixture, { isDryRun: true });
  assert.deepEqual([dry.found.repos, dry.found.refs, dry.found.mpacks], [1, 3, 1]);
  const { found, collected } = await gc(fixture);
  assert.deepEqual([found.repos, found.refs, found.mpacks, found.blobs], [1, 3, 1, 4]);
  assert.equal(collected[0], "repo me/repo");
  const left = await keys(fixture.store);
  assert.equal(left.length, 4);
  assert.ok(left.every((blob) => blob.includes("/other/")));
  const [{ refs }] = await db.sql`select count(*)::int as refs from musehub_object_refs`;
  assert.equal(refs, 3);
  const hooks = await db.sql`select w.repo_id from mpackd_webhooks w
    full join mpackd_deliveries d on d.webhook_id = w.webhook_id`;
  assert.deepEqual(hooks.map(({ repo_id }) => repo_id), ["other"]);
  const [{ tombstones }] = await db.sql`select count(*)::int as tombstones from mpackd_tombstones`;
  assert.equal(tombstones, 0);
});

Deno.test("collectGarbage() leaves a deleted repo whose job still runs, and asks that to stop", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  const job = await startJob(db, repo.repoId);
  await db.sql`update musehub_repos set deleted_at = now() - interval '2 days'`;
  assert.deepEqual((await gc(fixture)).found, { postponed: 1 });
  const [row] = await db.sql`select cancel_requested, status from musehub_background_jobs
    where job_id = ${job.jobId}`;
  assert.deepEqual([row.status, row.cancel_requested], ["running", true]);
  await db.sql`update musehub_background_jobs set status = 'cancelled'`;
  assert.deepEqual((await gc(fixture)).found, { repos: 1 });
});

Deno.test("collectGarbage() leaves the row of a deleted repo that other programs point at", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  await indexMpack(fixture.options(await fixture.put(packOf(0))));
  await db.sql`create table stars (repo_id text collate "C" references musehub_repos)`;
  await db.sql`insert into stars select repo_id from musehub_repos`;
  await db.sql`update musehub_repos set deleted_at = now() - interval '2 days'`;
  await age(fixture);
  const { found } = await gc(fixture);
  assert.deepEqual(
    [found.repos, found.refs, found.mpacks, found.blobs, found.postponed],
    [undefined, 1, 1, 1, 1],
  );
});

Deno.test("a pack whose blob has a tombstone cannot be published until the tombstone is removed", async () => {
  await using fixture = await createFixture();
  const key = await fixture.put(packOf(0, 1)), name = `mpacks/${fixture.repo.repoId}/${key}`;
  const before = await fixture.dump();
  assert.deepEqual(await writeTombstones(fixture.db, [name]), [name]);
  // A second gc does not get it.
  assert.deepEqual(await writeTombstones(fixture.db, [name]), []);
  await fixture.db.sql`update mpackd_tombstones set created_at = now() - interval '10 minutes'`;
  await assert.rejects(indexMpack(fixture.options(key)), {
    code: "blob-missing",
    message: /push it again when that gc has ended\. If gc was killed, .* in 50 minutes, or once/,
  });
  assert.equal(await fixture.dump(), before);
  // The gc that wrote the tombstone was killed a while ago.
  await fixture.db.sql`update mpackd_tombstones set created_at = now() - interval '20 minutes'`;
  await gc(fixture);
  assert.equal((await indexMpack(fixture.options(key))).objects_written, 2);
});

Deno.test("collectGarbage() leaves a blob that was written again after it was listed", async () => {
  await using fixture = await createFixture();
  const key = await fixture.put(packOf(0, 1));
  await age(fixture);
  let lists = 0;
  const store: BlobStore = Object.create(fixture.store, {
    list: {
      value: async function* (...args: Parameters<BlobStore["list"]>) {
        if (++lists > 1) await fixture.put(packOf(0, 1));
        yield* fixture.store.list(...args);
      },
    },
    delete: { value: fixture.store.delete.bind(fixture.store) },
    sweep: { value: () => Promise.resolve(0) },
  });
  assert.deepEqual((await gc(fixture, { store })).found, {});
  assert.equal((await indexMpack(fixture.options(key))).objects_written, 2);
});

Deno.test("collectGarbage() collects what a killed materialization has left", async () => {
  await using fixture = await createFixture();
  for (const content of CONTENTS.slice(0, 3)) {
    const key = `objects/${fixture.repo.repoId}/${mpackKey(content)}`;
    await fixture.store.put(key, ReadableStream.from([content]));
  }
  // The one that the repo has a ref for by now is kept: it is what its key says.
  await indexMpack(fixture.options(await fixture.put(packOf(1))));
  await age(fixture);
  const { collected } = await gc(fixture);
  assert.deepEqual(
    collected.sort(),
    [CONTENTS[0], CONTENTS[2]].map((blob) => `blob ${mpackKey(blob).slice(-12)}`).sort(),
  );
  // A pack that brings them again writes them again.
  const payload = { materialize: true };
  const { materialized } = await indexMpack({
    ...fixture.options(await fixture.put(packOf(0, 1, 2))),
    payload,
  });
  assert.deepEqual(materialized, { written: 2, existing: 1, mismatched: 0 });
});

Deno.test("collectGarbage() removes half-written files, and keeps those being written", async () => {
  await using fixture = await createFixture();
  // The first write to a folder removes old files, too: here it is the marker.
  await gc(fixture);
  await Deno.mkdir(`${fixture.folder}/.tmp`, { recursive: true });
  for (const name of ["old", "young"]) {
    await Deno.writeFile(`${fixture.folder}/.tmp/${name}`, new Uint8Array(9));
  }
  const then = new Date(Date.now() - 2 * DAY_MS);
  await Deno.utime(`${fixture.folder}/.tmp/old`, then, then);
  assert.deepEqual((await gc(fixture, { isDryRun: true })).found, { half_written: 1 });
  assert.deepEqual((await gc(fixture)).found, { half_written: 1 });
  assert.deepEqual([...Deno.readDirSync(`${fixture.folder}/.tmp`)].map(({ name }) => name), [
    "young",
  ]);
  const empty = openFileStore(`${fixture.folder}/nothing`);
  assert.equal(await empty.sweep!({ before: new Date() }), 0);
});

Deno.test("blobNames() reads keys back from any template", () => {
  const digest = mpackKey(new Uint8Array());
  const read = (blobKey: string, objectKey: string, key: string) => {
    const names = blobNames({ blobKey, objectKey });
    return [names.prefixes, names.read(key)];
  };
  const none = {
    pack_repo: undefined,
    mpack_key: undefined,
    object_repo: undefined,
    object_id: undefined,
  };
  assert.deepEqual(
    read("mpacks/{repo_id}/{mpack_key}", "objects/{repo_id}/{object_id}", `mpacks/a/b/${digest}`),
    [
      ["mpacks/", "objects/"],
      { ...none, key: `mpacks/a/b/${digest}`, pack_repo: "a/b", mpack_key: digest },
    ],
  );
  assert.deepEqual(read("p/{mpack_key}.mpack", "p/{object_id}", `p/${digest}xmpack`), [
    ["p/"],
    undefined,
  ]);
  // Where either template may have made the key, both readings count.
  assert.deepEqual(read("{repo_id}/{mpack_key}", "{repo_id}/{object_id}", `r/${digest}`), [
    [""],
    { key: `r/${digest}`, pack_repo: "r", mpack_key: digest, object_repo: "r", object_id: digest },
  ]);
});

Deno.test("collectGarbage() takes no pack for an object where the templates are alike", async () => {
  await using fixture = await createFixture();
  const env = {
    MPACK_BLOB_KEY: "x/{repo_id}/{mpack_key}",
    MPACK_OBJECT_KEY: "x/{repo_id}/{object_id}",
  };
  const bytes = packOf(0, 1), key = mpackKey(bytes), blob = `x/${fixture.repo.repoId}/${key}`;
  await fixture.store.put(blob, ReadableStream.from([bytes]));
  await indexMpack({ ...fixture.options(key, env), payload: { materialize: true } });
  await age(fixture);
  assert.deepEqual((await gc(fixture, { config: fixture.config(env) })).found, {});
});

Deno.test({
  name: "collectGarbage() on a real S3 engine collects blobs and unfinished uploads",
  ignore: s3Engine === undefined,
  fn: async () => {
    await using fixture = await createFixture();
    await using bucket = await makeBucket();
    const { store } = bucket,
      put = (bytes: Uint8Array) =>
        store.put(`mpacks/${fixture.repo.repoId}/${mpackKey(bytes)}`, ReadableStream.from([bytes]));
    await put(packOf(0, 1));
    await indexMpack({ ...fixture.options(mpackKey(packOf(0, 1))), store });
    await put(packOf(2));
    const query = { uploads: "" };
    await bucket.admin.makeRequest({ method: "POST", objectName: "mpacks/half", query });
    // The engine's clock counts seconds.
    const graceMs = -5_000;
    assert.deepEqual((await gc(fixture, { store })).found, {});
    const dry = await gc(fixture, { store, graceMs, isDryRun: true });
    assert.deepEqual([dry.found.blobs, dry.found.half_written], [1, 1]);
    assert.deepEqual((await gc(fixture, { store, graceMs })).found, dry.found);
    assert.deepEqual((await gc(fixture, { store, graceMs })).found, {});
    assert.equal((await keys(store)).length, 1);
  },
});
