import assert from "node:assert/strict";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { parseBytes, parseSize } from "../../scripts/mpack/shape.ts";
import { keyOfPack } from "../support/mpack/pack_key.ts";
import type { IndexResult } from "../../src/jobs/index/result.ts";
import { mintToken } from "../../src/http/auth/token.ts";
import { createIdentity } from "../../src/db/identities.ts";
import { createToken } from "../../src/db/tokens.ts";
import { newSigner } from "../support/http/api.ts";
import { sendBody } from "../../src/cli/push/send_file.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { type MpackdProcess, startWorkerProcess } from "../support/process/mpackd_process.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { until } from "../support/until.ts";

/** 1 runs the size of the promise, 2 GiB; CI runs an eighth. */
const SHARE = Number(Deno.env.get("MPACKD_TEST_SHARE") ?? 1 / 8);
const MB = 1e6;
const TOKEN = mintToken();
const MOST_MB = 250;
/** No socket buffers that much: the server has begun to read. */
const BEGUN_BYTES = parseBytes("8MiB");
/** Half of it one object, half of it small ones, and more names than the guard keeps in memory. */
const SHAPE: Partial<MpackShape> = {
  objects: Math.round(65_536 * SHARE),
  size: parseSize("16KiB"),
  hugeBytes: parseBytes("1GiB") * SHARE,
  snapshots: 4,
  paths: 65_536,
  seed: 41,
};

interface PushFixture extends AsyncDisposable {
  readonly fixture: TestFixture;
  /** Starts `main.ts serve` on the fixture. */
  serve(
    options?: { args?: string[]; env?: Record<string, string> },
  ): Promise<{ readonly process: MpackdProcess; readonly url: string }>;
}

async function createPushFixture(onSwift: boolean): Promise<PushFixture> {
  const bucket = onSwift ? await makeBucket() : undefined;
  const fixture = await createFixture(bucket && { store: bucket.store });
  const { databaseUrl, db, folder } = fixture;
  const { signer: { keyId: identityId }, publicKey } = await newSigner();
  await createIdentity(db, {
    identityId,
    handle: "me",
    publicKey: publicKey.toBase64(),
    isAgent: false,
    isAdmin: false,
  });
  await createToken(db, { ...TOKEN, identityId, scopes: ["push"], lifetimeMs: 3_600_000 });
  const storeEnv: Record<string, string> = {};
  if (bucket) {
    const { options } = bucket;
    const place = new URLSearchParams({ endpoint: options.endpoint!, region: options.region });
    storeEnv.MPACK_STORE = `s3://${options.bucket}?${place}`;
    storeEnv.AWS_ACCESS_KEY_ID = options.accessKeyId;
    storeEnv.AWS_SECRET_ACCESS_KEY = options.secretAccessKey;
  }
  return {
    fixture,
    async serve({ args = [], env } = {}) {
      const process = startWorkerProcess({
        databaseUrl,
        folder,
        env: { ...storeEnv, ...env },
        command: "serve",
        args: ["--port", "0", ...args],
      });
      const { message } = await process.line(({ message }) => message.startsWith("Listening on "));
      return { process, url: /http:\S+?(?=;|$)/.exec(message)![0] };
    },
    async [Symbol.asyncDispose]() {
      await fixture[Symbol.asyncDispose]();
      await bucket?.[Symbol.asyncDispose]();
    },
  };
}

/** It must not be taken, whether there is an answer or the connection breaks. */
async function pushInVain(url: string, key: string, body: AsyncIterable<Uint8Array>, size: number) {
  const status = await push(url, key, body, size).then(({ status }) => status, () => undefined);
  assert.ok(status === undefined || status >= 400, `it answered ${status}`);
}

function push(url: string, key: string, body: AsyncIterable<Uint8Array>, sizeBytes: number) {
  const headers = new Headers({
    authorization: `Bearer ${TOKEN.text}`,
    "x-mpack-key": key,
    "content-type": "application/octet-stream",
  });
  return sendBody(new URL(`${url}/me/repo/push/stream`), { headers, body, sizeBytes });
}

async function lengthOf(shape: Partial<MpackShape>): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of makeMpack(shape)) sizeBytes += chunk.length;
  return sizeBytes;
}

/** Breaks off after so many bytes. */
async function* cut(pack: AsyncIterable<Uint8Array>, atBytes: number) {
  let sentBytes = 0;
  for await (const chunk of pack) {
    const rest = atBytes - sentBytes;
    if (chunk.length >= rest) {
      yield chunk.subarray(0, rest);
      throw new Error("Broken off");
    }
    yield chunk;
    sentBytes += chunk.length;
  }
}

/** The kernel's own high-water mark of a process's resident memory, in MB. */
function peakMb(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) * 1024 / MB;
}

async function pushInOnePass(onSwift: boolean): Promise<void> {
  await using made = await createPushFixture(onSwift);
  const { fixture } = made;
  const key = await keyOfPack(makeMpack(SHAPE));
  const server = await made.serve();
  await using process = server.process;
  const startedAt = performance.now();
  const answer = await push(server.url, key, makeMpack(SHAPE), await lengthOf(SHAPE));
  const { status } = answer, value = answer.value as IndexResult;
  const seconds = (performance.now() - startedAt) / 1000;
  assert.equal(status, 200, JSON.stringify(value));
  assert.equal(value.objects_written, SHAPE.objects);
  assert.equal(
    (await fixture.store.stat(`mpacks/${fixture.repo.repoId}/${key}`)).sizeBytes,
    value.size_bytes,
  );
  const peak = peakMb(process.pid);
  const place = onSwift ? "Swift" : "a folder";
  console.log(
    `Pushed ${(value.size_bytes / MB).toFixed(0)} MB to ${place} in ${seconds.toFixed(1)} s; ` +
      `peak RSS of the server ${peak.toFixed(0)} MB`,
  );
  assert.ok(peak < MOST_MB, `${peak} MB`);
}

async function breakOff(onSwift: boolean): Promise<void> {
  await using made = await createPushFixture(onSwift);
  const { fixture } = made, { db, store } = fixture;
  const shape = { ...SHAPE, objects: 4_000, hugeBytes: parseBytes("16MiB") };
  const sizeBytes = await lengthOf(shape);
  const key = await keyOfPack(makeMpack(shape));
  const before = await fixture.dump();
  const isIdle = async () =>
    (await db.sql`select 1 from musehub_background_jobs where status = 'running'`).length === 0;
  const points: number[] = [];
  const env = { MPACK_LEASE_MS: "10000" };
  const randomPoint = () => BEGUN_BYTES + Math.floor(Math.random() * (sizeBytes - BEGUN_BYTES));
  {
    const server = await made.serve({ env });
    await using process = server.process;
    for (let i = 0; i < 6; i++) {
      points.push(randomPoint());
      await pushInVain(server.url, key, cut(makeMpack(shape), points.at(-1)!), sizeBytes);
    }
    await until("each push has ended", async () => {
      const [{ jobs }] = await db.sql`select count(*)::int as jobs from musehub_background_jobs`;
      return jobs === points.length && await isIdle();
    });
    assert.equal(await fixture.staged(), 0, `broken off at ${points}`);
    assert.deepEqual(await Array.fromAsync(store.list("mpacks/")), [], `broken off at ${points}`);
    // And now the server itself, wherever it is.
    const at = randomPoint();
    points.push(at);
    const killed = async function* () {
      let sentBytes = 0;
      for await (const chunk of makeMpack(shape)) {
        yield chunk;
        sentBytes += chunk.length;
        if (sentBytes >= at) process.kill("SIGKILL");
      }
    };
    await pushInVain(server.url, key, killed(), sizeBytes);
  }
  assert.equal(await fixture.dump(), before, `broken off at ${points}`);
  // The lease of the dead server's job expires, and the next claim gives the job up.
  const server = await made.serve({ args: ["--worker"] });
  await using _process = server.process;
  await until("no push is under way", isIdle);
  await collectGarbage({
    db,
    store,
    config: fixture.config(),
    graceMs: 0,
    signal: new AbortController().signal,
  });
  assert.equal(await fixture.staged(), 0, `broken off at ${points}`);
  assert.deepEqual(await Array.fromAsync(store.list("mpacks/")), [], `broken off at ${points}`);
  assert.equal(await store.sweep!({ before: new Date(), isDryRun: true }), 0);
  assert.equal(await fixture.dump(), before, `broken off at ${points}`);
  const { status } = await push(server.url, key, makeMpack(shape), sizeBytes);
  assert.equal(status, 200);
}

for (const onSwift of [false, true]) {
  const place = onSwift ? "Swift" : "a folder";
  const ignore = Deno.build.os !== "linux" || (onSwift && s3Engine === undefined);
  Deno.test({
    name: `push/stream takes ${SHARE * 2} GiB to ${place} in bounded memory`,
    ignore,
    fn: () => pushInOnePass(onSwift),
  });
  Deno.test({
    name: `push/stream to ${place}, broken off anywhere, leaves nothing after gc`,
    ignore,
    fn: () => breakOff(onSwift),
  });
}
