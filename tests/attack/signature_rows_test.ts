import assert from "node:assert/strict";
import { forgetSignatures } from "../../src/db/identities.ts";
import { prepare, readAnswer, startApi } from "../support/http/api.ts";
import { openTestDatabase } from "../support/postgres/database.ts";

const LIMIT = 30, REQUESTS = 150, REPLAYS = 40;

Deno.test("signatures are recorded only for requests that the rate limit lets pass", async () => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_REQUESTS_PER_MINUTE: String(LIMIT) },
  });
  const me = await api.identity("me");
  const path = "/api/jobs", startedAt = performance.now();
  // All at once: a limit that looks before it counts would let them all pass.
  const answers = await Promise.all(
    Array.from({ length: REQUESTS }, (_, i) => me.send(`${path}?limit=${i % 100 + 1}`)),
  );
  const refilled = Math.ceil((performance.now() - startedAt) / 60_000 * LIMIT);
  const passed = answers.filter(({ status }) => status === 200).length;
  assert.ok(passed >= LIMIT && passed <= LIMIT + refilled, `${passed} passed`);
  const [{ rows }] = await api.fixture.db.sql`
    select count(*)::int as rows from mpackd_seen_signatures`;
  assert.equal(rows, passed);
});

Deno.test("replays of a request do not use up the rate limit of its signer", async () => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_REQUESTS_PER_MINUTE: String(LIMIT) },
  });
  const me = await api.identity("me"), url = `${api.url}/api/jobs`;
  const captured = await prepare(url, {}, me.signer);
  for (let i = 0; i < REPLAYS; i++) {
    const { status } = await readAnswer(await fetch(url, captured));
    if (i === 0) assert.equal(status, 200);
    else assert.ok([401, 429].includes(status), String(status));
  }
  assert.equal((await me.send("/api/jobs")).status, 200);
});

Deno.test("one sweep deletes all signatures that have expired, and no others", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await db.sql`insert into mpackd_seen_signatures (signature_hash, expires_at)
    select 'old-' || i, now() - interval '1 s' from generate_series(1, 25000) i
    union all select 'new-' || i, now() + interval '1 h' from generate_series(1, 10) i`;
  const [one, two] = await Promise.all([forgetSignatures(db), forgetSignatures(db)]);
  assert.equal(one + two, 25_000);
  assert.equal((await db.sql`select from mpackd_seen_signatures`).length, 10);
});
