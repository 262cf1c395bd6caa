import assert from "node:assert/strict";
import { grantAccess, withdrawAccess } from "../../src/db/collaborators.ts";
import { setQuota } from "../../src/db/quotas/quotas.ts";
import { deleteRepo } from "../../src/db/repos.ts";
import { revokeIdentity } from "../../src/db/identities.ts";
import { revokeToken } from "../../src/db/tokens.ts";
import { createApi } from "../../src/http/app.ts";
import { openHttp } from "../../src/http/open_http.ts";
import { LinkedAbort } from "../../src/lib/abort.ts";
import { startApi, type TestApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { until } from "../support/until.ts";

const CONTENT = new TextEncoder().encode("what only some may read");
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: CONTENT })] }));
const ID = mpackKey(CONTENT);
const AT_ONCE = 16;

/** The request, which fails if somebody asks for its signal: Deno then makes one, and an error for it. */
function withoutSignal(request: Request): Request {
  return Object.defineProperty(request, "signal", {
    get: () => assert.fail("nobody waits here, so nobody needs a signal"),
  });
}

/** Reads without a pause from many connections; every read that begins after `withdraw` is refused. */
async function underLoad(api: TestApi, token: string, withdraw: () => Promise<unknown>) {
  let isWithdrawn = false, allowed = 0;
  const refusals: number[] = [], late: number[] = [];
  const reader = async () => {
    while (refusals.length < 4 * AT_ONCE) {
      const isAfter = isWithdrawn;
      const response = await fetch(`${api.url}/me/repo/objects/${ID}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      await response.body?.cancel();
      if (response.status === 200) allowed++;
      if (!isAfter) continue;
      refusals.push(response.status);
      if (response.status === 200) late.push(response.status);
    }
  };
  const reading = Promise.all(Array.from({ length: AT_ONCE }, reader));
  await until("reads are allowed", () => allowed >= 10 * AT_ONCE, { found: () => ({ allowed }) });
  await withdraw();
  isWithdrawn = true;
  await reading;
  assert.deepEqual(late, []);
  return new Set(refusals);
}

Deno.test("access that is withdrawn under load is refused by the next request", async (t) => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_REQUESTS_PER_MINUTE: "1000000" },
  });
  const { db, repo: { repoId } } = api.fixture;
  const me = await api.identity("me"), friend = await api.identity("friend");
  const headers = { "x-mpack-key": mpackKey(PACK) };
  const pushed = await me.send("/me/repo/push/stream", { body: PACK, headers });
  assert.equal(pushed.status, 200);
  const tokenOf = async (client: typeof me) => (await api.token(client)).text;

  await t.step("a revoked token", async () => {
    const token = await tokenOf(me);
    const withdraw = () => revokeToken(db, token.split("_")[1]);
    assert.deepEqual(await underLoad(api, token, withdraw), new Set([401]));
  });
  const { identityId } = friend.identity!;
  await t.step("a collaborator who was removed", async () => {
    await grantAccess(db, { repoId, identityId });
    const withdraw = () => withdrawAccess(db, { repoId, identityId });
    assert.deepEqual(await underLoad(api, await tokenOf(friend), withdraw), new Set([404]));
  });
  await t.step("a repo that was made private", async () => {
    const show = (visibility: string) =>
      db.sql`update musehub_repos set visibility = ${visibility} where repo_id = ${repoId}`;
    await show("public");
    const refused = await underLoad(api, await tokenOf(friend), () => show("private"));
    assert.deepEqual(refused, new Set([404]));
  });
  await t.step("a revoked identity", async () => {
    await grantAccess(db, { repoId, identityId });
    const withdraw = () => revokeIdentity(db, identityId);
    assert.deepEqual(await underLoad(api, await tokenOf(friend), withdraw), new Set([401]));
  });
  await t.step("a deleted repo", async () => {
    const withdraw = () => deleteRepo(db, { repoId });
    assert.deepEqual(await underLoad(api, await tokenOf(me), withdraw), new Set([404]));
  });
});

Deno.test("reading an object with a token takes one statement", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, store, config } = api.fixture;
  const me = await api.identity("me"), { text } = await api.token(me);
  const headers = { "x-mpack-key": mpackKey(PACK) };
  assert.equal((await me.send("/me/repo/push/stream", { body: PACK, headers })).status, 200);
  const sent: string[] = [];
  const { signal } = new AbortController();
  using stop = new LinkedAbort(signal);
  const answer = createApi(
    await openHttp({
      ...{ store, config: config({}), worker: "test", signal: stop.signal, force: signal },
      db: { ...db, intercept: (query, action) => (sent.push(action), query) },
    }),
    "test",
  );
  const peer = {
    address: "192.0.2.1",
    authorities: ["127.0.0.1:1"],
    close() {},
    hold: () => ({ [Symbol.dispose]() {} }),
  };
  const read = async (token: string, init: RequestInit = {}) => {
    sent.length = 0;
    const request = new Request(`http://127.0.0.1:1/me/repo/objects/${ID}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...init.headers },
    });
    const { status } = await answer(withoutSignal(request), peer);
    return [status, ...sent];
  };
  const one = "find a token";
  const cases: Record<string, RequestInit> = {
    GET: {},
    HEAD: { method: "HEAD" },
    "304": { headers: { "if-none-match": "*" } },
  };
  for (const [name, init] of Object.entries(cases)) {
    await t.step(name, async () => {
      assert.deepEqual(await read(text, init), [name === "304" ? 304 : 200, one]);
    });
  }
  await t.step("a wrong secret", async () => {
    assert.deepEqual(await read(`${text.slice(0, -43)}${"A".repeat(43)}`), [401, one]);
  });
  await t.step("a presigned upload: one more, and one if there is a quota", async () => {
    const presign = async (key: string) => {
      sent.length = 0;
      const request = new Request("http://127.0.0.1:1/me/repo/push/mpack-presign", {
        method: "POST",
        headers: { authorization: `Bearer ${text}`, "content-type": "application/json" },
        body: JSON.stringify({ mpack_key: key, size_bytes: 5 }),
      });
      const response = await answer(withoutSignal(request), peer);
      return [(await response.json()).already_indexed, ...sent];
    };
    const two = [one, "look for the pack and its quotas"], other = mpackKey(CONTENT);
    assert.deepEqual(await presign(mpackKey(PACK)), [true, ...two]);
    assert.deepEqual(await presign(other), [false, ...two]);
    await setQuota(db, { kind: "owner", name: "me" }, { packs: 9 });
    assert.deepEqual(await presign(other), [false, ...two, "check the quotas"]);
  });
  stop.abort(new Error("over"));
});
