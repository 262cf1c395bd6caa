import assert from "node:assert/strict";
import { deleteRepo } from "../../src/db/repos.ts";
import { revokeToken } from "../../src/db/tokens.ts";
import { startApi, type TestApi } from "../support/http/api.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

/** Far longer than what sockets and the front buffer. */
const LARGE = sampleBytes(60_000_000, 3);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: LARGE })] }));
const ID = mpackKey(LARGE), KEY = mpackKey(PACK);
/** Longer than the time between two checks. */
const LATER_MS = 6_000;
const later = () => new Promise((resolve) => setTimeout(resolve, LATER_MS));

async function read(api: TestApi, token: string, revoke: () => Promise<unknown>): Promise<number> {
  const response = await fetch(`${api.url}/me/repo/objects/${ID}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(response.status, 200);
  const reader = response.body!.getReader();
  let bytes = (await reader.read()).value!.length;
  await revoke();
  await later();
  try {
    for (let part; !(part = await reader.read()).done;) bytes += part.value.length;
  } catch {
    // Cut.
  }
  return bytes;
}

/** Sends half of a pack, and the rest after `revoke`; returns the answer. */
async function push(api: TestApi, token: string, pack: Uint8Array, revoke: () => Promise<unknown>) {
  const { hostname, port, host } = new URL(api.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const head = `POST /me/repo/push/stream HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n` +
    `Authorization: Bearer ${token}\r\nX-Mpack-Key: ${mpackKey(pack)}\r\n` +
    `Content-Length: ${pack.length}\r\n\r\n`;
  const send = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  };
  await send(new TextEncoder().encode(head));
  await send(pack.subarray(0, pack.length >> 1));
  await revoke();
  await later();
  await send(pack.subarray(pack.length >> 1)).catch(() => {});
  const buffer = new Uint8Array(65536);
  const count = await connection.read(buffer).catch(() => null);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
}

Deno.test("revocation reaches running reads, events and pushes", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, repo } = api.fixture;
  const me = await api.identity("me");
  const stored = await me.send("/me/repo/push/stream", {
    body: PACK,
    headers: { "x-mpack-key": KEY },
  });
  assert.equal(stored.status, 200);
  const withToken = async () => {
    const { text } = await api.token(me);
    return { text, revoke: () => revokeToken(db, text.split("_")[1]) };
  };
  await t.step("a read", async () => {
    const { text, revoke } = await withToken();
    assert.ok(await read(api, text, revoke) < LARGE.length);
    const kept = await api.token(me);
    assert.equal(await read(api, kept.text, () => Promise.resolve()), LARGE.length);
  });
  await t.step("events", async () => {
    await db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at)
      values ('waits', ${repo.repoId}, 'other.kind', '{}', 'pending', now())`;
    const { text, revoke } = await withToken();
    const headers = { authorization: `Bearer ${text}` };
    const response = await fetch(`${api.url}/api/jobs/waits/events`, { headers });
    const texts = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    assert.match((await texts.read()).value!, /^event: progress\n/);
    await revoke();
    await later();
    await db
      .sql`update musehub_background_jobs set progress = '{"bytes": 1}' where job_id = 'waits'`;
    // What waited in the stream already may still come, but nothing after it.
    let isOver = false;
    for (let i = 0; i < 3 && !isOver; i++) {
      isOver = await texts.read().then(({ done }) => done, () => true);
      await later();
      await db.sql`update musehub_background_jobs set progress = ${
        db.sql.json({ bytes: i + 2 })
      } where job_id = 'waits'`;
    }
    assert.ok(isOver);
  });
  const packs = [1, 2].map((seed) =>
    new Uint8Array(buildMpack({ objects: [object({ content: sampleBytes(1_000_000, seed) })] }))
  );
  await t.step("a push, by a revoked token", async () => {
    const { text, revoke } = await withToken();
    assert.match(await push(api, text, packs[0], revoke), /^HTTP\/1\.1 401 /);
  });
  await t.step("a push to a deleted repo", async () => {
    const { text } = await withToken();
    assert.match(
      await push(api, text, packs[1], () => deleteRepo(db, repo)),
      /^HTTP\/1\.1 404 /,
    );
  });
  assert.equal((await db.sql`select from musehub_mpacks`).length, 1);
});
