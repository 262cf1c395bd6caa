import assert from "node:assert/strict";
import { readAnswer, startApi, type TestAnswer } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { until } from "../support/until.ts";

const ID = `sha256:${"0".repeat(64)}`;
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: new Uint8Array(50_000) })] }));
const KEY = mpackKey(PACK);
const encoder = new TextEncoder();

/** Sends raw bytes piece by piece and reads the head of the answer. */
async function raw(url: string, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const sending = (async () => {
    for (const piece of pieces) {
      const bytes = typeof piece === "string" ? encoder.encode(piece) : piece;
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    }
  })().catch(() => {});
  let text = "";
  const buffer = new Uint8Array(65536);
  try {
    while (!text.includes("\r\n\r\n")) {
      const count = await connection.read(buffer);
      if (count === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // A reset ends the answer, too.
  }
  connection.close();
  await sending;
  return text;
}

const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
const head = (path: string, ...fields: string[]) =>
  [`POST ${path} HTTP/1.1`, "host: 127.0.0.1", "connection: close", ...fields, "", ""].join("\r\n");

Deno.test("paths are only names, keys and ids: no traversal, no NUL, no header injection", async () => {
  await using api = await startApi({ worker: false });
  await api.fixture.put(PACK);
  const paths = [
    "/me/repo/objects/..%2f..%2f..%2fetc%2fpasswd",
    "/me/repo/objects/%2e%2e%2f%2e%2e",
    "/me/repo/objects/sha256:..%5c..%5c",
    `/me/repo/objects/${ID}%00`,
    `/me/repo/objects/${ID}%0d%0aset-cookie:%20a=b`,
    `/me/repo/objects/${ID.toUpperCase()}`,
    `/me%2frepo/x/objects/${ID}`,
    `/..%2f..%2fme/repo/objects/${ID}`,
    `/me/repo%2f..%2frepo/objects/${ID}`,
    `/me/%72epo%00/objects/${ID}`,
    "/api/repos/..%2f..%2fsecret",
    "/api/repos/%00",
    "/api/jobs/%00",
    "/api/jobs/..%2fx",
    "/me/repo/objects/%zz",
  ];
  for (const path of paths) {
    const { status, headers, value } = await api.admin.send(path);
    assert.ok(status === 404 || status === 400, `${status} ${path}`);
    assert.equal(headers.get("set-cookie"), null);
    assert.equal(headers.get("content-type"), "application/problem+json");
    assert.equal(value.status, status);
    assert.doesNotMatch(JSON.stringify(value), /passwd|blobs|mpackd-test/);
  }
  // A request line that no client library would send.
  const text = await raw(api.url, [
    `GET /../../etc/passwd HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`,
  ]);
  assert.ok([400, 404].includes(statusOf(text)), text);
});

Deno.test("bodies with a wrong length, type, digest or shape are refused", async (t) => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_BODY_BYTES: "4096", MPACK_HTTP_IDS: "10", MPACK_MAX_PACK_BYTES: "1000000" },
  });
  const { url } = api, json = "content-type: application/json";
  const authorization = `authorization: Bearer ${api.admin.token}`;
  const presign = "/me/repo/push/mpack-presign";
  const key = `x-mpack-key: ${KEY}`;
  await t.step("Content-Length above the limit", async () => {
    const text = await raw(url, [
      head(presign, authorization, json, "content-length: 99999999999999"),
    ]);
    assert.equal(statusOf(text), 413, text);
    const pack = await raw(url, [
      head("/me/repo/push/stream", authorization, key, "content-length: 1000001"),
    ]);
    assert.equal(statusOf(pack), 413, pack);
  });
  await t.step("chunked body above the limit", async () => {
    const chunk = `1000\r\n${"x".repeat(4096)}\r\n`;
    const text = await raw(url, [
      head(presign, authorization, json, "transfer-encoding: chunked"),
      chunk,
      chunk,
    ]);
    assert.equal(statusOf(text), 413, text);
  });
  await t.step("two lengths, or a malformed one", async () => {
    const both = head(presign, authorization, json, "content-length: 5", "content-length: 6") +
      "hello!";
    assert.notEqual(statusOf(await raw(url, [both])), 200);
    const mixed = head(presign, authorization, json, "content-length: x5") + "hello!";
    assert.notEqual(statusOf(await raw(url, [mixed])), 200);
  });
  await t.step("unknown media type, or a body that is not of its type", async () => {
    const send = async (type: string, body: string) => {
      const headers = { authorization: `Bearer ${api.admin.token}`, "content-type": type };
      return (await readAnswer(await fetch(url + presign, { method: "POST", headers, body })))
        .status;
    };
    assert.equal(await send("text/plain", "{}"), 415);
    assert.equal(await send("application/json", "{"), 400);
    assert.equal(await send("application/x-msgpack", "\xc1"), 400);
    assert.equal(await send("application/json", "[]"), 422);
    assert.equal(await send("application/json", `{"mpack_key":"../x","size_bytes":1}`), 422);
    assert.equal(await send("application/json", `{"mpack_key":"${KEY}","size_bytes":1e300}`), 422);
    assert.equal(await send("application/json", `{"__proto__":{"mpack_key":"${KEY}"}}`), 422);
  });
  await t.step("too many ids, or malformed ids", async () => {
    const ask = (ids: string[]) =>
      api.admin.send("/me/repo/filter-objects", { json: { object_ids: ids } });
    assert.equal((await ask(Array(11).fill(ID))).status, 413);
    const odd = ["', drop table x", "{a,b}", "\u0000", "\r\nset-cookie: a=b", '"'];
    assert.deepEqual((await ask(odd)).value, { missing: odd });
    const read = await api.admin.send("/me/repo/objects", { json: { object_ids: odd } });
    assert.equal(read.status, 404);
    assert.equal(read.headers.get("set-cookie"), null);
  });
  await t.step("a pack with another key, or truncated", async () => {
    const push = async (body: Uint8Array<ArrayBuffer>) =>
      await api.admin.send("/me/repo/push/stream", { body, headers: { "x-mpack-key": KEY } });
    const other = new Uint8Array(PACK);
    other[other.length - 1] ^= 1;
    assert.deepEqual([(await push(other)).status, (await push(other)).value.code], [
      422,
      "digest-mismatch",
    ]);
    assert.equal((await push(PACK.slice(0, 999))).value.code, "truncated");
    assert.equal((await push(new Uint8Array())).value.code, "truncated");
    for (const bad of ["", "sha256:xyz", `${KEY}/../x`]) {
      const headers = { "x-mpack-key": bad };
      const path = "/me/repo/push/stream";
      assert.equal((await api.admin.send(path, { body: PACK, headers })).status, 400);
    }
    assert.equal(await api.fixture.staged(), 0);
    await assert.rejects(Deno.stat(api.fixture.blobPath(KEY)), Deno.errors.NotFound);
    // A chunked body is refused; with a length it is accepted.
    const stream = ReadableStream.from([PACK.slice(0, 7), PACK.slice(7)]);
    const headers = { "x-mpack-key": KEY };
    const path = "/me/repo/push/stream";
    const chunked = await api.admin.send(path, { body: stream, headers, method: "POST" });
    assert.deepEqual([chunked.status, chunked.value.code], [411, "length-required"]);
    const pushed = await push(PACK);
    assert.equal(pushed.status, 200, JSON.stringify(pushed.value));
    assert.equal(pushed.value.objects_written, 1);
  });
});

Deno.test("an upload URL is bound to one blob, its length and a time", async () => {
  await using api = await startApi({ worker: false });
  const asked = { json: { mpack_key: KEY, size_bytes: PACK.length } };
  const { value } = await api.admin.send("/me/repo/push/mpack-presign", asked);
  const target = new URL(value.upload_url);
  const put = async (url: URL, body: Uint8Array<ArrayBuffer> | ReadableStream) =>
    (await readAnswer(await fetch(url, { method: "PUT", body }))).status;
  const changed = (change: (url: URL) => void) => {
    const url = new URL(target);
    change(url);
    return url;
  };
  const later = changed((url) => url.searchParams.set("expires", "99999999999"));
  assert.equal(await put(later, PACK), 403);
  assert.equal(await put(changed((url) => url.searchParams.set("size", "5")), PACK.slice(5)), 403);
  const otherKey = changed((url) => url.pathname = url.pathname.replace(/.$/, "0"));
  assert.ok([403, 400].includes(await put(otherKey, PACK)));
  const otherRepo = changed((url) =>
    url.pathname = url.pathname.replace(/uploads\/[^/]+/, "uploads/r")
  );
  assert.equal(await put(otherRepo, PACK), 403);
  assert.equal(await put(target, PACK.slice(1)), 400);
  assert.equal(await put(target, ReadableStream.from([PACK])), 411);
  const wrong = new Uint8Array(PACK.length);
  assert.equal(await put(target, wrong), 422);
  await assert.rejects(Deno.stat(api.fixture.blobPath(KEY)), Deno.errors.NotFound);
  assert.equal(await put(target, PACK), 200);
  assert.equal((await Deno.stat(api.fixture.blobPath(KEY))).size, PACK.length);
  const queued = await api.admin.send("/me/repo/push/unpack-mpack", {
    json: { mpack_key: ID },
  });
  assert.deepEqual([queued.status, queued.value.code], [404, "blob-missing"]);
});

Deno.test("a slow, silent or disconnected client leaves no rows, jobs or files", async (t) => {
  await using api = await startApi({ worker: false, env: { MPACK_HTTP_IDLE_MS: "300" } });
  const { url, fixture } = api;
  const authorization = `authorization: Bearer ${api.admin.token}`;
  const key = `x-mpack-key: ${KEY}`, length = `content-length: ${PACK.length}`;
  await t.step("silent", async () => {
    const first = head("/me/repo/push/stream", authorization, key, length);
    const text = await raw(url, [first, PACK.subarray(0, 1000)]);
    assert.equal(statusOf(text), 408, text);
    const small = head("/me/repo/push/mpack-presign", authorization, "content-length: 100");
    assert.equal(statusOf(await raw(url, [small, "{"])), 408);
  });
  await t.step("disconnected at any byte", async () => {
    const { hostname, port } = new URL(url), before = api.records.length;
    const cuts = [0, 1, 1000, 30_000, PACK.length - 1];
    for (const at of cuts) {
      using connection = await Deno.connect({ hostname, port: Number(port) });
      await connection.write(
        encoder.encode(head("/me/repo/push/stream", authorization, key, length)),
      );
      await connection.write(PACK.subarray(0, at));
    }
    const open = async () =>
      (await fixture.db.sql`select 1 from musehub_background_jobs where status = 'running'`).length;
    await until("all uploads have ended", async () => {
      return api.records.length >= before + cuts.length && await open() === 0;
    }, { found: async () => ({ records: api.records.length, open: await open() }) });
  });
  const jobs = await fixture.db.sql`select distinct status from musehub_background_jobs`;
  assert.deepEqual(jobs.map(({ status }) => status), ["cancelled"]);
  assert.equal(await fixture.staged(), 0);
  assert.deepEqual(await filesIn(fixture.folder), []);
});

Deno.test("one client is limited to its requests a minute; others are not affected", async () => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_REQUESTS_PER_MINUTE: "5", MPACK_HTTP_UPLOADS: "1" },
  });
  const [ada, bob] = [await api.identity("ada"), await api.identity("bob")];
  for (let i = 0; i < 5; i++) assert.equal((await ada.send("/api/jobs")).status, 200);
  const { status, headers, value } = await ada.send("/api/jobs");
  assert.equal(status, 429);
  assert.equal(value.code, "rate-limited");
  assert.ok(Number(headers.get("retry-after")) >= 1);
  assert.equal((await bob.send("/api/jobs")).status, 200);
});

Deno.test("200 stream pushes at once: no row or blob is lost or duplicated", async () => {
  await using api = await startApi({ worker: false, env: { MPACK_HTTP_UPLOADS: "200" } });
  const me = await api.identity("me");
  const pushes = Array.from({ length: 200 }, async (_, i) => {
    const content = encoder.encode(`content ${i % 150}`);
    const pack = new Uint8Array(buildMpack({ objects: [object({ content })] }));
    const headers = { "x-mpack-key": mpackKey(pack) };
    let answer: TestAnswer;
    await until("the push is taken", async () => {
      answer = await me.send("/me/repo/push/stream", { body: pack, headers });
      // On a busy machine the last pushes may time out in the queue for the database.
      return answer.status !== 503;
    }, { everyMs: 1_000, found: () => answer.value });
    return answer!;
  });
  const answers = await Promise.all(pushes);
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const written = answers.reduce((sum, { value }) => sum + value.object_refs_written, 0);
  assert.equal(written, 150);
  const { db, folder } = api.fixture;
  const [rows] = await db.sql`
    select (select count(*)::int from musehub_object_refs) as refs,
      (select count(*)::int from musehub_mpacks) as packs,
      (select count(*)::int from musehub_background_jobs where status = 'done') as jobs`;
  assert.deepEqual({ ...rows }, { refs: 150, packs: 150, jobs: 200 });
  assert.equal((await filesIn(folder)).length, 150);
  // Each blob still has the version that readers have pinned.
  for (let i = 0; i < 150; i += 10) {
    const id = mpackKey(encoder.encode(`content ${i}`));
    assert.equal((await me.send(`/me/repo/objects/${id}`)).status, 200);
  }
});

/** Lists all files below a folder, also partly written ones. */
async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) files.push(...await filesIn(`${folder}/${name}`));
    else files.push(name);
  }
  return files;
}
