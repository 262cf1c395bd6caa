import assert from "node:assert/strict";
import { StoreError } from "../../src/errors.ts";
import type { Database } from "../../src/db/client/database.ts";
import { type Client, readAnswer, startApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

const CONTENT = new TextEncoder().encode("x");
const ID = mpackKey(CONTENT);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: CONTENT })] }));
const KEY = mpackKey(PACK);
/** As an S3 store or a database would name itself. */
const SECRETS = ["secret-bucket", "s3.internal.example", "10.1.2.3", "5433", "AccessDenied"];

function assertDiscreet(text: string, more: readonly string[]): void {
  for (const secret of [...SECRETS, ...more]) {
    assert.ok(!text.includes(secret), `${secret} in ${text}`);
  }
}

Deno.test("errors name no bucket, host, port, repo id, blob key or words of the database", async (t) => {
  const message = "Cannot put secret-bucket/mpacks/x on s3.internal.example: AccessDenied";
  const fail = () => Promise.reject(new StoreError("store-unavailable", message));
  let isAway = false;
  await using api = await startApi();
  const { fixture } = api, { store } = fixture as { store: object };
  const { repoId } = fixture.repo, more = [repoId, "test_", fixture.folder];
  const me = await api.identity("me");
  const pushed = await me.send("/me/repo/push/stream", {
    body: PACK,
    headers: { "x-mpack-key": KEY },
  });
  assert.equal(pushed.status, 200);
  for (const name of ["open", "stat", "put"] as const) {
    const real = Reflect.get(store, name).bind(store);
    Object.assign(store, { [name]: (...args: unknown[]) => isAway ? fail() : real(...args) });
  }
  const ask = async (client: Client): Promise<void> => {
    const answers = [
      await client.send(`/me/repo/objects/${ID}`),
      await client.send("/me/repo/push/unpack-mpack", { json: { mpack_key: KEY } }),
      await client.send("/me/repo/push/stream", {
        body: PACK,
        headers: { "x-mpack-key": mpackKey(new Uint8Array(1)) },
      }),
    ];
    for (const { status, bytes } of answers) {
      assert.ok(status >= 400, String(status));
      assertDiscreet(new TextDecoder().decode(bytes), more);
    }
  };
  await t.step("the store fails", async () => {
    isAway = true;
    await ask(me);
    isAway = false;
  });
  await t.step("the database fails", async () => {
    const open = fixture.db as { intercept?: Database["intercept"] };
    open.intercept = () =>
      Promise.reject(Object.assign(new Error("connect ECONNREFUSED 10.1.2.3:5433"), {
        code: "ECONNREFUSED",
      }));
    try {
      await ask(me);
    } finally {
      delete open.intercept;
    }
  });
  await t.step("the blob was replaced, or is gone", async () => {
    await Deno.writeFile(fixture.blobPath(KEY), PACK.slice(1));
    const { status, bytes } = await me.send(`/me/repo/objects/${ID}`);
    assert.ok(status >= 400);
    assertDiscreet(new TextDecoder().decode(bytes), more);
    await Deno.remove(fixture.blobPath(KEY));
    const gone = await me.send(`/me/repo/objects/${ID}`);
    assert.ok(gone.status >= 400);
    assertDiscreet(new TextDecoder().decode(gone.bytes), more);
  });
  await t.step("a failed job is looked at", async () => {
    await fixture.db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at, last_error)
      values ('failed', ${repoId}, 'mpack.index', '{}', 'failed', now(),
        ${fixture.db.sql.json({ code: "store-unavailable", message, retryable: true })})`;
    for (const path of ["/api/jobs/failed", "/api/jobs?status=failed", "/api/jobs/failed/events"]) {
      const { status, bytes } = await me.send(path);
      assert.equal(status, 200);
      assertDiscreet(new TextDecoder().decode(bytes), []);
    }
  });
  await t.step("a route that does not exist", async () => {
    const { bytes } = await readAnswer(await fetch(`${api.url}/none`));
    assertDiscreet(new TextDecoder().decode(bytes), more);
  });
});
