/**
 * The tests that every blob store must pass.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ConfigError, type StoreError } from "../../../src/errors.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { iterateReader } from "../../../src/stream/store/reader_stream.ts";
import { assertSameBytes, bodyOf, concat, drain, sampleBytes } from "../../support/store/blobs.ts";

/** An empty store. Disposing deletes it. */
export interface OpenedStore extends AsyncDisposable {
  /** The store under test. */
  readonly store: BlobStore;
}

const KEY = "mpacks/repo-1/sha256:ab12";
const MISSING = { name: "StoreError", code: "blob-missing" };

/** Runs the contract as one `Deno.test` against what `open` opens. */
export function testBlobStore(
  name: string,
  open: () => Promise<OpenedStore>,
  options: { ignore?: boolean } = {},
): void {
  const test = (title: string, body: (store: BlobStore) => Promise<void>) =>
    Deno.test({
      name: `${name} ${title}`,
      ignore: options.ignore ?? false,
      sanitizeOps: true,
      sanitizeResources: true,
      fn: async () => {
        await using opened = await open();
        await body(opened.store);
      },
    });

  test("put() writes the bytes that open() reads", async (store) => {
    for (const sizeBytes of [0, 1, 1000, 64 * 1024, 300_001]) {
      const bytes = sampleBytes(sizeBytes);
      const written = await store.put(KEY, bodyOf(bytes), { sizeBytes });
      assert.equal(written.sizeBytes, sizeBytes);
      assert.deepEqual(await store.stat(KEY), written);
      const reader = await store.open(KEY);
      assert.deepEqual(reader.stat, written);
      assertSameBytes(await drain(reader, 65_536), bytes);
    }
    const bytes = sampleBytes(70_000);
    await store.put(KEY, bodyOf(bytes, 999));
    assertSameBytes(await drain(await store.open(KEY), 1000), bytes);
  });

  test("put() refuses a body with another digest than declared", async (store) => {
    assert.equal(store.provesDigests, true);
    const wrong = createHash("sha256").update("something else").digest("hex");
    for (const sizeBytes of [0, 1000, 300_001, 9 * 1024 * 1024]) {
      const bytes = sampleBytes(sizeBytes), key = `${KEY}/${sizeBytes}`;
      for (const declared of [{ sizeBytes }, {}]) {
        const put = (sha256Hex: string) =>
          store.put(key, bodyOf(bytes), { ...declared, sha256Hex });
        await assert.rejects(put(wrong), { name: "DigestError" });
        await assert.rejects(store.stat(key), MISSING);
        await put(createHash("sha256").update(bytes).digest("hex"));
        assertSameBytes(await drain(await store.open(key)), bytes);
        await assert.rejects(put(wrong), { name: "DigestError" });
        assertSameBytes(await drain(await store.open(key)), bytes);
        await store.delete(key);
      }
    }
    const keys: string[] = [];
    for await (const entry of store.list("")) keys.push(entry.key);
    assert.deepEqual(keys, []);
    assert.equal(await store.sweep?.({ before: new Date(Date.now() + 60_000) }), 0);
  });

  test("put() gives every version its own ETag", async (store) => {
    const etags = new Set<string>();
    for (let seed = 1; seed <= 5; seed++) {
      etags.add((await store.put(KEY, bodyOf(sampleBytes(100, seed)))).etag);
    }
    assert.equal(etags.size, 5);
    assertSameBytes(await drain(await store.open(KEY)), sampleBytes(100, 5));
  });

  test("put() with ifAbsent leaves the blob that is there", async (store) => {
    const first = await store.put(KEY, bodyOf(sampleBytes(10, 1)), { ifAbsent: true });
    const second = await store.put(KEY, bodyOf(sampleBytes(20, 2)), { ifAbsent: true });
    assert.deepEqual(second, first);
    assertSameBytes(await drain(await store.open(KEY)), sampleBytes(10, 1));
  });

  test("put() leaves the old blob when it fails", async (store) => {
    const old = await store.put(KEY, bodyOf(sampleBytes(10)));
    const failing = async function* () {
      yield* bodyOf(sampleBytes(100_000));
      throw new Error("the source broke");
    };
    await assert.rejects(store.put(KEY, failing()), /^Error: the source broke$/);
    await assert.rejects(store.put("other", failing()), /^Error: the source broke$/);
    await assert.rejects(store.put(KEY, bodyOf(sampleBytes(99)), { sizeBytes: 100 }), RangeError);
    await assert.rejects(store.put(KEY, bodyOf(sampleBytes(101)), { sizeBytes: 100 }), RangeError);
    assert.deepEqual(await store.stat(KEY), old);
    assert.deepEqual(await keysOf(store, ""), [KEY]);
  });

  test("putUnnamed() asks for the key after the last byte, and leaves nothing else", async (store) => {
    // The last is longer than one request to an engine.
    for (const sizeBytes of [0, 1000, 9 * 1024 * 1024]) {
      const bytes = sampleBytes(sizeBytes), key = `${KEY}/${sizeBytes}`;
      let isRead = false;
      const body = async function* () {
        yield* bodyOf(bytes);
        isRead = true;
      };
      const keyOf = () => (assert.ok(isRead), key);
      const written = await store.putUnnamed!(keyOf, body(), { sizeBytes });
      assert.deepEqual(await store.stat(key), written);
      assertSameBytes(await drain(await store.open(key), 65_536), bytes);
      const broken = async function* () {
        yield bytes;
        await Promise.reject(new Error("broken"));
      };
      await assert.rejects(store.putUnnamed!(() => "mpacks/never", broken()), /^Error: broken$/);
    }
    const found = await Array.fromAsync(store.list(""), ({ key }) => key);
    assert.deepEqual(found, [0, 1000, 9 * 1024 * 1024].map((size) => `${KEY}/${size}`));
    assert.equal(await store.sweep!({ before: new Date(Date.now() + 60_000), isDryRun: true }), 0);
  });

  test("put() ends at once when its signal fires while the body is silent", async (store) => {
    const abort = new AbortController();
    let isStopped = false;
    const silent = {
      async *[Symbol.asyncIterator]() {
        try {
          yield sampleBytes(1000);
          abort.abort(new Error("enough"));
          yield await new Promise<Uint8Array>(() => {});
        } finally {
          isStopped = true;
        }
      },
    };
    await assert.rejects(store.put(KEY, silent, { signal: abort.signal }), /enough/);
    // A waiting generator cannot be stopped. put() must not wait for it.
    assert.equal(isStopped, false);
    assert.deepEqual(await keysOf(store, ""), []);
    await assert.rejects(
      store.put(KEY, bodyOf(sampleBytes(1)), { signal: AbortSignal.abort(new Error("no")) }),
      /no/,
    );
  });

  test("open() reads any range into any buffer", async (store) => {
    const bytes = sampleBytes(200_000);
    await store.put(KEY, bodyOf(bytes));
    const ranges: [number | undefined, number | undefined][] = [
      [0, 1],
      [0, 200_000],
      [1, undefined],
      [65_535, 2],
      [199_999, undefined],
      [199_999, 50],
      [100_000, 1_000_000],
      [200_000, undefined],
      [200_000, 5],
    ];
    for (const [offsetBytes = 0, lengthBytes] of ranges) {
      const reader = await store.open(KEY, { offsetBytes, lengthBytes });
      assert.equal(reader.stat.sizeBytes, 200_000);
      const expected = bytes.subarray(
        offsetBytes,
        lengthBytes === undefined ? undefined : offsetBytes + lengthBytes,
      );
      assertSameBytes(await drain(reader, 7777), expected);
    }
    for (const options of [{ offsetBytes: 200_001 }, { offsetBytes: -1 }, { lengthBytes: 0 }]) {
      await assert.rejects(store.open(KEY, options), RangeError);
    }
  });

  test("open() of an empty blob reads nothing", async (store) => {
    const { etag } = await store.put(KEY, bodyOf(new Uint8Array(0)));
    for (const options of [{}, { etag }, { offsetBytes: 0, lengthBytes: 10 }]) {
      const reader = await store.open(KEY, options);
      assert.deepEqual(reader.stat, { sizeBytes: 0, etag });
      assert.equal((await drain(reader)).length, 0);
    }
  });

  test("read() fills the buffer, and returns 0 at the end", async (store) => {
    const bytes = sampleBytes(1_000_000);
    await store.put(KEY, bodyOf(bytes));
    await using reader = await store.open(KEY);
    const buffer = new Uint8Array(400_000);
    const got = [await reader.read(buffer), await reader.read(buffer), await reader.read(buffer)];
    assert.deepEqual(got, [400_000, 400_000, 200_000]);
    assertSameBytes(buffer.subarray(0, 200_000), bytes.subarray(800_000));
    assert.equal(await reader.read(buffer), 0);
    assert.equal(await reader.read(new Uint8Array(0)), 0);
  });

  test("open() refuses another version than that of the given ETag", async (store) => {
    const first = await store.put(KEY, bodyOf(sampleBytes(100, 1)));
    assertSameBytes(await drain(await store.open(KEY, { etag: first.etag })), sampleBytes(100, 1));
    const second = await store.put(KEY, bodyOf(sampleBytes(100, 2)));
    await assert.rejects(store.open(KEY, { etag: first.etag }), { ...MISSING, status: 412 });
    await assert.rejects(store.open(KEY, { etag: first.etag, offsetBytes: 5, lengthBytes: 5 }), {
      ...MISSING,
      status: 412,
    });
    assertSameBytes(await drain(await store.open(KEY, { etag: second.etag })), sampleBytes(100, 2));
  });

  test("stat() and open() throw blob-missing with the key if there is no such blob", async (store) => {
    for (const key of [KEY, "mpacks", "mpacks/repo-1/sha256:other", `${KEY}/below`]) {
      await assert.rejects(store.stat(key), { ...MISSING, retryable: true });
      await assert.rejects(store.open(key), MISSING);
      await assert.rejects(store.open(key, { offsetBytes: 1 }), (error: StoreError) => {
        assert.ok(error.message.includes(key), error.message);
        return error.code === "blob-missing";
      });
      await store.delete(key);
    }
  });

  test("delete() removes only that blob, and succeeds if there is none", async (store) => {
    await store.put("a/b", bodyOf(sampleBytes(1)));
    await store.put("a/c", bodyOf(sampleBytes(1)));
    await store.delete("a/b");
    await store.delete("a/b");
    assert.deepEqual(await keysOf(store, ""), ["a/c"]);
    await assert.rejects(store.stat("a/b"), MISSING);
  });

  test("list() yields the keys under a prefix, sorted", async (store) => {
    const keys = ["a-b/x", "a/b/1", "a/b/2", "a/b0", "a/c", "b", "é/ü &<>'\"+%41", "\u{10000}"];
    for (const key of keys) await store.put(key, bodyOf(sampleBytes(key.length)));
    assert.deepEqual(await keysOf(store, ""), keys);
    assert.deepEqual(await keysOf(store, "a/"), keys.slice(1, 5));
    assert.deepEqual(await keysOf(store, "a/b"), keys.slice(1, 4));
    assert.deepEqual(await keysOf(store, "a/b/"), keys.slice(1, 3));
    assert.deepEqual(await keysOf(store, "a"), keys.slice(0, 5));
    assert.deepEqual(await keysOf(store, "none/"), []);
    assert.deepEqual(await keysOf(store, "../"), []);
    for await (const entry of store.list("a/c")) {
      assert.deepEqual([entry.key, entry.sizeBytes], ["a/c", 3]);
      assert.ok(Math.abs(Date.now() - entry.modifiedAt.getTime()) < 3_600_000);
    }
    for (const key of keys) assert.equal((await drain(await store.open(key))).length, key.length);
  });

  test("every method refuses keys that are not plain relative paths", async (store) => {
    const bad = ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0", "a\nb", "a\\b"];
    bad.push("\ud800", "x".repeat(256), "y/".repeat(600) + "y", ".tmp/x");
    for (const key of bad) {
      await assert.rejects(store.stat(key), ConfigError, JSON.stringify(key));
      await assert.rejects(store.open(key), ConfigError);
      await assert.rejects(store.put(key, bodyOf(sampleBytes(1))), ConfigError);
      await assert.rejects(store.delete(key), ConfigError);
    }
  });

  test("open() and read() stop with the signal's reason", async (store) => {
    await store.put(KEY, bodyOf(sampleBytes(3_000_000)));
    const gone = AbortSignal.abort(new Error("stop now"));
    await assert.rejects(store.open(KEY, { signal: gone }), /stop now/);
    const abort = new AbortController();
    await using reader = await store.open(KEY, { signal: abort.signal });
    await reader.read(new Uint8Array(10));
    abort.abort(new Error("stop now"));
    await assert.rejects(reader.read(new Uint8Array(3_000_000)), /stop now/);
  });

  test("close() may be called early and twice", async (store) => {
    await store.put(KEY, bodyOf(sampleBytes(3_000_000)));
    const reader = await store.open(KEY);
    await reader.read(new Uint8Array(10));
    await reader.close();
    await reader.close();
    await assert.rejects(reader.read(new Uint8Array(10)), TypeError);
    await (await store.open(KEY)).close();
  });

  test("iterateReader() yields all chunks and closes the reader", async (store) => {
    const bytes = sampleBytes(250_000);
    await store.put(KEY, bodyOf(bytes));
    const chunks: Uint8Array[] = [];
    for await (const chunk of iterateReader(await store.open(KEY), 100_000)) chunks.push(chunk);
    assert.deepEqual(chunks.map((chunk) => chunk.length), [100_000, 100_000, 50_000]);
    assertSameBytes(concat(chunks), bytes);
    for await (const _ of iterateReader(await store.open(KEY), 1000)) break;
    await store.put("copy", iterateReader(await store.open(KEY)), { sizeBytes: bytes.length });
    assertSameBytes(await drain(await store.open("copy")), bytes);
  });
}

/** The keys under a prefix, in the order they are listed. */
export async function keysOf(store: BlobStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}
