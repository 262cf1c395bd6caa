import assert from "node:assert/strict";
import { GhostError, InvalidMpackError } from "../../../src/errors.ts";
import { pushMpack } from "../../../src/jobs/index/push_mpack.ts";
import { guardMpack } from "../../../src/objects/guard_mpack.ts";
import { buildMpack, cut, mpackKey, object, type Value } from "../../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";
import { assertSameBytes, bodyOf, methodsOf, sampleBytes } from "../../support/store/blobs.ts";
import { snapshotIdOf, snapshotRecord } from "../../support/history/records.ts";

const HELLO = new TextEncoder().encode("hello");
const ID = mpackKey(HELLO);
const STRANGE = mpackKey(new TextEncoder().encode("another repo's"));

async function push({ db, store, config, repo }: TestFixture, bytes: Uint8Array) {
  return await pushMpack({
    db,
    store,
    config: config(),
    repoId: repo.repoId,
    mpackKey: mpackKey(bytes),
    body: bodyOf(bytes, 10),
    worker: "test",
  });
}

const packOf = (snapshot: Record<string, Value>) =>
  buildMpack({ snapshots: [snapshot], objects: [object({ content: HELLO })] });

Deno.test("pushMpack() refuses a snapshot that names objects which neither pack nor repo has", async (t) => {
  await using fixture = await createFixture();
  const cases: Record<string, Record<string, Value>> = {
    "in its manifest": snapshotRecord({ a: ID, b: STRANGE }),
    "in a delta": {
      snapshot_id: snapshotIdOf({ a: ID, b: STRANGE }),
      delta_add: { a: ID, b: STRANGE },
    },
  };
  for (const [name, snapshot] of Object.entries(cases)) {
    await t.step(name, async () => {
      const bytes = packOf(snapshot);
      const isRefused = (error: unknown) =>
        error instanceof GhostError && error.missing[0] === STRANGE;
      await assert.rejects(push(fixture, bytes), isRefused);
      const { db, repo: { repoId } } = fixture;
      const { missing } = await guardMpack({ db, repoId, mpack: bodyOf(bytes, 10) });
      assert.equal(missing, 1);
      const [{ refs }] = await db.sql`select count(*)::int as refs from musehub_object_refs`;
      assert.equal(refs, 0);
    });
  }
  await t.step("but takes a delta that names what is there", async () => {
    const result = await push(
      fixture,
      packOf({ snapshot_id: snapshotIdOf({ a: ID }), delta_add: { a: ID }, delta_remove: [] }),
    );
    assert.equal(result.object_refs_written, 1);
  });
});

Deno.test("pushMpack() refuses an object with an unknown encoding, naming it and its byte", async () => {
  await using fixture = await createFixture();
  const bytes = buildMpack({ objects: [{ object_id: ID, encoding: "gzip", content: HELLO }] });
  const isRefused = (error: unknown) => {
    assert.ok(error instanceof InvalidMpackError);
    assert.equal(error.code, "unsupported-encoding");
    assert.match(error.message, /its encoding is "gzip"/);
    const name = bytes.subarray(error.offsetBytes! + 1, error.offsetBytes! + 5);
    assert.equal(new TextDecoder().decode(name), "gzip");
    return true;
  };
  await assert.rejects(push(fixture, bytes), isRefused);
});

/** In chunks of their own: they are on their way to the store when the next ones come. */
async function* chunked(bytes: Uint8Array) {
  for (const chunk of cut(bytes, 10)) yield await Promise.resolve(chunk);
}

Deno.test("pushMpack() without a key finds it at the end of the body", async (t) => {
  await using fixture = await createFixture();
  const { db, store, config, repo: { repoId } } = fixture;
  const bytes = packOf(snapshotRecord({ a: ID }));
  const unnamed = { db, store, config: config(), repoId, worker: "test" };
  const jobs = () =>
    db.sql`select status, payload from musehub_background_jobs order by created_at`;
  await t.step("and names blob, job and result by it", async () => {
    let isRead = false;
    const body = async function* () {
      yield* chunked(bytes);
      const [{ payload }] = await jobs();
      assert.deepEqual(payload, { materialize: false });
      isRead = true;
    };
    const payload = () => (assert.ok(isRead), { branch: "main", declared_objects_count: 1 });
    const result = await pushMpack({ ...unnamed, body: body(), payload });
    assert.equal(result.mpack_key, mpackKey(bytes));
    const [job] = await jobs();
    assert.equal(job.status, "done");
    assert.equal(job.payload.mpack_key, mpackKey(bytes));
    assert.equal(job.payload.branch, "main");
    assert.deepEqual(
      await Deno.readFile(fixture.blobPath(result.mpack_key)),
      Uint8Array.from(bytes),
    );
  });
  await t.step("and checks what the late payload declares", async () => {
    const wrong = buildMpack({ objects: [], note: "two are declared" });
    const pushing = pushMpack({
      ...unnamed,
      body: chunked(wrong),
      payload: () => Promise.resolve({ declared_objects_count: 2 }),
    });
    await assert.rejects(pushing, { code: "declared-count-mismatch" });
    await assert.rejects(Deno.stat(fixture.blobPath(mpackKey(wrong))), Deno.errors.NotFound);
  });
  await t.step("and leaves a blob that readers have pinned", async () => {
    const before = await store.stat(`mpacks/${repoId}/${mpackKey(bytes)}`);
    await pushMpack({ ...unnamed, body: chunked(bytes) });
    assert.deepEqual(await store.stat(`mpacks/${repoId}/${mpackKey(bytes)}`), before);
  });
  await t.step("and still refuses a key that does not fit", async () => {
    const other = { ...unnamed, mpackKey: mpackKey(HELLO), payload: () => ({}) };
    await assert.rejects(pushMpack({ ...other, body: chunked(bytes) }), {
      code: "digest-mismatch",
    });
  });
  await t.step("and leaves nothing of a body that ends with an error", async () => {
    const broken = async function* () {
      yield bytes.subarray(0, 20);
      await Promise.reject(new Error("gone"));
    };
    await assert.rejects(pushMpack({ ...unnamed, body: broken() }), /^Error: gone$/);
    assert.equal((await jobs()).at(-1)!.status, "cancelled");
    assert.equal(await store.sweep!({ before: new Date(Date.now() + 60_000) }), 0);
  });
});

Deno.test("pushMpack() lends a chunk until a slow store has used it", async (t) => {
  await using fixture = await createFixture();
  const { store, config, db, repo: { repoId } } = fixture;
  const slow = methodsOf(store);
  slow.put = (key, body, options) => {
    const late = async function* () {
      for await (const chunk of body) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        yield chunk;
      }
    };
    return store.put(key, late(), options);
  };
  for (const chunkBytes of [700, 999]) {
    const content = sampleBytes(10 * chunkBytes, chunkBytes);
    const bytes = buildMpack({ objects: [object({ content })] });
    for (const [name, sizeBytes] of [["known", bytes.length], ["unknown", undefined]] as const) {
      await t.step(`of ${chunkBytes} bytes, of a body of ${name} length`, async () => {
        const shared = new Uint8Array(chunkBytes);
        const body = async function* () {
          for (const chunk of cut(bytes, chunkBytes)) {
            shared.set(chunk);
            yield await Promise.resolve(shared.subarray(0, chunk.length));
            shared.fill(0xc1);
          }
        };
        const key = mpackKey(bytes);
        await Deno.remove(fixture.blobPath(key)).catch(() => {});
        const how = { db, store: slow, config: config(), repoId, worker: "test" };
        await pushMpack({ ...how, mpackKey: key, body: body(), sizeBytes });
        assertSameBytes(await Deno.readFile(fixture.blobPath(key)), Uint8Array.from(bytes));
      });
    }
  }
});
