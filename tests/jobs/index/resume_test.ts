import { LIBCRYPTO } from "../../support/hash/libcrypto.ts";
import assert from "node:assert/strict";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { parseSize } from "../../../scripts/mpack/shape.ts";
import type { Checkpoint } from "../../../src/jobs/index/checkpoint.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { IndexResult } from "../../../src/jobs/index/result.ts";
import { collect } from "../../support/store/blobs.ts";
import { faultyDatabase, faultyStore } from "../../support/postgres/faults.ts";
import { startTestServer } from "../../support/postgres/test_server.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";

const OBJECTS = 400;
const BATCH_ROWS = 20;
/** A batch may be longer by one buffer of the hasher, which is decoded at once. */
const BUFFER_BYTES = 256 * 1024;
const packOf = (objects: number) =>
  collect(makeMpack({ objects, size: parseSize("4000..6000"), seed: 11 }));
const PACK = await packOf(OBJECTS);
const ENV = { MPACK_BATCH_ROWS: String(BATCH_ROWS) };

/** Runs an attempt that ends before its k-th statement, as if its process had died. */
async function runAndDie(
  fixture: TestFixture,
  key: string,
  at: number,
  env = ENV,
): Promise<number> {
  const { db } = faultyDatabase(fixture.db, { at, fault: "refused", times: Infinity });
  const counted = faultyStore(fixture.store, { at: Infinity, fault: "cut" });
  await assert.rejects(
    indexMpack({ ...fixture.options(key, env), db, store: counted.store }),
    { code: "database-unavailable" },
  );
  await fixture.db.sql`update musehub_background_jobs set lease_expires_at = now()`;
  return counted.readBytes;
}

async function checkpointOf(fixture: TestFixture): Promise<Checkpoint> {
  const [{ checkpoint }] = await fixture.db.sql`select checkpoint from musehub_background_jobs`;
  return checkpoint;
}

/** The rows after one clean run in the same fixture, because ETags depend on the file. */
async function runClean(fixture: TestFixture, key: string) {
  const { batches } = await indexMpack(fixture.options(key, ENV));
  const clean = await fixture.dump();
  await fixture.empty();
  return { clean, batches };
}

Deno.test("indexMpack() killed at 90% leaves a tenth and one checkpoint interval to read", async () => {
  await using fixture = await createFixture();
  const pack = await packOf(1_200);
  const key = await fixture.put(pack);
  const { clean, batches } = await runClean(fixture, key);
  // One statement asks for the quotas, one enqueues the job, one asks for the quotas once the length
  // is known, then each stages a batch.
  await runAndDie(fixture, key, 3 + Math.ceil(0.9 * batches) + 1);
  const { offset_bytes } = await checkpointOf(fixture);
  assert.ok(offset_bytes > 0.85 * pack.length, `only ${offset_bytes} of ${pack.length}`);
  const counted = faultyStore(fixture.store, { at: Infinity, fault: "cut" });
  const result = await indexMpack({ ...fixture.options(key, ENV), store: counted.store });
  assert.equal(result.resumed_from_byte, offset_bytes);
  assert.equal(counted.readBytes, pack.length - offset_bytes);
  assert.equal(result.hashed_bytes, counted.readBytes);
  assert.ok(counted.readBytes <= 0.1 * pack.length + 2 * BUFFER_BYTES);
  assert.equal(await fixture.dump(), clean);
  assert.equal(await fixture.staged(), 0);
});

Deno.test("indexMpack() killed twenty times in one pack reads little twice, and writes a clean run's rows", async () => {
  await using fixture = await createFixture();
  const pack = await packOf(1_200);
  const key = await fixture.put(pack);
  const { clean } = await runClean(fixture, key);
  const env = { ...ENV, MPACK_MAX_ATTEMPTS: "50" };
  let readBytes = 0, lastOffset = 0, lastBatches = 0;
  for (let kill = 1; kill <= 20; kill++) {
    // The first attempt enqueues; a later one finds the job, claims it, counts what is staged, and
    // reads the records of eight batches at once. Each asks for the quotas twice.
    const statements = kill === 1 ? 5 : 7 + Math.ceil(lastBatches / 8);
    readBytes += await runAndDie(fixture, key, statements, env);
    const { offset_bytes, batches } = await checkpointOf(fixture);
    lastBatches = batches;
    assert.ok(offset_bytes > lastOffset, `kill ${kill} made no progress from ${lastOffset}`);
    lastOffset = offset_bytes;
    assert.equal((await fixture.db.sql`select from musehub_object_refs`).length, 0);
  }
  const result = await indexMpack(fixture.options(key, env));
  assert.equal(result.resumed_from_byte, lastOffset);
  readBytes += result.hashed_bytes;
  const [{ attempt }] = await fixture.db.sql`select attempt from musehub_background_jobs`;
  assert.equal(attempt, 21);
  // Each killed process loses one batch being sent and one being filled.
  assert.ok(readBytes <= pack.length + 20 * 3 * BUFFER_BYTES, `${readBytes} of ${pack.length}`);
  assert.equal(await fixture.dump(), clean);
  assert.equal(await fixture.staged(), 0);
});

Deno.test("indexMpack() starts over if a checkpoint does not fit, and says why", async (t) => {
  const change = (fixture: TestFixture, path: string, value: unknown) =>
    fixture.db.sql`update musehub_background_jobs set checkpoint =
      jsonb_set(checkpoint::jsonb, ${`{${path}}`}::text[], ${JSON.stringify(value)}::text::jsonb)`;
  type Damage = (fixture: TestFixture, key: string) => Promise<unknown>;
  const cases: [name: string, reason: RegExp, damage: Damage, env?: Record<string, string>][] = [
    [
      "of another version",
      /cannot read the checkpoint/,
      (fixture) => change(fixture, "version", 99),
    ],
    [
      "with a midstate that is not text",
      /cannot read the checkpoint/,
      (fixture) => change(fixture, "midstate", 7),
    ],
    [
      "with a midstate that is not hex",
      /cannot read the checkpoint/,
      (fixture) => change(fixture, "midstate", "zz"),
    ],
    [
      "beyond its own end",
      /cannot read the checkpoint/,
      (fixture) => change(fixture, "offset_bytes", PACK.length + 1),
    ],
    [
      "with a midstate that has hashed another number of bytes",
      /cannot read the checkpoint/,
      async (fixture) => {
        const { midstate } = await checkpointOf(fixture);
        const words = midstate.slice(0, 64), rest = midstate.slice(66);
        return await change(fixture, "midstate", `${words}01${rest}`);
      },
    ],
    [
      "with a midstate too short",
      /cannot read the checkpoint/,
      (fixture) => change(fixture, "midstate", "00"),
    ],
    [
      "of another version of the decoder",
      /decoder state of version 99/,
      (fixture) => change(fixture, "decoder,version", 99),
    ],
    ["without the decoder's parts", /./, (fixture) => change(fixture, "decoder,kept", null)],
    [
      "of a blob that was replaced",
      /the blob was replaced or is gone/,
      (fixture, key) => Deno.utime(fixture.blobPath(key), new Date(), new Date(Date.now() + 9_000)),
    ],
    [
      "whose staged rows are gone",
      /0 rows in 0 batches staged, the checkpoint counts \d+ in \d+/,
      (fixture) => fixture.db.sql`truncate mpack_staged_objects`,
    ],
    [
      "one of whose batches is gone",
      /rows in \d+ batch(es)? staged/,
      (fixture) => fixture.db.sql`delete from mpack_staged_objects where batch = 1`,
    ],
    [
      "for the native engine",
      /the native hash engine cannot go on/,
      () => Promise.resolve(),
      { MPACK_HASH: "native" },
    ],
  ];
  for (const [name, reason, damage, env = {}] of cases) {
    await t.step(name, async () => {
      await using fixture = await createFixture();
      const key = await fixture.put(PACK);
      await runAndDie(fixture, key, 6);
      const { offset_bytes } = await checkpointOf(fixture);
      await damage(fixture, key);
      const { result, reasons } = await finish(fixture, key, env);
      assert.match(reasons.join(), reason);
      assert.equal(reasons.length, 1);
      assert.equal(result.resumed_from_byte, 0);
      assert.equal(result.hashed_bytes, PACK.length);
      assert.equal(result.reread_bytes, offset_bytes);
    });
  }
});

async function finish(fixture: TestFixture, key: string, env: Record<string, string> = {}) {
  const reasons: string[] = [];
  const result: IndexResult = await indexMpack({
    ...fixture.options(key, { ...ENV, ...env }),
    onStartOver: (reason) => reasons.push(reason),
  });
  assert.equal(result.objects_written, OBJECTS);
  assert.equal(result.object_refs_written, OBJECTS);
  assert.equal(await fixture.staged(), 0);
  return { result, reasons };
}

Deno.test("indexMpack() with a wrong midstate reads the pack again instead of rejecting it", async () => {
  await using fixture = await createFixture();
  const key = await fixture.put(PACK);
  await runAndDie(fixture, key, 6);
  const { midstate } = await checkpointOf(fixture);
  // The first of its words.
  const poisoned = (midstate[0] === "0" ? "1" : "0") + midstate.slice(1);
  await fixture.db.sql`update musehub_background_jobs set checkpoint =
    jsonb_set(checkpoint::jsonb, '{midstate}', ${JSON.stringify(poisoned)}::text::jsonb)`;
  const { result, reasons } = await finish(fixture, key);
  assert.match(reasons.join(), /its bytes have the key .*the store is asked once more/);
  assert.equal(result.reread_bytes, PACK.length);
});

Deno.test("indexMpack() starts over after a crash of the database server, whose staged rows are gone", async () => {
  await using server = await startTestServer();
  await using fixture = await createFixture({ server: server.url });
  const key = await fixture.put(PACK);
  await runAndDie(fixture, key, 6);
  assert.ok(await fixture.staged() > 0);
  await fixture.db.sql`checkpoint`;
  await server.restart();
  const { result, reasons } = await finish(fixture, key);
  assert.match(reasons.join(), /^0 rows in 0 batches staged/);
  assert.equal(result.resumed_from_byte, 0);
});

Deno.test("indexMpack() continues with one engine what another one began", async (t) => {
  const native = LIBCRYPTO === undefined ? [] : [["simd", "native"], ["native", "simd"]];
  for (const [first, second] of [["wasm", "simd"], ["simd", "wasm"], ...native]) {
    const library: Record<string, string> = LIBCRYPTO === undefined
      ? {}
      : { MPACK_LIBCRYPTO: LIBCRYPTO };
    await t.step(`${first}, then ${second}`, async () => {
      await using fixture = await createFixture();
      const key = await fixture.put(PACK);
      const env = { ...ENV, MPACK_HASH: first, ...library };
      await runAndDie(fixture, key, 6, env);
      const { offset_bytes } = await checkpointOf(fixture);
      const { result, reasons } = await finish(fixture, key, { MPACK_HASH: second, ...library });
      assert.deepEqual(reasons, []);
      assert.equal(result.hash_engine, second);
      assert.equal(result.resumed_from_byte, offset_bytes);
      assert.equal(result.hashed_bytes, PACK.length - offset_bytes);
    });
  }
});

Deno.test("indexMpack() by the native engine saves no checkpoint, and starts over after a kill", async () => {
  await using fixture = await createFixture();
  const key = await fixture.put(PACK);
  const env = { ...ENV, MPACK_HASH: "native" };
  await runAndDie(fixture, key, 6, env);
  assert.equal(await checkpointOf(fixture), null);
  assert.ok(await fixture.staged() > 0);
  const { result, reasons } = await finish(fixture, key, env);
  assert.deepEqual(reasons, []);
  assert.equal(result.resumed_from_byte, 0);
});

Deno.test("indexMpack() with MPACK_HASH=auto says which engine it chose", async () => {
  await using fixture = await createFixture();
  const key = await fixture.put(PACK), auto = { ...ENV, MPACK_HASH: "auto" };
  assert.equal((await finish(fixture, key, auto)).result.hash_engine, "native");
  await using other = await createFixture();
  const again = await other.put(PACK);
  await runAndDie(other, again, 6);
  assert.equal((await finish(other, again, auto)).result.hash_engine, "simd");
});
