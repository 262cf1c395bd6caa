import assert from "node:assert/strict";
import { configureSync, resetSync } from "@logtape/logtape";
import { MetricsRegistry } from "../../../src/jobs/worker/metrics.ts";
import { observeRequests } from "../../../src/cli/request_log.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";

const KEY = `sha256:${"a".repeat(64)}`;

Deno.test("serve logs how it started, and each refusal with its request, repo and pack", async (t) => {
  await using fixture = await createFixture();
  const env = { MPACK_MAX_PACK_BYTES: "1000" };
  const args = ["--port", "0", "--open"];
  await using server = startWorkerProcess({ ...fixture, env, command: "serve", args });
  const { message } = await server.line(({ message }) => message.startsWith("Listening on "));
  const url = /http:\S+?(?=;)/.exec(message)![0];

  await t.step("the start", async () => {
    const line = await server.line(({ message }) => / starts: /.test(message));
    assert.equal(line.store, fixture.store.url);
    assert.equal(line.database, fixture.db.label);
    assert.deepEqual([line.deno, line.jobs, line.hash], [Deno.version.deno, 0, "simd"]);
  });
  await t.step("a refused push", async () => {
    const answer = await fetch(`${url}/me/repo/push/stream`, {
      method: "POST",
      headers: { "x-mpack-key": KEY },
      body: new Uint8Array(10),
    });
    await answer.body?.cancel();
    const requestId = answer.headers.get("x-request-id");
    const line = await server.line(({ request_id }) => request_id === requestId);
    assert.deepEqual(
      [line.level, line.status, line.code, line.repo, line.mpack_key],
      ["info", 404, "repo-not-found", "me/repo", KEY],
    );
    assert.equal(line.message, `POST /{owner}/{slug}/push/stream 404: ${line.detail}`);
  });
  await t.step("no route, and a method that nobody knows, under one name", async () => {
    for (const method of ["GET", "PURGE"]) {
      const answer = await fetch(`${url}/a/b/c/d/e/f`, { method });
      await answer.body?.cancel();
      const requestId = answer.headers.get("x-request-id");
      const line = await server.line(({ request_id }) => request_id === requestId);
      assert.deepEqual([line.status, line.route, line.code], [404, "*", "not-found"]);
      assert.equal(line.method, method === "GET" ? "GET" : "*");
      assert.match(line.detail as string, /: "\/a\/b\/c\/d\/e\/f"$/);
    }
  });
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0);
  for (const line of stderr.trimEnd().split("\n")) JSON.parse(line);
});

Deno.test("a worker that cannot start says why in a log in JSON", async () => {
  await using fixture = await createFixture();
  await using worker = startWorkerProcess({
    folder: fixture.folder,
    databaseUrl: "postgres://mpackd@127.0.0.1:1/none",
  });
  const { code, stderr } = await worker.ended;
  assert.equal(code, 4);
  const lines = stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.at(-1).level, "error");
  assert.match(lines.at(-1).message, /database-unavailable/);
});

Deno.test("observeRequests() logs some of a stranger's refusals, and all of an identity's", () => {
  let logged = 0;
  configureSync({
    reset: true,
    sinks: { count: () => logged++ },
    loggers: [
      { category: "mpackd", sinks: ["count"], lowestLevel: "info" },
      { category: ["logtape", "meta"], lowestLevel: "warning" },
    ],
  });
  const observe = observeRequests(new MetricsRegistry());
  const refuse = (handle: string | undefined) =>
    observe({
      requestId: "1",
      method: "GET",
      route: "/",
      status: 404,
      elapsedMs: 1,
      handle,
      refusal: { code: "not-found", detail: "No", repo: undefined, mpackKey: undefined },
    });
  try {
    for (let i = 0; i < 1000; i++) refuse(undefined);
    assert(logged > 0 && logged < 500, `${logged} lines`);
    logged = 0;
    for (let i = 0; i < 1000; i++) refuse("ada");
    assert.equal(logged, 1000);
  } finally {
    resetSync();
  }
});
