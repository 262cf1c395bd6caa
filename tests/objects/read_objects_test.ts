import assert from "node:assert/strict";
import { ObjectError, StoreError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { readObjects, type ReadObjectsOptions } from "../../src/objects/read_objects.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { assertSameBytes, concat, sampleBytes } from "../support/store/blobs.ts";
import { corpusPacks } from "../support/mpack/corpus.ts";
import { countOpens } from "../support/store/counting_store.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { patchByte } from "../support/patch.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { readWhole } from "../support/mpack/whole_document.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const KIB = 1024, MIB = 1024 * KIB;

type Changes = Partial<ReadObjectsOptions>;

/** Ids and contents in the order they come, and the refusals. */
async function readAll(fixture: TestFixture, changes: Changes = {}) {
  const { db, store, repo: { repoId } } = fixture;
  const { store: counting, opens } = countOpens(store);
  const refused = new Map<string, string>();
  const onRefused: ReadObjectsOptions["onRefused"] = (error, id) => refused.set(id, error.code);
  const ids: string[] = [], contents: Uint8Array[] = [];
  const options = { db, store: counting, repoId, onRefused, ...changes };
  for await (const entry of readObjects(options)) {
    try {
      const content = concat(await Array.fromAsync(entry.chunks()));
      assert.equal(content.length, entry.sizeBytes);
      ids.push(entry.objectId);
      contents.push(content);
    } catch (error) {
      assert.ok(error instanceof ObjectError);
      refused.set(entry.objectId, error.code);
    }
  }
  return { ids, contents, refused, opens };
}

async function index(fixture: TestFixture, contents: readonly Uint8Array[]): Promise<string> {
  const objects = contents.map((content) => object({ content }));
  const key = await fixture.put(buildMpack({ objects }));
  await indexMpack(fixture.options(key));
  return key;
}

const stores: [
  string,
  boolean,
  () => Promise<AsyncDisposable & { store: BlobStore } | undefined>,
][] = [
  ["a folder", false, () => Promise.resolve(undefined)],
  ["Swift", s3Engine === undefined, makeBucket],
];
for (const [name, ignore, open] of stores) {
  Deno.test({
    name: `readObjects() gives every object of every pack for one request a pack, from ${name}`,
    ignore,
    fn: async (t) => {
      await using opened = await open();
      await using fixture = await createFixture({ store: opened?.store });
      const wanted = new Map<string, Uint8Array>();
      let packs = 0;
      for (const { bytes } of await corpusPacks()) {
        await indexMpack(fixture.options(await fixture.put(bytes)));
        const whole = readWhole(bytes);
        assert.ok(whole.accepted);
        let isNew = false;
        for (const { objectId, contentOffset, sizeBytes } of whole.rows) {
          isNew ||= sizeBytes > 0 && !wanted.has(objectId);
          wanted.set(objectId, bytes.subarray(contentOffset, contentOffset + sizeBytes));
        }
        if (isNew) packs++;
      }
      const cases: [string, Changes, number][] = [
        ["all of the repo", {}, packs],
        ["streamed", { maxBatchBytes: 1_000, maxGapBytes: MIB }, packs],
        ["as asked, backwards", { objectIds: [...wanted.keys()].reverse() }, packs],
        ["one by one", { objectIds: wanted.keys(), maxBatchBytes: 1, order: "asked" }, Infinity],
      ];
      for (const [how, changes, requests] of cases) {
        await t.step(how, async () => {
          const { ids, contents, refused, opens } = await readAll(fixture, changes);
          assert.deepEqual(refused, new Map());
          assert.deepEqual([...ids].sort(), [...wanted.keys()].sort());
          for (const [i, id] of ids.entries()) assertSameBytes(contents[i], wanted.get(id)!);
          assert.ok(opens.length <= requests, `${opens.length} requests for ${requests} packs`);
          if (changes.objectIds) {
            const asked = [...wanted.keys()];
            assert.deepEqual(ids, how.endsWith("backwards") ? asked.reverse() : asked);
          }
        });
      }
    },
  });
}

Deno.test("readObjects() hands out as asked: repeated ids, large objects between small ones", async () => {
  await using fixture = await createFixture();
  const contents = [100, 3 * MIB, 0, 700 * KIB, 2 * MIB + 1, 50].map((size) => sampleBytes(size));
  await index(fixture, contents);
  const wanted = [4, 0, 2, 1, 0, 5, 3, 4, 2].map((i) => contents[i]);
  for (const maxBatchBytes of [1, MIB, 16 * MIB]) {
    const found = await readAll(fixture, { objectIds: wanted.map(mpackKey), maxBatchBytes });
    assert.deepEqual(found.ids, wanted.map(mpackKey));
    for (const [i, content] of wanted.entries()) assertSameBytes(found.contents[i], content);
  }
});

Deno.test("readObjects() skips what its reader leaves of a large object", async () => {
  await using fixture = await createFixture();
  const contents = [100, 3 * MIB, 2 * MIB, 50].map((size) => sampleBytes(size));
  await index(fixture, contents);
  const { db, store, repo: { repoId } } = fixture;
  const last: Uint8Array[] = [];
  for await (const entry of readObjects({ db, store, repoId, maxBatchBytes: MIB })) {
    if (entry.content) last.push(entry.content);
    else for await (const _chunk of entry.chunks()) break;
  }
  assert.deepEqual(last.map(({ length }) => length), [100, 50]);
  assertSameBytes(last[1], contents[3]);
});

Deno.test("readObjects() refuses exactly the objects that are damaged or not there", async (t) => {
  const contents = [5_000, 2 * MIB, 6_000, 7_000].map((size) => sampleBytes(size, size));
  const ids = contents.map(mpackKey);
  const cases: [string, Changes][] = [
    ["buffered", { maxBatchBytes: 8 * MIB }],
    ["streamed", { maxBatchBytes: MIB }],
    ["as asked", { objectIds: ids }],
  ];
  for (const [how, changes] of cases) {
    await t.step(`a flipped byte, ${how}`, async () => {
      for (const [i, content] of contents.entries()) {
        await using fixture = await createFixture();
        const key = await index(fixture, contents);
        const [{ at }] = await fixture.db.sql`select content_offset as at from musehub_object_refs
          where object_id = ${ids[i]}`;
        await patchByte(fixture.blobPath(key), at + (content.length >> 1));
        const { refused, ids: found } = await readAll(fixture, changes);
        assert.deepEqual(refused, new Map([[ids[i], "object-mismatch"]]));
        assert.deepEqual(found.sort(), ids.filter((id) => id !== ids[i]).sort());
      }
    });
    await t.step(`one blob of two that was overwritten, cut or deleted, ${how}`, async () => {
      for (const damage of ["overwritten", "cut", "deleted"]) {
        await using fixture = await createFixture();
        const path = fixture.blobPath(await index(fixture, contents.slice(0, 3)));
        await index(fixture, contents.slice(3));
        if (damage === "overwritten") {
          await Deno.writeFile(path, (await Deno.readFile(path)).map((byte) => byte ^ 1));
          await Deno.utime(path, 1, 1);
        }
        if (damage === "cut") await Deno.truncate(path, 1_000);
        if (damage === "deleted") await Deno.remove(path);
        const code = damage === "deleted" ? "blob-missing" : "object-mismatch";
        const { refused, ids: found } = await readAll(fixture, changes);
        assert.deepEqual(refused, new Map(ids.slice(0, 3).map((id) => [id, code])), damage);
        assert.deepEqual(found, ids.slice(3));
      }
    });
  }
  await t.step("ids that the repo does not have, and what is no id", async () => {
    await using fixture = await createFixture();
    await index(fixture, contents);
    const unknown = [mpackKey(contents[0].subarray(1)), "{", ""];
    const objectIds = [unknown[0], ids[0], unknown[1], ids[2], unknown[2]];
    const { refused, ids: found } = await readAll(fixture, { objectIds });
    assert.deepEqual(refused, new Map(unknown.map((id) => [id, "object-not-found"])));
    assert.deepEqual(found, [ids[0], ids[2]]);
    await assert.rejects(
      readAll(fixture, { objectIds, onRefused: undefined }),
      (error) => error instanceof ObjectError && error.code === "object-not-found",
    );
  });
});

Deno.test("readObjects() ends with the store's error when the store is what fails", async () => {
  await using fixture = await createFixture();
  await index(fixture, [sampleBytes(100)]);
  const { db, repo: { repoId } } = fixture;
  const store: BlobStore = Object.create(fixture.store);
  store.open = () => Promise.reject(new StoreError("store-unavailable", "Cannot read"));
  await assert.rejects(
    Array.fromAsync(readObjects({ db, store, repoId, onRefused: () => {} })),
    { code: "store-unavailable" },
  );
});

Deno.test("readObjects() lets go of everything when its reader has had enough", async () => {
  await using fixture = await createFixture();
  for (let i = 0; i < 6; i++) {
    await index(fixture, [sampleBytes(1_000, i), sampleBytes(2 * MIB, i)]);
  }
  const { db, store, repo: { repoId } } = fixture;
  for (const maxBatchBytes of [1_000, 8 * MIB]) {
    // An open file left behind fails the test by itself.
    for await (const _entry of readObjects({ db, store, repoId, maxBatchBytes })) break;
  }
});
