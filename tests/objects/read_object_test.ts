import assert from "node:assert/strict";
import { ObjectError, StoreError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { Buffer } from "node:buffer";
import { movedBlobsOpened } from "../../src/objects/open_version.ts";
import { readObjects } from "../../src/objects/read_objects.ts";
import { readObject } from "../../src/objects/read_object.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { assertSameBytes, sampleBytes } from "../support/store/blobs.ts";
import { corpusPacks } from "../support/mpack/corpus.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { patchByte } from "../support/patch.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { readWhole } from "../support/mpack/whole_document.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const MIB = 1024 * 1024;
const EMPTY_ID = mpackKey(new Uint8Array(0));

/** Everything a stream gives, as the web reads it. */
async function bytesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function read(fixture: TestFixture, objectId: string, range = {}): Promise<Uint8Array> {
  const { db, store, repo: { repoId } } = fixture;
  return await bytesOf((await readObject({ db, store, repoId, objectId, ...range })).stream);
}

/** Indexes one pack of these contents, and says where its blob lies. */
async function indexed(fixture: TestFixture, contents: Uint8Array[]): Promise<string> {
  const objects = contents.map((content) => object({ content }));
  const key = await fixture.put(buildMpack({ objects }));
  await indexMpack(fixture.options(key));
  return fixture.blobPath(key);
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
    name: `readObject() gives back every object of every pack as it was, from ${name}`,
    ignore,
    fn: async (t) => {
      for (const { name, bytes } of await corpusPacks()) {
        await t.step(name, async () => {
          await using opened = await open();
          await using fixture = await createFixture({ store: opened?.store });
          await indexMpack(fixture.options(await fixture.put(bytes)));
          const whole = readWhole(bytes);
          assert.ok(whole.accepted);
          for (const { objectId, contentOffset, sizeBytes } of whole.rows) {
            const content = await read(fixture, objectId);
            assertSameBytes(content, bytes.subarray(contentOffset, contentOffset + sizeBytes));
            assert.equal(mpackKey(content).slice(-64), objectId.slice(-64));
          }
        });
      }
    },
  });
}

Deno.test("readObject() gives any range of an object, small or large", async (t) => {
  await using fixture = await createFixture();
  for (const sizeBytes of [1_000, 1 * MIB, 1 * MIB + 1, 3 * MIB + 5]) {
    const content = sampleBytes(sizeBytes, sizeBytes);
    await indexed(fixture, [content]);
    const objectId = mpackKey(content);
    const ranges = [[0, 1], [0, sizeBytes], [sizeBytes - 1, 1], [sizeBytes, 5], [7, 0]];
    ranges.push([sizeBytes >> 1, 300], [256 * 1024 - 1, 2], [sizeBytes - 3, 1_000]);
    for (const [offsetBytes, lengthBytes] of ranges.filter(([offset]) => offset <= sizeBytes)) {
      await t.step(`${lengthBytes} bytes from ${offsetBytes} of ${sizeBytes}`, async () => {
        const found = await read(fixture, objectId, { offsetBytes, lengthBytes });
        assertSameBytes(found, content.subarray(offsetBytes, offsetBytes + lengthBytes));
      });
    }
    await assert.rejects(read(fixture, objectId, { offsetBytes: sizeBytes + 1 }), RangeError);
    await assert.rejects(read(fixture, objectId, { offsetBytes: -1 }), RangeError);
  }
});

Deno.test("readObject() needs no request for the empty object", async () => {
  await using fixture = await createFixture();
  await indexed(fixture, [new Uint8Array(0)]);
  const { db, repo: { repoId } } = fixture;
  const store = new Proxy(fixture.store, {
    get: (_, name) => assert.fail(`the store was asked to ${String(name)}`),
  });
  const content = await readObject({ db, store, repoId, objectId: EMPTY_ID });
  assert.equal(content.sizeBytes, 0);
  assert.equal((await bytesOf(content.stream)).length, 0);
});

Deno.test("readObject() knows nothing of an id that the repo has no ref for, nor of what is no id", async () => {
  await using fixture = await createFixture();
  await indexed(fixture, [new Uint8Array(3)]);
  const ids = [
    EMPTY_ID,
    mpackKey(new Uint8Array(4)),
    "sha256:AB",
    "",
    "\0",
    "{}",
    "../../etc/passwd",
  ];
  for (const id of ids) {
    await assert.rejects(
      read(fixture, id),
      (error) => error instanceof ObjectError && error.code === "object-not-found",
    );
  }
});

const MISMATCH = (error: unknown) =>
  error instanceof ObjectError && error.code === "object-mismatch" && !error.retryable;

Deno.test("readObject() refuses what is not the object's bytes", async (t) => {
  const small = sampleBytes(5_000, 1), other = sampleBytes(5_000, 2), large = sampleBytes(2 * MIB);
  const contents = [small, other, large];
  const [smallId, otherId, largeId] = contents.map(mpackKey);

  await t.step("a flipped byte: only the object it is in", async () => {
    for (const [id, content] of [[smallId, small], [largeId, large]] as const) {
      await using fixture = await createFixture();
      const path = await indexed(fixture, contents);
      const [{ content_offset: at, mpack_key }] = await fixture.db.sql`
        select content_offset, mpack_key from musehub_object_refs join musehub_mpacks
        using (mpack_id) where object_id = ${id}`;
      await patchByte(path, at + content.length - 1);
      await assert.rejects(read(fixture, id), (error) => {
        assert.ok(MISMATCH(error));
        const { message } = error as Error;
        for (const part of [id, mpack_key, ` ${at} to ${at + content.length} `]) {
          assert.ok(message.includes(part), `${part} is not in: ${message}`);
        }
        return true;
      });
      for (const valid of contents.filter((bytes) => bytes !== content)) {
        assertSameBytes(await read(fixture, mpackKey(valid)), valid);
      }
    }
  });
  await t.step("of a large object every byte but the last part, then the error", async () => {
    await using fixture = await createFixture();
    const path = await indexed(fixture, [large]);
    await patchByte(path, 1_000);
    const { db, store, repo: { repoId } } = fixture;
    const { stream, lengthBytes } = await readObject({ db, store, repoId, objectId: largeId });
    let got = 0;
    await assert.rejects(async () => {
      for await (const chunk of stream) got += chunk.length;
    }, MISMATCH);
    assert.ok(got < lengthBytes, `${got} of ${lengthBytes} bytes came`);
    // A range that is valid itself is of an object that is not.
    await assert.rejects(read(fixture, largeId, { offsetBytes: MIB, lengthBytes: 10 }), MISMATCH);
  });
  await t.step("a blob that was written again", async () => {
    await using fixture = await createFixture();
    const path = await indexed(fixture, contents);
    const bytes = await Deno.readFile(path);
    await Deno.writeFile(path, bytes.map((byte) => byte ^ 1));
    await Deno.utime(path, 1, 1);
    await assert.rejects(read(fixture, smallId), MISMATCH);
    await assert.rejects(read(fixture, largeId), MISMATCH);
    await Deno.writeFile(path, bytes);
    // Indexed anew, the same bytes are pinned anew.
    await indexMpack(fixture.options(mpackKey(bytes)));
    assertSameBytes(await read(fixture, otherId), other);
  });
  await t.step("a blob that was cut, even where its version looks the same", async () => {
    await using fixture = await createFixture();
    const path = await indexed(fixture, contents);
    await Deno.truncate(path, 100);
    await assert.rejects(read(fixture, largeId), MISMATCH);
    const { etag } = await fixture.store.stat(path.slice(fixture.folder.length + 1));
    await fixture.db.sql`update musehub_mpacks set etag = ${etag}`;
    await assert.rejects(read(fixture, smallId), MISMATCH);
    await assert.rejects(read(fixture, largeId), MISMATCH);
  });
  await t.step("a blob that is gone", async () => {
    await using fixture = await createFixture();
    await Deno.remove(await indexed(fixture, contents));
    for (const id of [smallId, largeId]) {
      await assert.rejects(
        read(fixture, id),
        (error) => error instanceof StoreError && error.code === "blob-missing",
      );
    }
  });
  await t.step("an object that an audit has marked", async () => {
    await using fixture = await createFixture();
    await indexed(fixture, contents);
    await fixture.db.sql`update musehub_object_refs set damaged_at = now()
      where object_id = ${smallId}`;
    await assert.rejects(read(fixture, smallId), MISMATCH);
    assertSameBytes(await read(fixture, otherId), other);
  });
  await t.step("an empty object filed under another id", async () => {
    await using fixture = await createFixture();
    const key = await fixture.put(
      buildMpack({ objects: [object({ objectId: smallId, content: new Uint8Array(0) })] }),
    );
    await indexMpack(fixture.options(key));
    await assert.rejects(read(fixture, smallId), MISMATCH);
  });
});

Deno.test("readObject() reads the same bytes in another version of the blob, and counts it", async () => {
  await using fixture = await createFixture();
  const contents = [sampleBytes(100, 1), sampleBytes(3 * MIB, 2)];
  const path = await indexed(fixture, contents);
  await Deno.utime(path, 1, 1);
  const before = movedBlobsOpened();
  for (const content of contents) {
    assertSameBytes(await read(fixture, mpackKey(content)), content);
  }
  assert.equal(movedBlobsOpened() - before, 2);
  const { db, store, repo: { repoId } } = fixture;
  const ids: string[] = [];
  for await (const entry of readObjects({ db, store, repoId })) {
    ids.push(entry.objectId);
    assertSameBytes(
      new Uint8Array(Buffer.concat(await Array.fromAsync(entry.chunks()))),
      contents
        .find((content) => mpackKey(content) === entry.objectId)!,
    );
  }
  assert.equal(ids.length, 2);
});

Deno.test("readObject() lets go of the blob when its stream is cancelled, read or unread", async () => {
  await using fixture = await createFixture();
  const large = sampleBytes(2 * MIB);
  await indexed(fixture, [large]);
  const { db, store, repo: { repoId } } = fixture;
  const objectId = mpackKey(large);
  // An open file left behind fails the test by itself.
  await (await readObject({ db, store, repoId, objectId })).stream.cancel();
  for await (const _chunk of (await readObject({ db, store, repoId, objectId })).stream) break;
});
