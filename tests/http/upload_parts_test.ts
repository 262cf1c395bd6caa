import assert from "node:assert/strict";
import { grantAccess, withdrawAccess } from "../../src/db/collaborators.ts";
import { deleteRepo } from "../../src/db/repos.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { type Client, startApi, type TestApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";

const MIB = 1024 * 1024;
/** S3's smallest part. */
const PART = 5 * MIB;

/** A pack of 12 MiB, which has three parts, the last one short. */
function packOf(seed: number) {
  const content = sampleBytes(12 * MIB, seed);
  const bytes = new Uint8Array(buildMpack({ objects: [object({ content })] }));
  return { content, bytes, key: mpackKey(bytes) };
}

interface Missing {
  readonly number: number;
  readonly offset_bytes: number;
  readonly size_bytes: number;
  readonly upload_url: string;
}

const REPO = "/ada/repo";

async function start(store?: BlobStore): Promise<TestApi & { ada: Client }> {
  const api = await startApi(store ? { store } : {});
  const ada = await api.identity("ada");
  const made = await ada.send("/api/repos", { json: { owner: "ada", name: "repo" } });
  assert.equal(made.status, 201);
  return Object.assign(api, { ada });
}

async function presign(client: Client, pack: { key: string; bytes: Uint8Array }, more = {}) {
  const json = { mpack_key: pack.key, size_bytes: pack.bytes.length, part_bytes: PART, ...more };
  return await client.send(`${REPO}/push/mpack-presign`, { json });
}

/** Sends bytes with nothing but a Content-Length, as any client can. */
async function put(url: string, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const response = await fetch(url, { method: "PUT", body });
  await response.arrayBuffer();
  return response.status;
}

async function putPart(bytes: Uint8Array, part: Missing): Promise<void> {
  const body = bytes.slice(part.offset_bytes, part.offset_bytes + part.size_bytes);
  const status = await put(part.upload_url, body);
  assert.ok(status === 200 || status === 201, String(status));
}

const complete = (client: Client, key: string) =>
  client.send(`${REPO}/push/mpack-complete`, { json: { mpack_key: key } });
const unpack = (client: Client, key: string) =>
  client.send(`${REPO}/push/unpack-mpack`, { json: { mpack_key: key } });

async function repoId(client: Client): Promise<string> {
  const { value } = await client.send("/api/jobs");
  return value.jobs[0].repoId;
}

/** What both kinds of store must do. */
async function uploadInParts(t: Deno.TestContext, api: TestApi & { ada: Client }): Promise<void> {
  const { ada } = api, { db, store, config } = { ...api.fixture, config: api.fixture.config({}) };
  const pack = packOf(1);
  await t.step("it goes on with the parts that are missing", async () => {
    const { value: first } = await presign(ada, pack);
    assert.equal(first.upload_url, undefined);
    assert.equal(first.parts.part_bytes, PART);
    assert.deepEqual([first.parts.count, first.parts.missing_count], [3, 3]);
    await putPart(pack.bytes, first.parts.missing[1]);
    const early = await complete(ada, pack.key);
    assert.deepEqual([early.status, early.value.missing_count], [409, 2]);
    assert.equal((await unpack(ada, pack.key)).status, 404);
    // Another client, and another wish, which an upload that has begun does not follow.
    const { value: again } = await presign(ada, pack, { part_bytes: 6 * MIB });
    assert.deepEqual(again.parts.missing.map(({ number }: Missing) => number), [1, 3]);
    for (const part of again.parts.missing) await putPart(pack.bytes, part);
    const { value: last } = await presign(ada, pack);
    assert.deepEqual([last.parts.missing_count, last.parts.missing], [0, []]);
  });
  await t.step("completed, it is indexed and read back", async () => {
    for (const _ of ["once", "again, as if the answer was lost"]) {
      assert.equal((await complete(ada, pack.key)).status, 200);
    }
    const { status, value } = await unpack(ada, pack.key);
    assert.deepEqual([status, value.objects_written], [200, 1]);
    const read = await ada.send(`${REPO}/objects/${mpackKey(pack.content)}`);
    assert.equal(Buffer.compare(read.bytes, pack.content), 0);
    assert.deepEqual((await presign(ada, pack)).value, { already_indexed: true });
    assert.equal((await complete(ada, pack.key)).status, 200);
    assert.deepEqual(await partsLeft(store), []);
  });
  await t.step("one that is over S3's limit for one PUT is sent in parts", async () => {
    const json = { mpack_key: packOf(9).key, size_bytes: 6 * 1024 * MIB };
    const { value } = await ada.send(`${REPO}/push/mpack-presign`, { json });
    assert.equal(value.parts === undefined, store.partUploads === undefined);
  });
  await t.step("gc keeps one that goes on, and removes one that was given up", async () => {
    const other = packOf(2);
    await putPart(other.bytes, (await presign(ada, other)).value.parts.missing[0]);
    const gc = (graceMs: number, isDryRun = false) => {
      const { signal } = new AbortController();
      return collectGarbage({ db, store, config, graceMs, isDryRun, signal });
    };
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    // Old in the store, but asked for since.
    await db.sql`update mpackd_uploads set touched_at = now() + interval '1 hour'`;
    assert.equal((await gc(0)).half_written, 0);
    assert.equal((await presign(ada, other)).value.parts.missing_count, 2);
    await db.sql`update mpackd_uploads set touched_at = now() - interval '1 hour'`;
    assert.ok((await gc(0, true)).half_written >= 1);
    const { value } = await presign(ada, other);
    assert.equal(value.parts.missing_count, 2, "a dry run removes nothing");
    await db.sql`update mpackd_uploads set touched_at = now() - interval '1 hour'`;
    assert.ok((await gc(0)).half_written >= 1);
    assert.equal((await complete(ada, other.key)).status, 404);
    assert.equal((await presign(ada, other)).value.parts.missing_count, 3);
    assert.deepEqual((await db.sql`select from mpackd_uploads`).length, 1);
  });
  await t.step("access is checked again at the completion", async () => {
    const bob = await api.identity("bob"), third = packOf(3), id = await repoId(ada);
    const access = { repoId: id, identityId: bob.identity!.identityId };
    await grantAccess(db, access);
    const { parts } = (await presign(bob, third)).value;
    await withdrawAccess(db, access);
    for (const part of parts.missing) await putPart(third.bytes, part);
    assert.equal((await complete(bob, third.key)).status, 404);
    assert.equal((await presign(bob, third)).status, 404);
    await assert.rejects(store.stat(`mpacks/${id}/${third.key}`), { code: "blob-missing" });
  });
  await t.step("wrong bytes never become an indexed pack", async () => {
    const fourth = packOf(4), { parts } = (await presign(ada, fourth)).value;
    for (const part of parts.missing) await putPart(fourth.bytes.map((byte) => byte ^ 1), part);
    const { status } = await complete(ada, fourth.key);
    assert.equal(status, store.partUploads === undefined ? 422 : 200);
    assert.notEqual((await unpack(ada, fourth.key)).status, 200);
    // Sent again, the right bytes are taken.
    const { value } = await presign(ada, fourth);
    assert.equal(value.parts.missing_count, 3);
    for (const part of value.parts.missing) await putPart(fourth.bytes, part);
    assert.equal((await complete(ada, fourth.key)).status, 200);
    assert.equal((await unpack(ada, fourth.key)).status, 200);
  });
  await t.step("a part's URL is for that part, of that length", async () => {
    const fifth = packOf(5), { parts } = (await presign(ada, fifth)).value;
    const [{ upload_url }] = parts.missing, other = new URL(upload_url);
    if (store.partUploads === undefined) {
      assert.equal(await put(upload_url, fifth.bytes.slice(0, 100)), 400);
      other.pathname = other.pathname.replace(/1$/, "2");
    } else other.searchParams.set("partNumber", "2");
    assert.equal(await put(other.href, fifth.bytes.slice(0, PART)), 403);
    if (store.partUploads !== undefined) return;
    // Used once, it replaces nothing: traces may have recorded it.
    const [first, ...rest] = parts.missing;
    await putPart(fifth.bytes, first);
    assert.equal(await put(first.upload_url, new Uint8Array(PART)), 200);
    for (const part of rest) await putPart(fifth.bytes, part);
    assert.equal((await complete(ada, fifth.key)).status, 200);
  });
  await t.step("what a client may not ask for is refused", async () => {
    const sixth = packOf(6);
    assert.equal((await presign(ada, sixth, { part_bytes: MIB })).status, 422);
    assert.equal((await presign(ada, sixth, { bind: true })).status, 400);
    assert.equal((await presign(api.anonymous, sixth)).status, 404);
  });
  await t.step("a repo has at most 100 uploads that are not complete", async () => {
    const id = await repoId(ada), key = (seed: number) => mpackKey(sampleBytes(9, seed));
    await db.sql`insert into mpackd_uploads (repo_id, mpack_key, upload_id, size_bytes, part_bytes)
      select ${id}, 'k' || n, 'u' || n, 1, 1 from generate_series(1, 100) n`;
    const json = { mpack_key: key(77), size_bytes: 9, part_bytes: PART };
    assert.equal((await ada.send(`${REPO}/push/mpack-presign`, { json })).status, 429);
    await db.sql`delete from mpackd_uploads where upload_id like 'u%'`;
  });
  await t.step("a deleted repo takes no part and no completion", async () => {
    const seventh = packOf(7), { parts } = (await presign(ada, seventh)).value;
    await deleteRepo(db, { repoId: await repoId(ada) });
    if (store.partUploads === undefined) {
      const [{ upload_url }] = parts.missing;
      assert.equal(await put(upload_url, seventh.bytes.slice(0, PART)), 404);
    }
    assert.equal((await complete(ada, seventh.key)).status, 404);
  });
}

async function partsLeft(store: BlobStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("mpackd-uploads/")) keys.push(key);
  return keys;
}

Deno.test("a pack is uploaded to a folder in parts", async (t) => {
  await using api = await start();
  await uploadInParts(t, api);
});

Deno.test({
  name: "a pack is uploaded to an S3 engine in parts",
  ignore: s3Engine === undefined,
  async fn(t) {
    await using bucket = await makeBucket();
    await using api = await start(bucket.store);
    await uploadInParts(
      t,
      Object.assign(api, { fixture: { ...api.fixture, store: bucket.store } }),
    );
    await bucket.store.sweep?.({ before: new Date(Date.now() + 60_000) });
  },
});
