import assert from "node:assert/strict";
import { GhostError, InvalidMpackError } from "../../../src/errors.ts";
import { pushMpack } from "../../../src/jobs/index/push_mpack.ts";
import { guardMpack } from "../../../src/objects/guard_mpack.ts";
import { buildMpack, mpackKey, object, type Value } from "../../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";
import { bodyOf } from "../../support/store/blobs.ts";

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
    "in its manifest": { manifest: { a: ID, b: STRANGE } },
    "in a delta": { parent_snapshot_id: ID, delta_add: { a: ID, b: STRANGE }, delta_remove: ["c"] },
    "in a delta, which its manifest hides": { manifest: { a: ID }, delta_add: { b: STRANGE } },
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
    const result = await push(fixture, packOf({ delta_add: { a: ID }, delta_remove: [] }));
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
