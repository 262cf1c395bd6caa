import assert from "node:assert/strict";
import { type Client, startApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

const PACK = new Uint8Array(buildMpack({ objects: [object({ content: new Uint8Array(7) })] }));

/** Reads the stream to its end and returns the last event. */
async function watch(client: Client, jobId: string) {
  const { bytes } = await client.send(`/api/jobs/${jobId}/events`);
  const blocks = new TextDecoder().decode(bytes).split("\n\n");
  assert.equal(blocks.pop(), "", "the last event is cut short");
  const events = blocks.filter((block) => !block.startsWith(":")).map((block) => {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(block)!;
    return { name, data: JSON.parse(data) };
  });
  const last = events.pop()!;
  // Only the last event is a terminal one.
  for (const { name } of events) assert.equal(name, "progress");
  return last;
}

Deno.test("a job's events end with one terminal event", async (t) => {
  await using api = await startApi();
  const { admin: me, fixture } = api;
  const unpack = async (bytes: Uint8Array) => {
    const json = { mpack_key: await fixture.put(bytes) };
    const headers = { prefer: "respond-async" };
    const { status, value } = await me.send("/me/repo/push/unpack-mpack", { json, headers });
    assert.equal(status, 202);
    return value.job_id as string;
  };
  await t.step("done", async () => {
    const { name, data } = await watch(me, await unpack(PACK));
    assert.equal(name, "done");
    assert.equal(data.mpackKey, mpackKey(PACK));
    assert.equal(data.objectsTotal, 1);
  });
  await t.step("failed", async () => {
    const { name, data } = await watch(me, await unpack(PACK.slice(0, 9)));
    assert.deepEqual([name, data.code, data.retryable], ["failed", "truncated", false]);
  });
  await t.step("cancelled while watched", async () => {
    await fixture.db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at)
      values ('later', ${fixture.repo.repoId}, 'other.kind', '{}', 'pending', now())`;
    const watching = watch(me, "later");
    const { value } = await me.send("/api/jobs/later/cancel", { method: "POST" });
    assert.equal(value.status, "cancelled");
    assert.equal((await watching).name, "cancelled");
  });
  await t.step("deleted", async () => {
    await fixture.db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at)
      values ('gone', ${fixture.repo.repoId}, 'other.kind', '{}', 'pending', now())`;
    const headers = { authorization: `Bearer ${me.token}` };
    const response = await fetch(`${api.url}/api/jobs/gone/events`, { headers });
    const texts = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    assert.match((await texts.read()).value!, /^event: progress\n/);
    await fixture.db.sql`delete from musehub_background_jobs where job_id = 'gone'`;
    assert.match((await texts.read()).value!, /^event: failed\ndata: .*job-not-found/);
    assert.equal((await texts.read()).done, true);
  });
});

Deno.test("a job without news sends keep-alive comments", async () => {
  await using api = await startApi({ worker: false, env: { MPACK_HTTP_IDLE_MS: "200" } });
  const { fixture } = api;
  await fixture.db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at)
    values ('waits', ${fixture.repo.repoId}, 'other.kind', '{}', 'pending', now())`;
  const headers = { authorization: `Bearer ${api.admin.token}` };
  const response = await fetch(`${api.url}/api/jobs/waits/events`, { headers });
  const texts = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assert.match((await texts.read()).value!, /^event: progress\n/);
  for (let i = 0; i < 3; i++) assert.equal((await texts.read()).value, ": still here\n\n");
  await texts.cancel();
});
