import assert from "node:assert/strict";
import { objectKeyOf } from "../../../src/config/config.ts";
import { InvalidMpackError, StoreError } from "../../../src/errors.ts";
import { BUFFER_BYTES } from "../../../src/hash/sha256.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openS3Store } from "../../../src/stream/store/s3/s3_store.ts";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { parseSize } from "../../../scripts/mpack/shape.ts";
import { assertSameBytes, drain, methodsOf, sampleBytes } from "../../support/store/blobs.ts";
import { buildMpack, map, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { startS3Double } from "../../support/store/s3_double.ts";
import { makeBucket, s3Engine } from "../../support/store/swift.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";

const MIB = 1024 * 1024;
const ON = { materialize: true };

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(ReadableStream.from(chunks)).arrayBuffer());
}

async function keysUnder(store: BlobStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

/** Fetches the blob of every object of the pack and compares it with the pack's bytes. */
async function checkBlobs(
  fixture: TestFixture,
  store: BlobStore,
  bytes: Uint8Array,
): Promise<void> {
  const whole = readWhole(bytes);
  assert(whole.accepted);
  const keys = new Set<string>();
  for (const { objectId, contentOffset, sizeBytes } of whole.rows) {
    const key = objectKeyOf("objects/{repo_id}/{object_id}", fixture.repo.repoId, objectId);
    keys.add(key);
    const blob = await drain(await store.open(key));
    assertSameBytes(blob, bytes.subarray(contentOffset, contentOffset + sizeBytes));
    assert.equal(key.slice(-71), mpackKey(blob));
  }
  assert.deepEqual(await keysUnder(store, "objects/"), [...keys].sort());
}

/** Contents of every kind: empty, small, collected, streamed, before and after their id. */
function mixedPack(): Uint8Array {
  const sizes = [0, 1, 70_000, MIB, MIB + 1, 3 * MIB + 7];
  return buildMpack({
    objects: sizes.flatMap((sizeBytes, i) => {
      const [first, second] = [
        sampleBytes(sizeBytes, 2 * i),
        sampleBytes(sizeBytes + 1, 2 * i + 1),
      ];
      return [
        object({ content: first, objectId: i % 2 ? mpackKey(first).slice(7) : undefined }),
        map([["content", second], ["extra", [i]], ["object_id", mpackKey(second)]]),
      ];
    }),
  });
}

Deno.test("index --materialize writes every object under its own key, and nothing the second time", async () => {
  await using fixture = await createFixture();
  const { store } = fixture, bytes = mixedPack();
  const key = await fixture.put(bytes);
  const options = { ...fixture.options(key, { MPACK_MATERIALIZE_PUTS: "2" }), payload: ON };
  const first = await indexMpack(options);
  assert.deepEqual(first.materialized, { written: 12, existing: 0, mismatched: 0 });
  assert.equal(first.hashed_bytes, bytes.length);
  await checkBlobs(fixture, store, bytes);
  const before = await fixture.dump();
  const second = await indexMpack(options);
  assert.deepEqual(second.materialized, { written: 0, existing: 12, mismatched: 0 });
  assert.equal(await fixture.dump(), before);
  // The rows do not depend on the option.
  await using plain = await createFixture();
  const result = await indexMpack(plain.options(await plain.put(bytes)));
  assert.equal(result.materialized, undefined);
  assert.deepEqual(await keysUnder(plain.store, "objects/"), []);
  const uris = (fixture: TestFixture) =>
    fixture.db.sql`select object_id, storage_uri from musehub_objects order by 1`;
  assert.deepEqual([...await uris(fixture)], [...await uris(plain)]);
});

Deno.test("index with MPACK_MATERIALIZE=on materializes unless the job says no", async () => {
  await using fixture = await createFixture();
  const bytes = buildMpack({ objects: [object({ content: sampleBytes(10) })] });
  const env = { MPACK_MATERIALIZE: "on", MPACK_OBJECT_KEY: "o/{object_id}" };
  const options = fixture.options(await fixture.put(bytes), env);
  await indexMpack({ ...options, payload: { materialize: false } });
  assert.deepEqual(await keysUnder(fixture.store, "o/"), []);
  await indexMpack(options);
  assert.deepEqual(await keysUnder(fixture.store, "o/"), [`o/${mpackKey(sampleBytes(10))}`]);
});

Deno.test({
  name: "index --materialize on a real S3 engine: every blob is what its key says",
  ignore: s3Engine === undefined,
  fn: async () => {
    await using fixture = await createFixture();
    await using bucket = await makeBucket();
    const { store } = bucket, big = sampleBytes(20 * MIB + 11, 99);
    const small = await collect(
      makeMpack({ objects: 60, size: parseSize("lognormal:3000"), seed: 3 }),
    );
    for (const bytes of [small, buildMpack({ objects: [object({ content: big })] })]) {
      for await (const { key } of store.list("objects/")) await store.delete(key);
      const key = mpackKey(bytes);
      await store.put(`mpacks/${fixture.repo.repoId}/${key}`, ReadableStream.from([bytes]));
      const result = await indexMpack({ ...fixture.options(key), store, payload: ON });
      assert.equal(result.materialized?.written, result.objects_total);
      await checkBlobs(fixture, store, bytes);
    }
  },
});

Deno.test("index --materialize leaves out an object that does not hash to its id", async (t) => {
  const honest = sampleBytes(100), huge = sampleBytes(9 * MIB);
  const bytes = buildMpack({
    objects: [
      object({ content: sampleBytes(50), objectId: mpackKey(sampleBytes(51)) }),
      object({ content: sampleBytes(2 * MIB), objectId: mpackKey(sampleBytes(52)) }),
      object({ content: huge, objectId: mpackKey(sampleBytes(53)) }),
      object({ content: new Uint8Array(), objectId: mpackKey(sampleBytes(54)) }),
      object({ content: honest }),
    ],
  });
  const check = async (fixture: TestFixture, store: BlobStore) => {
    const key = mpackKey(bytes);
    await store.put(`mpacks/${fixture.repo.repoId}/${key}`, ReadableStream.from([bytes]));
    const result = await indexMpack({ ...fixture.options(key), store, payload: ON });
    assert.deepEqual(result.materialized, { written: 1, existing: 0, mismatched: 4 });
    assert.deepEqual(await keysUnder(store, "objects/"), [
      `objects/${fixture.repo.repoId}/${mpackKey(honest)}`,
    ]);
    assert.equal(await store.sweep?.({ before: new Date(Date.now() + 60_000) }) ?? 0, 0);
  };
  await t.step("found by a folder", async () => {
    await using fixture = await createFixture();
    await check(fixture, fixture.store);
  });
  await t.step("found by the job, if the store does not check digests", async () => {
    await using fixture = await createFixture();
    await check(fixture, {
      ...methodsOf(fixture.store),
      // A store without digests.
      put: (key, body, { sizeBytes, signal } = {}) =>
        fixture.store.put(key, body, { sizeBytes, signal }),
    });
  });
  for (const checksDigests of [true, false]) {
    const does = checksDigests ? "checks" : "does not check";
    await t.step(`found with an engine that ${does} digests`, async () => {
      await using fixture = await createFixture();
      await using double = startS3Double();
      double.checksDigests = checksDigests;
      // The bucket itself, which is asked for after a 404.
      double.set("/b/", new Uint8Array());
      const options = { bucket: "b", endpoint: double.endpoint, region: "us-east-1" };
      // Without a sweep: the double lists no uploads.
      const store = openS3Store({ ...options, accessKeyId: "k", secretAccessKey: "s" });
      await check(fixture, { ...methodsOf(store), provesDigests: store.provesDigests });
      assert.equal(double.uploads.size, 0);
    });
  }
  await t.step({
    name: "found by a real S3 engine",
    ignore: s3Engine === undefined,
    fn: async () => {
      await using fixture = await createFixture();
      await using bucket = await makeBucket();
      await check(fixture, bucket.store);
    },
  });
});

Deno.test("index --materialize of a refused pack leaves no new blob", async (t) => {
  const contents = Array.from({ length: 40 }, (_, i) => sampleBytes(500 + i, i));
  const valid = buildMpack({
    objects: [...contents, sampleBytes(2 * MIB)].map((content) => object({ content })),
  });
  const cases: [string, Uint8Array][] = [
    ["cut short", valid.subarray(0, valid.length - 9)],
    ["cut in a streamed content", valid.subarray(0, valid.length - MIB)],
    ["with a wrong digest", valid.map((byte, at) => at === valid.length - 50 ? byte ^ 1 : byte)],
    [
      "with one id in two sizes",
      buildMpack({
        objects: [
          ...contents.map((content) => object({ content })),
          object({ content: sampleBytes(3), objectId: mpackKey(contents[7]) }),
        ],
      }),
    ],
  ];
  for (const [name, bytes] of cases) {
    await t.step(name, async () => {
      await using fixture = await createFixture();
      // Two of the objects are the repo's already, with their blobs.
      const known = buildMpack({
        objects: contents.slice(3, 5).map((content) => object({ content })),
      });
      await indexMpack({ ...fixture.options(await fixture.put(known)), payload: ON });
      const before = [await fixture.dump(), await keysUnder(fixture.store, "objects/")];
      const conflict = name.includes("two sizes");
      const key = await fixture.put(bytes, conflict ? undefined : mpackKey(valid));
      await assert.rejects(
        indexMpack({ ...fixture.options(key, { MPACK_BATCH_ROWS: "7" }), payload: ON }),
        InvalidMpackError,
      );
      assert.deepEqual([await fixture.dump(), await keysUnder(fixture.store, "objects/")], before);
    });
  }
});

Deno.test("index --materialize continues where it was interrupted, even inside an object", async () => {
  await using fixture = await createFixture();
  const big = (seed: number) => object({ content: sampleBytes(3 * MIB, seed) });
  const small = Array.from({ length: 30 }, (_, i) => object({ content: sampleBytes(900, 50 + i) }));
  const bytes = buildMpack({
    objects: [...small.slice(0, 10), big(1), ...small.slice(10), big(2)],
  });
  const key = await fixture.put(bytes);
  const env = { MPACK_BATCH_ROWS: "1", MPACK_CHECKPOINT_BYTES: `${MIB}` };
  let resumes = 0;
  for (const part of [0.2, 0.4, 0.7, 0.9]) {
    const stop = new AbortController();
    const attempt = indexMpack({
      ...fixture.options(key, env),
      payload: ON,
      signal: stop.signal,
      onProgress: ({ bytes: read, sizeBytes }) => read > part * sizeBytes && stop.abort(),
    });
    await assert.rejects(attempt, { code: "cancelled" });
    resumes++;
  }
  const result = await indexMpack({ ...fixture.options(key, env), payload: ON });
  assert.equal(resumes, 4);
  assert.ok(result.resumed_from_byte > 0);
  await checkBlobs(fixture, fixture.store, bytes);
});

Deno.test("index --materialize keeps to its memory limit with a slow store", async () => {
  await using fixture = await createFixture();
  const bytes = buildMpack({ objects: [object({ content: sampleBytes(24 * MIB) })] });
  const key = await fixture.put(bytes);
  let read = 0, ahead = 0;
  const store: BlobStore = {
    ...methodsOf(fixture.store),
    async put(key, body, options) {
      let taken = 0;
      const slow = async function* () {
        for await (const chunk of body) {
          // After some turns of the event loop, all that can be read was read.
          for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve));
          ahead = Math.max(ahead, read - taken);
          taken += chunk.length;
          yield chunk;
        }
      };
      return await fixture.store.put(key, slow(), options);
    },
  };
  const env = { MPACK_MATERIALIZE_BYTES: `${MIB}` };
  const result = await indexMpack({
    ...fixture.options(key, env),
    store,
    payload: ON,
    onProgress: ({ bytes }) => read = bytes,
  });
  assert.equal(result.materialized?.written, 1);
  assert.ok(ahead > MIB / 2 && ahead < 1.25 * MIB + BUFFER_BYTES, `${ahead} bytes ahead`);
});

Deno.test("index --materialize puts the job back when the store takes no more blobs", async () => {
  await using fixture = await createFixture();
  const bytes = await collect(makeMpack({ objects: 50, size: parseSize("100"), seed: 4 }));
  const key = await fixture.put(bytes);
  let puts = 0;
  const store: BlobStore = {
    ...methodsOf(fixture.store),
    put(key, body, options) {
      if (++puts > 20) throw new StoreError("store-unavailable", "Cannot write: full");
      return fixture.store.put(key, body, options);
    },
  };
  await assert.rejects(indexMpack({ ...fixture.options(key), store, payload: ON }), {
    code: "store-unavailable",
  });
  const [{ status }] = await fixture.db.sql`select status from musehub_background_jobs`;
  assert.equal(status, "pending");
  const result = await indexMpack({ ...fixture.options(key), payload: ON });
  assert.equal(result.objects_total, 50);
  await checkBlobs(fixture, fixture.store, bytes);
});
