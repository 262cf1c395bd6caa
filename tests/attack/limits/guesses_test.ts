import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { mintToken } from "../../../src/http/auth/token.ts";
import { revokeToken } from "../../../src/db/tokens.ts";
import { newSigner, prepare, readAnswer, startApi, type TestApi } from "../../support/http/api.ts";

const LIMIT = 40;
const env = { MPACK_HTTP_REQUESTS_PER_MINUTE: String(LIMIT) };

/** Counts the statements of an action that the server sends from now on. */
function counting({ fixture: { db } }: TestApi, action: string): () => number {
  let count = 0;
  const query = db.query.bind(db);
  const counted: Database["query"] = (name, options) => {
    if (name === action) count++;
    return query(name, options);
  };
  Object.assign(db, { query: counted });
  return () => count;
}

Deno.test("guessed credentials are limited before the database is asked", async (t) => {
  await using api = await startApi({ worker: false, env });
  const me = await api.identity("me"), known = await api.token(me);
  assert.equal((await known.send("/api/jobs")).status, 200);
  assert.equal((await me.send("/api/jobs?limit=1")).status, 200);
  const guess = async () => {
    const headers = { authorization: `Bearer ${mintToken().text}` };
    return (await api.anonymous.send("/api/jobs", { headers })).status;
  };
  await t.step("tokens", async () => {
    const asked = counting(api, "find a token");
    const statuses = await Promise.all(Array.from({ length: 3 * LIMIT }, guess));
    assert.deepEqual(new Set(statuses), new Set([401, 429]));
    assert.equal(asked(), statuses.filter((status) => status === 401).length);
  });
  await t.step("signatures", async () => {
    const asked = counting(api, "find an identity");
    const { signer } = await newSigner(), url = `${api.url}/api/jobs`;
    const statuses = await Promise.all(Array.from({ length: 3 * LIMIT }, async (_, i) => {
      const path = `${url}?limit=${i % 100 + 1}`;
      return (await readAnswer(await fetch(path, await prepare(path, {}, signer)))).status;
    }));
    assert.ok(statuses.includes(429));
    assert.equal(asked(), statuses.filter((status) => status === 401).length);
  });
  await t.step("credentials known to be valid still count, from the same address", async () => {
    assert.equal((await known.send("/api/jobs")).status, 200);
    assert.equal((await me.send("/api/jobs?limit=2")).status, 200);
  });
  await t.step("so do requests without credentials", async () => {
    assert.equal((await api.anonymous.send("/openapi.json")).status, 200);
  });
});

Deno.test("a token over its limit is refused before it is looked up", async () => {
  await using api = await startApi({ worker: false, env });
  const me = await api.identity("me"), token = await api.token(me);
  assert.equal((await token.send("/api/jobs")).status, 200);
  const asked = counting(api, "find a token");
  const statuses = await Promise.all(
    Array.from({ length: 3 * LIMIT }, async () => (await token.send("/api/jobs")).status),
  );
  assert.deepEqual(new Set(statuses), new Set([200, 429]));
  assert.equal(asked(), statuses.filter((status) => status === 200).length);
});

Deno.test("a revoked token is a guess again", async () => {
  await using api = await startApi({ worker: false, env });
  const me = await api.identity("me"), token = await api.token(me);
  for (const client of [me, token]) assert.equal((await client.send("/api/jobs")).status, 200);
  await revokeToken(api.fixture.db, token.text.split("_")[1]);
  const statuses = [];
  for (let i = 0; i < LIMIT + 5; i++) statuses.push((await token.send("/api/jobs")).status);
  assert.equal(statuses[0], 401);
  assert.equal(statuses.at(-1), 429);
  // Its owner is not made to pay for them.
  assert.equal((await me.send("/api/jobs?limit=1")).status, 200);
});
