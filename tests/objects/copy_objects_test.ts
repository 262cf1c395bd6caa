import assert from "node:assert/strict";
import { decodeMulti } from "@msgpack/msgpack";
import type { ObjectLocation } from "../../src/db/refs.ts";
import { copyObjects } from "../../src/objects/copy_objects.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { patchByte } from "../support/patch.ts";
import {
  bin,
  buildMpack,
  concat,
  map,
  mpackKey,
  object,
  type Raw,
} from "../support/mpack/mpacks.ts";
import { encodedObject, zstd } from "../support/mpack/zstd.ts";
import { assertSameBytes, sampleBytes } from "../support/store/blobs.ts";
import { countOpens } from "../support/store/counting_store.ts";

const KIB = 1024, MIB = 1024 * KIB;

/** Contents shorter and longer than a block of 1 MiB, and one that ends where a block ends. */
const CONTENTS = [20, MIB - 20, 5_000, 70_000, 3 * MIB + 1, 16, 300 * KIB, 7 * MIB, 40]
  .map((sizeBytes, i) => sampleBytes(sizeBytes, i + 1));
const encoded = sampleBytes(9_000, 50), stored = zstd(encoded);

interface Pack extends AsyncDisposable {
  readonly store: BlobStore;
  readonly path: string;
  readonly locations: ObjectLocation[];
}

/** A pack of these objects in a folder; `contents` are their bytes in it. */
async function packOf(objects: readonly Raw[], contents: readonly Uint8Array[]): Promise<Pack> {
  const folder = await Deno.makeTempDir(), bytes = buildMpack({ objects });
  const store = openFileStore(folder);
  const { etag } = await store.put("pack", ReadableStream.from([bytes as Uint8Array<ArrayBuffer>]));
  const locations = contents.map((content) => ({
    objectId: mpackKey(content === stored ? encoded : content),
    mpackKey: mpackKey(bytes),
    blobKey: "pack",
    etag,
    contentOffset: Buffer.from(bytes.buffer).indexOf(content, 0),
    sizeBytes: content.length,
    encoding: content === stored ? "zstd" : null,
    damagedAt: null,
  }));
  return {
    ...{ store, locations, path: `${folder}/pack` },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

async function* pageOf(locations: readonly ObjectLocation[]) {
  yield await Promise.resolve(locations);
}

/** The contents by id. */
async function copied(
  store: BlobStore,
  locations: readonly ObjectLocation[],
  order?: "asked" | "stored",
) {
  const parts = await Array.fromAsync(copyObjects(pageOf(locations), { store, order }));
  const found = new Map<string, Uint8Array>();
  for (const record of decodeMulti(concat(parts))) {
    const { object_id, content, ...others } = record as Record<string, unknown>;
    assert.deepEqual(others, {});
    found.set(object_id as string, content as Uint8Array);
  }
  return { found, parts };
}

function assertHas(found: ReadonlyMap<string, Uint8Array>, contents: readonly Uint8Array[]): void {
  assert.equal(found.size, contents.length);
  for (const content of contents) assertSameBytes(found.get(mpackKey(content))!, content);
}

Deno.test("copyObjects() passes blocks of a pack on, of whatever length its contents are", async () => {
  await using pack = await packOf(CONTENTS.map((content) => object({ content })), CONTENTS);
  const { store, opens } = countOpens(pack.store);
  const { found, parts } = await copied(store, pack.locations.toReversed());
  assertHas(found, CONTENTS);
  assert.equal(opens.length, 2, "12 MB are two runs of 8 MiB at most");
  // A header for each run, and blocks: no part for each object.
  assert(parts.length <= 2 + 12 + 2, `${parts.length} parts`);
});

Deno.test("copyObjects() writes records of its own where the pack has others", async (t) => {
  const empty = new Uint8Array(), contents = [...CONTENTS.slice(0, 4), stored, empty];
  const swapped = (content: Uint8Array) =>
    map([["content", bin(content, 32)], ["path", "a/b"], ["object_id", mpackKey(content)]]);
  await using pack = await packOf([
    object({ content: CONTENTS[0] }),
    swapped(CONTENTS[1]),
    object({ content: CONTENTS[2] }),
    encodedObject({ plain: encoded, stored }),
    object({ content: empty }),
    swapped(CONTENTS[3]),
  ], contents);
  await t.step(
    "keys in another order, further keys, longer headers, zstd, and empty ones",
    async () => {
      const { found } = await copied(pack.store, pack.locations);
      assertHas(found, contents.map((content) => content === stored ? encoded : content));
    },
  );
  await t.step("some of the objects, and none", async () => {
    const some = pack.locations.filter((_, i) => i % 2 === 0);
    const { found } = await copied(pack.store, some);
    assert.deepEqual([...found.keys()].sort(), some.map(({ objectId }) => objectId).sort());
    assert.deepEqual((await copied(pack.store, [])).parts, []);
  });
});

Deno.test("copyObjects() keeps the order asked for", async (t) => {
  const empty = new Uint8Array(),
    small = Array.from({ length: 30 }, (_, i) => sampleBytes(99, 100 + i));
  const contents = [...CONTENTS, stored, ...small, empty];
  await using pack = await packOf(
    contents.map((content) =>
      content === stored ? encodedObject({ plain: encoded, stored }) : object({ content })
    ),
    contents,
  );
  const plain = new Map(
    contents.map((content) => {
      const bytes = content === stored ? encoded : content;
      return [mpackKey(bytes), bytes];
    }),
  );
  const { locations } = pack, half = locations.length >> 1;
  const orders: Record<string, readonly ObjectLocation[]> = {
    "as it is stored": locations,
    "the other way round": locations.toReversed(),
    "every second one, then the others": [
      ...locations.filter((_, i) => i % 2 === 0),
      ...locations.filter((_, i) => i % 2 === 1),
    ],
    "the second half first": [...locations.slice(half), ...locations.slice(0, half)],
  };
  for (const [name, asked] of Object.entries(orders)) {
    await t.step(name, async () => {
      const { found } = await copied(pack.store, asked, "asked");
      assert.deepEqual([...found.keys()], asked.map(({ objectId }) => objectId));
      for (const [id, content] of found) assertSameBytes(content, plain.get(id)!);
    });
  }
});

Deno.test("copyObjects() ends before the last byte of a content that is not the object's", async (t) => {
  for (const [i, content] of CONTENTS.entries()) {
    await t.step(`${content.length} bytes`, async () => {
      await using pack = await packOf(CONTENTS.map((content) => object({ content })), CONTENTS);
      const { contentOffset, objectId } = pack.locations[i];
      const name = Uint8Array.from(objectId, (character) => character.charCodeAt(0));
      await patchByte(pack.path, contentOffset);
      const parts: Uint8Array[] = [];
      await assert.rejects(async () => {
        for await (const part of copyObjects(pageOf(pack.locations), pack)) parts.push(part);
      }, { code: "object-mismatch", message: new RegExp(objectId) });
      const sent = concat(parts), at = Buffer.from(sent.buffer).indexOf(name);
      assert(at < 0 || sent.length < at + name.length + content.length);
    });
  }
  await t.step("a pack that was cut", async () => {
    await using pack = await packOf(CONTENTS.map((content) => object({ content })), CONTENTS);
    await Deno.truncate(pack.path, 6 * MIB);
    await assert.rejects(() => copied(pack.store, pack.locations), { code: "object-mismatch" });
  });
});

Deno.test("copyObjects() lets go of everything when its reader has had enough", async () => {
  await using pack = await packOf(CONTENTS.map((content) => object({ content })), CONTENTS);
  // An open file left behind fails the test by itself.
  for await (const _part of copyObjects(pageOf(pack.locations), pack)) break;
});
