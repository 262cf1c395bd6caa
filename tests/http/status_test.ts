import assert from "node:assert/strict";
import type { Database } from "../../src/db/client/database.ts";
import { StoreError } from "../../src/errors.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { startApi, type TestAnswer } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { until } from "../support/until.ts";

const CONTENT = new TextEncoder().encode("hello");
const ID = mpackKey(CONTENT);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: CONTENT })] }));
const KEY = mpackKey(PACK);
const PRESIGN = { mpack_key: KEY, size_bytes: PACK.length };

Deno.test("each refusal has its status, code and problem document", async (t) => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_BODY_BYTES: "4096", MPACK_HTTP_REQUESTS_PER_MINUTE: "100" },
  });
  const me = await api.identity("me"), bob = await api.identity("bob"), { anonymous } = api;
  const json = { owner: "me", name: "Open", visibility: "public" };
  assert.equal((await me.send("/api/repos", { json })).status, 201);
  const pushed = await me.send("/me/repo/push/stream", {
    body: PACK,
    headers: { "x-mpack-key": KEY },
  });
  assert.equal(pushed.status, 200);

  const token = await api.token(me);
  const refusals: [status: number, code: string, ask: () => Promise<TestAnswer>][] = [
    [400, "bad-request", () =>
      me.send("/me/repo/push/mpack-presign", {
        body: new TextEncoder().encode("{"),
        headers: { "content-type": "application/json" },
      })],
    [400, "bad-request", () => me.send("/me/repo/push/stream", { body: PACK })],
    [400, "bad-request", () => me.send("/api/jobs?after=x")],
    [401, "unauthenticated", () => anonymous.send("/api/jobs")],
    [
      401,
      "unauthenticated",
      () => anonymous.send("/me/open/push/mpack-presign", { json: PRESIGN }),
    ],
    [403, "forbidden", () => bob.send("/me/open/push/mpack-presign", { json: PRESIGN })],
    [404, "repo-not-found", () => bob.send("/me/repo/push/mpack-presign", { json: PRESIGN })],
    [404, "object-not-found", () => me.send(`/me/repo/objects/${mpackKey(PACK)}`)],
    [404, "job-not-found", () => me.send("/api/jobs/none")],
    [
      404,
      "blob-missing",
      () => me.send("/me/open/push/unpack-mpack", { json: { mpack_key: KEY } }),
    ],
    [404, "not-found", () => me.send("/nowhere")],
    [409, "conflict", () => me.send("/api/repos", { json })],
    [411, "length-required", async () => {
      const { value } = await me.send("/me/open/push/mpack-presign", { json: PRESIGN });
      const { pathname, search } = new URL(value.upload_url);
      const body = ReadableStream.from([PACK]);
      return await anonymous.send(pathname + search, { method: "PUT", body });
    }],
    [
      413,
      "too-large",
      () => me.send("/me/repo/filter-objects", { json: { object_ids: Array(100).fill(ID) } }),
    ],
    [415, "unsupported-media-type", () =>
      me.send("/me/repo/filter-objects", {
        body: new TextEncoder().encode("{}"),
        headers: { "content-type": "text/plain" },
      })],
    [415, "unsupported-media-type", () =>
      me.send("/me/repo/push/stream", {
        body: PACK,
        headers: { "x-mpack-key": KEY, "content-encoding": "gzip" },
      })],
    [400, "bad-request", async () => {
      const answer = await me.send("/me/repo/filter-objects", {
        json: { object_ids: [] },
        headers: { "content-digest": "md5=:AA==:" },
      });
      assert.equal(answer.headers.get("want-content-digest"), "sha-256=10");
      return answer;
    }],
    [
      416,
      "range-not-satisfiable",
      () => me.send(`/me/repo/objects/${ID}`, { headers: { range: "bytes=5-" } }),
    ],
    [422, "invalid-body", () => me.send("/me/repo/filter-objects", { json: { object_ids: 5 } })],
    [
      422,
      "digest-mismatch",
      () => token.send("/me/repo/push/stream", { body: PACK, headers: { "x-mpack-key": ID } }),
    ],
  ];
  for (const [status, code, ask] of refusals) {
    await t.step(`${status} ${code}`, async () => {
      const answer = await ask();
      assert.equal(answer.status, status, JSON.stringify(answer.value));
      const { value, headers } = answer;
      assert.equal(headers.get("content-type"), "application/problem+json");
      assert.deepEqual([value.status, value.code, value.type], [
        status,
        code,
        `urn:mpackd:error:${code}`,
      ]);
      assert.equal(value.retryable, false);
      assert.match(value.instance, /^urn:mpackd:request:[\w-]+$/);
      assert.equal(headers.get("cache-control"), "no-store");
      assert.equal(headers.has("www-authenticate"), status === 401);
    });
  }
  await t.step("409 for the name of a deleted repo", async () => {
    const gone = await me.send("/api/repos", { json: { ...json, name: "Gone" } });
    const path = `/api/repos/${gone.value.repoId}`;
    assert.equal((await me.send(path, { method: "DELETE" })).status, 204);
    const again = await me.send("/api/repos", { json: { ...json, name: "Gone" } });
    assert.deepEqual([again.status, again.value.code], [409, "conflict"]);
  });
  await t.step("503 with Retry-After when the database is away", async () => {
    const { db } = api.fixture, open = db as { intercept?: Database["intercept"] };
    open.intercept = () =>
      Promise.reject(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    try {
      isUnavailable(await me.send("/api/jobs"), "database-unavailable");
    } finally {
      delete open.intercept;
    }
  });
  await t.step("429 with Retry-After after too many requests", async () => {
    let answer = await bob.send("/api/jobs");
    const isLimited = async () => (answer = await bob.send("/api/jobs")).status !== 200;
    await until("the limit is reached", isLimited, { everyMs: 0 });
    const { status, value, headers } = answer;
    assert.deepEqual([status, value.code, value.retryable], [429, "rate-limited", true]);
    assert.ok(Number(headers.get("retry-after")) >= 1);
  });
});

Deno.test("503 when the store is away", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const real = openFileStore(folder);
  const away = () =>
    Promise.reject(new StoreError("store-unavailable", "Cannot reach the store: it is away"));
  const store = Object.create(real, {
    url: { value: real.url },
    stat: { value: away },
    put: { value: away },
  });
  await using api = await startApi({ worker: false, store });
  const path = "/me/repo/push";
  const json = { mpack_key: KEY };
  isUnavailable(await api.admin.send(`${path}/unpack-mpack`, { json }), "store-unavailable");
  const headers = { "x-mpack-key": KEY };
  const pushed = await api.admin.send(`${path}/stream`, { body: PACK, headers });
  isUnavailable(pushed, "store-unavailable");
  await Deno.remove(folder, { recursive: true });
});

function isUnavailable({ status, value, headers }: TestAnswer, code: string): void {
  assert.deepEqual([status, value.code, value.retryable], [503, code, true]);
  assert.ok(Number(headers.get("retry-after")) >= 1);
}
