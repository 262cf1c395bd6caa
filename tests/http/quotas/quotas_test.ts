import assert from "node:assert/strict";
import { recountUsage, setQuota } from "../../../src/db/quotas/quotas.ts";
import { QuotaError } from "../../../src/errors.ts";
import { mpackdHandlers } from "../../../src/jobs/handlers.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { pushMpack } from "../../../src/jobs/index/push_mpack.ts";
import { getJob } from "../../../src/jobs/queue/mod.ts";
import { Worker } from "../../../src/jobs/worker/worker.ts";
import { type Client, startApi, type TestApi } from "../../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";

/** A pack of one object of so many bytes. */
function packOf(text: string, sizeBytes = 100): Uint8Array<ArrayBuffer> {
  const content = new TextEncoder().encode(text.padEnd(sizeBytes, "."));
  return new Uint8Array(buildMpack({ objects: [object({ content })] }));
}

function push(client: Client, pack: Uint8Array<ArrayBuffer>) {
  const headers = { "x-mpack-key": mpackKey(pack) };
  return client.send("/me/repo/push/stream", { body: pack, headers });
}

/** Runs a job that another program has put into the queue. */
async function runForeign(
  { place: db, fixture }: TestApi,
  key: string,
  env: Record<string, string> = {},
) {
  const { store, repo: { repoId } } = fixture, config = fixture.config(env);
  await db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload)
    values ('foreign', ${repoId}, 'mpack.index',
      ${JSON.stringify({ mpack_key: key })}::text::json)`;
  const { leaseMs, concurrency, perRepo, pollMs, drainMs } = config;
  await new Worker({
    ...{ db, leaseMs, concurrency, perRepo, pollMs, drainMs, worker: "test", untilEmpty: true },
    handlers: mpackdHandlers({ db, store, config }),
    signal: new AbortController().signal,
  }).run();
  return (await getJob(db, "foreign"))!;
}

/** The names of all blobs, those that are being written included. */
async function blobsOf({ fixture: { store } }: TestApi): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("")) keys.push(key);
  return keys.sort();
}

Deno.test("a tenant at its quota is warned, then refused on every way in, before anything is stored", async (t) => {
  await using api = await startApi({ worker: false });
  const { fixture } = api, { db } = fixture;
  const me = await api.identity("me"), root = await api.identity("root", { isAdmin: true });
  const first = packOf("first"), second = packOf("second");
  const bytes = first.length + second.length;
  const put = (path: string, json: object, client = root) =>
    client.send(`/api/quotas${path}`, { method: "PUT", json });
  await t.step("only an admin sets it", async () => {
    assert.equal((await put("/me", { bytes }, me)).status, 403);
    assert.equal((await put("/me/repo", { bytes }, me)).status, 403);
    assert.equal((await put("/me/none", { bytes })).status, 404);
    assert.equal((await put("/me", {})).status, 422);
    const { status, value } = await put("/me", { bytes, packs: "unlimited" });
    assert.equal(status, 200);
    assert.deepEqual([value.of, value.name, value.percent], ["owner", "me", 0]);
    assert.deepEqual(value.limits, { bytes, objects: null, packs: null, pushes: null });
  });
  await t.step("a warning from 80 % on", async () => {
    const { status, headers } = await push(me, first);
    assert.deepEqual([status, headers.get("mpackd-quota-warning")], [200, null]);
    const full = await push(me, second);
    assert.equal(full.headers.get("mpackd-quota-warning"), "owner bytes 100%");
    assert.deepEqual(full.value.quota_warnings, [
      { of: "owner", what: "bytes", used: bytes, limit: bytes },
    ]);
  });
  await t.step("a push that is repeated is answered as before", async () => {
    assert.equal((await push(me, second)).status, 200);
  });
  const third = packOf("third"), key = mpackKey(third), before = await blobsOf(api);
  const refused = { of: "owner", what: "bytes", used: bytes, limit: bytes };
  const ways: Record<string, () => ReturnType<Client["send"]>> = {
    "push/stream": () => push(me, third),
    "mpack-presign": () =>
      me.send("/me/repo/push/mpack-presign", {
        json: { mpack_key: key, size_bytes: third.length },
      }),
    "mpack-presign, in parts": () =>
      me.send("/me/repo/push/mpack-presign", {
        json: { mpack_key: key, size_bytes: 6 * 1024 * 1024, part_bytes: 5 * 1024 * 1024 },
      }),
    "push/objects": () =>
      me.send("/me/repo/push/objects", {
        body: third,
        headers: { "content-type": "application/x-msgpack" },
      }),
  };
  for (const [name, way] of Object.entries(ways)) {
    await t.step(name, async () => {
      const { status, value, bytes } = await way();
      assert.equal(status, 413);
      if (name === "push/objects") {
        assert.ok(bytes.length <= 400, `${bytes.length} bytes`);
        assert.match(new TextDecoder().decode(bytes), /^\{"detail":"Cannot accept the push/);
      } else assert.deepEqual([value.code, value.quota], ["quota-exceeded", refused]);
      assert.deepEqual(await blobsOf(api), before);
    });
  }
  await t.step("unpack-mpack makes no job", async () => {
    await fixture.put(third);
    const { status, value } = await me.send("/me/repo/push/unpack-mpack", {
      json: { mpack_key: key },
    });
    assert.deepEqual([status, value.code], [413, "quota-exceeded"]);
    const jobs = await db.sql`
      select from musehub_background_jobs where mpackd_mpack_key(payload::text) = ${key}`;
    assert.equal(jobs.length, 0);
  });
  await t.step("index", async () => {
    await assert.rejects(indexMpack(fixture.options(key)), QuotaError);
  });
  await t.step("a job that another program queued fails with the code", async () => {
    const job = await runForeign(api, key);
    assert.deepEqual([job.status, job.lastError?.code], ["failed", "quota-exceeded"]);
    assert.equal(job.lastError?.retryable, false);
  });
  await t.step("everyone sees their own", async () => {
    const list = async (client: Client) =>
      (await client.send("/api/quotas?minPercent=80")).value.quotas.map((
        { name }: { name: string },
      ) => name);
    assert.deepEqual([await list(me), await list(root)], [["me"], ["me"]]);
    assert.deepEqual(await list(await api.identity("other")), []);
  });
  await t.step("DELETE lifts it", async () => {
    assert.equal((await root.send("/api/quotas/me", { method: "DELETE" })).status, 204);
    assert.equal((await push(me, third)).status, 200);
  });
});

Deno.test("the pushes of an hour are counted as they are accepted: 429 with Retry-After", async () => {
  await using api = await startApi({ worker: false, env: { MPACK_OWNER_QUOTA: "pushes=1" } });
  const me = await api.identity("me");
  assert.equal((await push(me, packOf("one"))).status, 200);
  const { status, value, headers } = await push(me, packOf("two"));
  assert.deepEqual([status, value.code, value.retryable], [429, "quota-exceeded", true]);
  const seconds = Number(headers.get("retry-after"));
  assert.ok(seconds > 3_500 && seconds <= 3_600, `${seconds} s`);
});

Deno.test("a pushed body of unknown length is cut at the byte too many", async () => {
  await using api = await startApi({ worker: false });
  const { fixture, place: db } = api, { store, repo: { repoId } } = fixture;
  const tenant = { kind: "repo", name: repoId } as const;
  await setQuota(db, tenant, { bytes: 3_000_000 });
  await recountUsage(db, tenant);
  let sent = 0;
  const body = async function* () {
    const pack = packOf("large", 8_000_000);
    for (let at = 0; at < pack.length; at += 100_000) {
      sent += 100_000;
      yield pack.slice(at, at + 100_000);
    }
  };
  const config = fixture.config();
  const pushing = pushMpack({ db, store, config, repoId, worker: "test", body: body() });
  await assert.rejects(pushing, (error: unknown) => {
    assert.ok(error instanceof QuotaError);
    assert.equal(error.quota?.what, "bytes");
    return true;
  });
  assert.ok(sent < 5_000_000, `${sent} bytes were read`);
  assert.deepEqual(await blobsOf(api), []);
  const [{ job_id: jobId }] = await db.sql`select job_id from musehub_background_jobs`;
  const job = await getJob(db, jobId);
  assert.deepEqual([job?.status, job?.lastError?.code], ["failed", "quota-exceeded"]);
});

Deno.test("a job is refused before its first rows are written, if it needs several batches", async () => {
  await using api = await startApi({ worker: false });
  const { fixture, place: db } = api, { repo: { repoId } } = fixture;
  const contents = Array.from({ length: 300 }, (_, i) => new TextEncoder().encode(`object ${i}`));
  const pack = buildMpack({ objects: contents.map((content) => object({ content })) });
  const key = await fixture.put(pack), tenant = { kind: "repo", name: repoId } as const;
  await setQuota(db, tenant, { bytes: pack.length - 1 });
  await recountUsage(db, tenant);
  // What is staged fires the gate of this trigger, even if it is dropped later.
  await db.sql.unsafe(`create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'rows were staged'; end $$`);
  await db.sql.unsafe(`create trigger refuse before insert on mpack_staged_objects
    for each row execute function refuse()`);
  const job = await runForeign(api, key, { MPACK_BATCH_ROWS: "10" });
  assert.deepEqual([job.status, job.lastError?.code], ["failed", "quota-exceeded"]);
  assert.equal((await db.sql`select from musehub_objects`).length, 0);
});
