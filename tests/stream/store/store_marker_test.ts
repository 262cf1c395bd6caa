import assert from "node:assert/strict";
import { ConfigError } from "../../../src/errors.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import {
  createMarker,
  MARKER_KEY,
  readMarker,
  writeMarker,
} from "../../../src/stream/store/store_marker.ts";
import { bodyOf } from "../../support/store/blobs.ts";
import { withS3Double } from "../../support/store/s3_fixture.ts";

const OURS = { databaseId: "a1", counter: 7 };

async function openTemp() {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-marker-" });
  return {
    store: openFileStore(folder),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

Deno.test("writeMarker() replaces the marker that readMarker() reads", async () => {
  await using temp = await openTemp();
  assert.equal(await readMarker(temp.store), undefined);
  await writeMarker(temp.store, OURS);
  assert.deepEqual(await readMarker(temp.store), OURS);
  await writeMarker(temp.store, { ...OURS, counter: 8 });
  assert.deepEqual(await readMarker(temp.store), { ...OURS, counter: 8 });
});

Deno.test("createMarker() returns the same marker to all concurrent callers", async () => {
  await using temp = await openTemp();
  const markers = ["a", "b", "c", "d"].map((databaseId) => ({ databaseId, counter: 0 }));
  const found = await Promise.all(markers.map((marker) => createMarker(temp.store, marker)));
  assert.equal(new Set(found.map(({ databaseId }) => databaseId)).size, 1);
  assert.deepEqual(await readMarker(temp.store), found[0]);
});

Deno.test("readMarker() refuses a blob that is not a marker", async (t) => {
  const ours = { format: 1, database_id: "a1", counter: 7 };
  const documents: Record<string, string> = {
    "empty": "",
    "not JSON": "<html>",
    "null": "null",
    "another format": JSON.stringify({ ...ours, format: 2 }),
    "no identity": JSON.stringify({ ...ours, database_id: "" }),
    "no counter": JSON.stringify({ ...ours, counter: "7" }),
    "too long": JSON.stringify({ ...ours, more: "x".repeat(5000) }),
  };
  await using temp = await openTemp();
  for (const [name, text] of Object.entries(documents)) {
    await t.step(name, async () => {
      await temp.store.put(MARKER_KEY, bodyOf(new TextEncoder().encode(text)));
      await assert.rejects(readMarker(temp.store), ConfigError);
    });
  }
});

Deno.test("createMarker() works on an engine that refuses conditional writes", async () => {
  await withS3Double(async ({ store, proxy, double }) => {
    proxy.otherwise = ({ headers }) => headers.has("if-none-match") ? { status: 501 } : {};
    assert.deepEqual(await createMarker(store, OURS), OURS);
    assert.ok(proxy.requests.splice(0).some(({ headers }) => headers.has("if-none-match")));
    double.objects.clear();
    assert.deepEqual(await createMarker(store, OURS), OURS);
    assert.ok(!proxy.requests.some(({ headers }) => headers.has("if-none-match")));
  });
});
