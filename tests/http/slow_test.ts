import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createApi } from "../../src/http/app.ts";
import { openHttp } from "../../src/http/open_http.ts";
import { sendWhole } from "../../src/http/slow_reader.ts";
import type { BlobReader, BlobStore } from "../../src/stream/store/blob_store.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { prepare, readAnswer, startApi } from "../support/http/api.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { until } from "../support/until.ts";

/** Longer than socket buffers. */
const LARGE = sampleBytes(20_000_000, 2);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: LARGE })] }));
const SMALL = new Uint8Array(buildMpack({ objects: [object({ content: new Uint8Array(3) })] }));
const encoder = new TextEncoder();

/** Sends the head of a request and leaves the connection open. */
async function begin(url: string, path: string, fields: readonly string[] = [], method = "GET") {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${hostname}:${port}`, ...fields, "", ""];
  await connection.write(encoder.encode(lines.join("\r\n")));
  return connection;
}

/** Wraps a store and counts its open readers. */
function lending(real: BlobStore): { store: BlobStore; lent: { open: number; ever: number } } {
  const lent = { open: 0, ever: 0 };
  const store = new Proxy(real, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== "open") return typeof value === "function" ? value.bind(target) : value;
      return async (...args: Parameters<BlobStore["open"]>) => {
        const reader = await real.open(...args);
        lent.open++;
        lent.ever++;
        let isClosed = false;
        const close = async () => {
          if (!isClosed) lent.open--;
          isClosed = true;
          await reader.close();
        };
        const counted: BlobReader = {
          get stat() {
            return reader.stat;
          },
          read: (into) => reader.read(into),
          close,
          [Symbol.asyncDispose]: close,
        };
        return counted;
      };
    },
  });
  return { store, lent };
}

Deno.test("a client that does not read its answer loses its reader of the store", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const { store, lent } = lending(openFileStore(folder));
  await using api = await startApi({ worker: false, store, env: { MPACK_HTTP_IDLE_MS: "500" } });
  const headers = { "x-mpack-key": mpackKey(PACK) };
  const pushed = await api.admin.send("/me/repo/push/stream", { body: PACK, headers });
  assert.equal(pushed.status, 200, JSON.stringify(pushed.value));
  const id = mpackKey(LARGE);
  const ids = JSON.stringify({ object_ids: [id] });
  const authorization = `authorization: Bearer ${api.admin.token}`;
  const fields = [
    authorization,
    "content-type: application/json",
    `content-length: ${ids.length}`,
  ];
  for (const path of [`/me/repo/objects/${id}`, "/me/repo/objects"]) {
    await t.step(path, async () => {
      const before = lent.ever;
      const isBulk = path.endsWith("objects");
      using connection = await begin(
        api.url,
        path,
        isBulk ? fields : [authorization],
        isBulk ? "POST" : "GET",
      );
      if (isBulk) await connection.write(encoder.encode(ids));
      await until("a reader", () => lent.ever > before);
      // The socket stays open.
      await until("its end", () => lent.open === 0);
    });
  }
  await t.step("a client that reads gets the whole object", async () => {
    const whole = await api.admin.send(`/me/repo/objects/${id}`);
    assert.equal(whole.bytes.length, LARGE.length);
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("the uploads of one identity do not use up another's slots", async () => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_UPLOADS: "1", MPACK_MATERIALIZE: "off" },
  });
  const [ada, bob] = [await api.identity("ada"), await api.identity("bob")];
  for (const client of [ada, bob]) {
    const json = { owner: client.identity!.handle, name: "one" };
    assert.equal((await client.send("/api/repos", { json })).status, 201);
  }
  const token = await api.token(ada);
  const push = (owner: string, client: typeof ada) =>
    client.send(`/${owner}/one/push/stream`, {
      body: SMALL,
      headers: { "x-mpack-key": mpackKey(SMALL) },
    });
  const running = async () =>
    (await api.fixture.db.sql`select from musehub_background_jobs where status = 'running'`).length;
  {
    using _held = await begin(api.url, "/ada/one/push/stream", [
      `authorization: Bearer ${token.text}`,
      `x-mpack-key: ${mpackKey(PACK)}`,
      `content-length: ${PACK.length}`,
    ], "POST");
    await until("the first upload", async () => await running() === 1);
    // A signature and a token of one identity share its slots.
    for (const client of [ada, token]) {
      const { status, value, headers } = await push("ada", client);
      assert.deepEqual([status, value.code], [429, "rate-limited"]);
      assert.ok(Number(headers.get("retry-after")) >= 1);
    }
    assert.equal((await push("bob", bob)).status, 200);
  }
  // Closing the connection ended the upload.
  await until("the end of the first upload", async () => await running() === 0);
  await until("a place", async () => (await push("ada", ada)).status === 200);
});

Deno.test("a signature used on one server is refused on others with the same database", async () => {
  await using api = await startApi({ worker: false });
  const ada = await api.identity("ada"), { db, store } = api.fixture;
  const stop = new AbortController(), { signal } = stop;
  const config = api.fixture.config();
  const context = await openHttp({ db, store, config, worker: "other", signal, force: signal });
  const other = createApi(context, "test");
  const target = `${api.url}/api/jobs`;
  for (const first of ["here", "there"] as const) {
    const request = await prepare(target, {}, ada.signer);
    const here = () => fetch(target, request);
    const peer = {
      address: "127.0.0.1",
      authorities: [new URL(target).host],
      close: () => {},
      hold: () => ({ [Symbol.dispose]() {} }),
    };
    const there = () => other(new Request(target, request), peer);
    const [one, two] = first === "here" ? [here, there] : [there, here];
    assert.equal((await readAnswer(await one())).status, 200);
    const again = await readAnswer(await two());
    assert.equal(again.status, 401);
    assert.match(again.value.detail, /used before/);
  }
  stop.abort();
});

Deno.test("behind a proxy the signature covers the public URL", async () => {
  await using api = await startApi({ worker: false });
  const ada = await api.identity("ada"), { db, store } = api.fixture;
  const stop = new AbortController(), { signal } = stop;
  for (const publicUrl of ["https://packs.example", "https://packs.example:8443"]) {
    const config = api.fixture.config({ MPACK_HTTP_URL: publicUrl });
    const context = await openHttp({ db, store, config, worker: "other", signal, force: signal });
    const server = createApi(context, "test");
    const request = await prepare(`${publicUrl}/api/jobs`, {}, ada.signer);
    // The proxy uses our own address.
    const peer = {
      address: "127.0.0.1",
      authorities: ["127.0.0.1:8080"],
      close: () => {},
      hold: () => ({ [Symbol.dispose]() {} }),
    };
    const inner = new Request("http://127.0.0.1:8080/api/jobs", request);
    const answer = await readAnswer(await server(inner, peer));
    assert.equal(answer.status, 200, JSON.stringify(answer.value));
  }
  stop.abort();
});

Deno.test("with MPACK_MATERIALIZE a stream push leaves copying the objects to a job", async () => {
  await using api = await startApi({ env: { MPACK_MATERIALIZE: "on" } });
  const { fixture, admin } = api, { repoId } = fixture.repo;
  const headers = { "x-mpack-key": mpackKey(SMALL) };
  const path = "/me/repo/push/stream";
  {
    // Meanwhile another push of the same pack hangs and never copies anything.
    using _held = await begin(api.url, path, [
      `authorization: Bearer ${admin.token}`,
      `x-mpack-key: ${mpackKey(SMALL)}`,
      `content-length: ${SMALL.length}`,
    ], "POST");
    await until(
      "the first push",
      async () => (await fixture.db.sql`select from musehub_background_jobs`).length === 1,
    );
    const { status, value } = await admin.send(path, { body: SMALL, headers });
    assert.equal(status, 200);
    // The answer comes once the pack is indexed; copies come later.
    assert.equal(value.materialized, undefined);
  }
  const key = `objects/${repoId}/${mpackKey(new Uint8Array(3))}`;
  const isThere = () => fixture.store.stat(key).then(() => true, () => false);
  await until("the object's blob", isThere);
  const done = async () => (await admin.send("/api/jobs?status=done")).value.jobs.length;
  await until("the end of its job", async () => await done() === 2);
});

Deno.test("sendWhole() frees the bytes when they are sent, and closes the connection if they are not", async (t) => {
  const content = new Uint8Array(1000);
  let held = 0;
  const closed = Promise.withResolvers<void>();
  const hold = () => {
    held++;
    return { [Symbol.dispose]: () => void held-- };
  };
  const peer = {
    ...{ address: "192.0.2.1", authorities: [], hold },
    close: closed.resolve,
  };
  await t.step("sent", () => {
    const config = { httpIdleMs: 3_600_000, httpTotalMs: 3_600_000 };
    const { body, onSent } = sendWhole(content, { config, peer, hold });
    assert.equal(body, content);
    assert.equal(held, 1);
    onSent!();
    assert.equal(held, 0);
    assert.equal(content.buffer.detached, true);
    // A timer that still ran would fail the test as a leak.
  });
  await t.step("not taken", async () => {
    const config = { httpIdleMs: 1, httpTotalMs: 1 };
    const { onSent } = sendWhole(new Uint8Array(1000), { config, peer, hold });
    await closed.promise;
    assert.equal(held, 1);
    onSent!();
    assert.equal(held, 0);
  });
});

Deno.test("objects that are sent whole arrive whole, also many at once and in parts", async () => {
  await using api = await startApi({ worker: false });
  const contents = [64 * 1024, 64 * 1024 + 1, 300_000, 1024 * 1024, 1024 * 1024 + 1]
    .map((sizeBytes) => sampleBytes(sizeBytes, sizeBytes));
  const pack = new Uint8Array(
    buildMpack({ objects: contents.map((content) => object({ content })) }),
  );
  const me = await api.identity("me"), headers = { "x-mpack-key": mpackKey(pack) };
  assert.equal((await me.send("/me/repo/push/stream", { body: pack, headers })).status, 200);
  const { text } = await api.token(me);
  const read = async (content: Uint8Array, range?: string) => {
    const response = await fetch(`${api.url}/me/repo/objects/${mpackKey(content)}`, {
      headers: { authorization: `Bearer ${text}`, ...(range && { range: `bytes=${range}` }) },
    });
    return await response.bytes();
  };
  const asks = Array.from({ length: 40 }, (_, index) => contents[index % contents.length]);
  const answers = await Promise.all(asks.map((content) => read(content)));
  answers.forEach((bytes, index) => assert.ok(Buffer.from(bytes).equals(asks[index])));
  for (const content of contents) {
    const part = await read(content, "1-65535");
    assert.ok(Buffer.from(part).equals(content.subarray(1, 65_536)));
    const most = await read(content, "100-");
    assert.ok(Buffer.from(most).equals(content.subarray(100)));
  }
});
