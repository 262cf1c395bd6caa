import { decode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { type Client, startApi } from "../support/http/api.ts";
import { assertSameBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { commitRecord, snapshotIdOf, snapshotRecord } from "../support/history/records.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const CONTENTS = [bytes("first"), bytes(""), bytes("third, longer".repeat(100_000))];
const IDS = CONTENTS.map((content) => mpackKey(content));
const ABSENT = `sha256:${"9".repeat(64)}`;

/** A pack that names `named` and brings `contents`. */
function packOf(contents: readonly Uint8Array[], named: readonly string[]) {
  const manifest = Object.fromEntries(named.map((id, i) => [`path/${i}`, id]));
  return new Uint8Array(buildMpack({
    commits: [commitRecord({ snapshot_id: snapshotIdOf(manifest) })],
    snapshots: [snapshotRecord(manifest)],
    objects: contents.map((content) => object({ content })),
  }));
}

async function walk(t: Deno.TestContext, store?: BlobStore) {
  await using api = await startApi(store ? { store } : {});
  const ada = await api.identity("ada");
  const blobs = store ?? api.fixture.store, { db } = api.fixture;
  const count = async (table: string) =>
    (await db.sql`select count(*)::int as n from ${db.sql(table)}`)[0].n;

  const pack = packOf(CONTENTS, IDS), key = mpackKey(pack);
  let repoId = "";
  await t.step("create", async () => {
    const json = { owner: "ada", name: "Engine", visibility: "private", initialize: true };
    const { status, value } = await ada.send("/api/repos", { json });
    assert.equal(status, 201);
    assert.equal(value.slug, "engine");
    repoId = value.repoId;
  });
  await t.step("presign, PUT", async () => {
    const asked = { mpack_key: key, size_bytes: pack.length };
    const { status, value } = await ada.send("/ada/engine/push/mpack-presign", { msgpack: asked });
    assert.equal(status, 200);
    assert.equal(value.already_indexed, false);
    assert.ok(Date.parse(value.expires_at) > Date.now());
    // A client may send the bytes and nothing else.
    const put = await fetch(value.upload_url, { method: "PUT", body: pack });
    assert.equal(put.status, 200, await put.text());
  });
  let jobId = "";
  await t.step("job", async () => {
    const asked = { mpack_key: key, branch: "main", force: false };
    const { status, value } = await ada.send("/ada/engine/push/unpack-mpack", {
      msgpack: { ...asked, declared_objects_count: 3 },
    });
    assert.equal(status, 200, JSON.stringify(value));
    assert.equal(value.objects_written, 3);
    assert.equal(value.object_refs_written, 3);
    assert.equal(value.branch.moved, true);
    jobId = value.job_id;
    const job = await ada.send(`/api/jobs/${jobId}`);
    assert.equal(job.value.status, "done");
    assert.equal(job.value.payload.branch, "main");
    assert.equal(job.value.result.objectsWritten, 3);
    const again = await ada.send("/ada/engine/push/mpack-presign", {
      json: { mpack_key: key, size_bytes: pack.length },
    });
    assert.deepEqual(again.value, { already_indexed: true });
    const redo = await ada.send("/ada/engine/push/unpack-mpack", {
      json: { mpack_key: key },
      headers: { prefer: "respond-async" },
    });
    assert.equal(redo.status, 202);
    assert.equal(redo.headers.get("preference-applied"), "respond-async");
    const events = await ada.send(`${redo.headers.get("location")}/events`);
    assert.match(events.headers.get("content-type")!, /event-stream/);
    const text = new TextDecoder().decode(events.bytes);
    assert.match(text, /event: done\ndata: \{.*"objectsWritten":0.*\}\n\n$/);
  });
  await t.step("rows", async () => {
    assert.equal(await count("musehub_objects"), 3);
    assert.equal(await count("musehub_object_refs"), 3);
    const lacks = await ada.send("/ada/engine/filter-objects", {
      json: { object_ids: [...IDS, ABSENT, ABSENT] },
    });
    assert.deepEqual(lacks.value, { missing: [ABSENT] });
  });
  const slim = packOf([], IDS);
  await t.step("a slim push that names objects of the repo is accepted", async () => {
    const { status, value } = await push(ada, slim);
    assert.equal(status, 200, JSON.stringify(value));
    assert.equal(value.objects_total, 0);
    assert.equal((await blobs.stat(`mpacks/${repoId}/${mpackKey(slim)}`)).sizeBytes, slim.length);
    // A second time it changes nothing, not even the blob's version.
    const before = await api.fixture.dump();
    assert.equal((await push(ada, slim)).status, 200);
    assert.equal(await api.fixture.dump(), before);
  });
  await t.step("a push with an unknown id is refused and leaves nothing", async () => {
    const ghostly = packOf([bytes("new")], [...IDS, ABSENT]);
    const before = await api.fixture.dump();
    const { status, value } = await push(ada, ghostly);
    assert.equal(status, 409);
    assert.equal(value.code, "ghost-objects");
    assert.deepEqual(value.missing, [ABSENT]);
    assert.equal(value.missing_count, 1);
    assert.equal(await api.fixture.dump(), before);
    assert.equal(await api.fixture.staged(), 0);
    assert.deepEqual(await keysOf(blobs), [key, mpackKey(slim)].sort());
  });
  await t.step("read every object", async () => {
    for (const [i, content] of CONTENTS.entries()) {
      const { status, headers, bytes } = await ada.send(`/ada/engine/objects/${IDS[i]}`);
      assert.equal(status, 200);
      assertSameBytes(bytes, content);
      assert.equal(headers.get("etag"), `"${IDS[i]}"`);
      assert.match(headers.get("cache-control")!, /private.*immutable/);
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.match(headers.get("content-disposition")!, /^attachment/);
      assert.equal(headers.get("content-length"), String(content.length));
    }
    const bulk = await ada.send("/ada/engine/objects", { json: { object_ids: IDS } });
    const { objects } = decode(bulk.bytes) as {
      objects: { object_id: string; content: Uint8Array }[];
    };
    assert.deepEqual(objects.map(({ object_id }) => object_id), IDS);
    objects.forEach(({ content }, i) => assertSameBytes(content, CONTENTS[i]));
  });
  await t.step("ranges, conditions and HEAD", async () => {
    const path = `/ada/engine/objects/${IDS[2]}`, whole = CONTENTS[2];
    const ranged = async (range: string) => await ada.send(path, { headers: { range } });
    const part = await ranged("bytes=5-9");
    assert.equal(part.status, 206);
    assert.equal(part.headers.get("content-range"), `bytes 5-9/${whole.length}`);
    assertSameBytes(part.bytes, whole.subarray(5, 10));
    assertSameBytes((await ranged("bytes=-3")).bytes, whole.subarray(-3));
    assertSameBytes((await ranged("bytes=1000000-")).bytes, whole.subarray(1_000_000));
    const beyond = await ranged(`bytes=${whole.length}-`);
    assert.equal(beyond.status, 416);
    assert.equal(beyond.headers.get("content-range"), `bytes */${whole.length}`);
    assert.equal((await ranged("bytes=0-1,3-4")).status, 200);
    const known = await ada.send(path, { headers: { "if-none-match": `"${IDS[2]}"` } });
    assert.equal(known.status, 304);
    const head = await ada.send(path, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), String(whole.length));
    assert.equal(head.bytes.length, 0);
    assert.equal((await ada.send(`/ada/engine/objects/${ABSENT}`)).status, 404);
    const lacking = await ada.send("/ada/engine/objects", {
      json: { object_ids: [IDS[0], ABSENT] },
    });
    assert.equal(lacking.status, 404);
    assert.deepEqual(lacking.value.missing, [ABSENT]);
  });
  await t.step("delete", async () => {
    const path = `/api/repos/${repoId}`;
    assert.equal((await ada.send(path, { method: "DELETE" })).status, 204);
    for (const gone of [path, `/ada/engine/objects/${IDS[0]}`, `/api/jobs/${jobId}`]) {
      assert.equal((await ada.send(gone)).status, 404);
    }
  });
}

async function push(client: Client, pack: Uint8Array<ArrayBuffer>) {
  return await client.send("/ada/engine/push/stream", {
    body: pack,
    headers: { "x-mpack-key": mpackKey(pack), "content-type": "application/octet-stream" },
  });
}

async function keysOf(store: BlobStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("mpacks/")) keys.push(key.split("/")[2]);
  return keys.sort();
}

Deno.test("create, push, read and delete over HTTP, on a folder", (t) => walk(t));

Deno.test({
  name: "create, push, read and delete over HTTP, on Swift",
  ignore: s3Engine === undefined,
  async fn(t) {
    await using bucket = await makeBucket();
    await walk(t, bucket.store);
  },
});

// Debian's packages need Debian's python3, so its folder comes first.
const env = { PATH: `/usr/bin:${Deno.env.get("PATH")}` };
const hasPython = await new Deno.Command("python3", { args: ["-c", "import msgpack"], env })
  .output().then(({ success }) => success, () => false);

Deno.test({
  name: "scripts/walk.sh does the same with curl and python3-msgpack",
  ignore: !hasPython,
  async fn() {
    await using api = await startApi();
    const script = new URL("../../scripts/walk.sh", import.meta.url).pathname;
    const args = [script, api.url, "ada", api.admin.token];
    const { success, stdout, stderr } = await new Deno.Command("bash", { args, env }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stdout), /\ndone\n$/);
  },
});
