import assert from "node:assert/strict";
import { join } from "node:path";
import { StoreError } from "../../../src/errors.ts";
import { fileStoreError } from "../../../src/stream/store/folder/file_error.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { assertSameBytes, bodyOf, drain, sampleBytes } from "../../support/store/blobs.ts";
import { keysOf, testBlobStore } from "./blob_store_contract.ts";

async function openTemp() {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-blobs-" });
  return {
    folder,
    store: openFileStore(join(folder, "made", "later")),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

testBlobStore("openFileStore()", openTemp);

Deno.test("openFileStore() has a file URL, and presigns no upload", async () => {
  await using temp = await openTemp();
  assert.equal(temp.store.url, `file://${temp.folder}/made/later`);
  assert.equal(await temp.store.presignPut("a", { expiresSeconds: 60 }), undefined);
});

Deno.test("openFileStore() keeps reading the version it opened", async () => {
  await using temp = await openTemp();
  const bytes = sampleBytes(500_000, 1);
  await temp.store.put("a", bodyOf(bytes));
  const reader = await temp.store.open("a");
  const head = new Uint8Array(1000);
  await reader.read(head);
  await temp.store.put("a", bodyOf(sampleBytes(500_000, 2)));
  assertSameBytes(await drain(reader), bytes.subarray(1000));
});

Deno.test("openFileStore() fails on a file that is cut while being read", async () => {
  await using temp = await openTemp();
  await temp.store.put("a", bodyOf(sampleBytes(500_000)));
  await using reader = await temp.store.open("a");
  await reader.read(new Uint8Array(100_000));
  await Deno.truncate(join(temp.folder, "made/later/a"), 300_000);
  await assert.rejects(reader.read(new Uint8Array(400_000)), {
    code: "store-unavailable",
    message: /was cut to 300000 bytes while being read, it had 500000/,
  });
});

Deno.test("openFileStore() notices a file overwritten in place", async () => {
  await using temp = await openTemp();
  const { etag } = await temp.store.put("a", bodyOf(sampleBytes(100, 1)));
  const path = join(temp.folder, "made/later/a");
  await Deno.writeFile(path, sampleBytes(100, 2));
  const later = new Date(Date.now() + 5);
  await Deno.utime(path, later, later);
  await assert.rejects(temp.store.open("a", { etag }), { code: "blob-missing", status: 412 });
});

Deno.test("openFileStore() keeps a copied folder's ETags", async () => {
  await using temp = await openTemp();
  const { etag } = await temp.store.put("a", bodyOf(sampleBytes(100)));
  const from = join(temp.folder, "made/later/a");
  const to = join(temp.folder, "a");
  const { mtime } = await Deno.stat(from);
  await Deno.copyFile(from, to);
  await Deno.utime(to, mtime!, mtime!);
  assert.equal((await openFileStore(temp.folder).stat("a")).etag, etag);
});

Deno.test("openFileStore() leaves no half-written file, and removes those of killed processes", async () => {
  await using temp = await openTemp();
  const tempFolder = join(temp.folder, "made/later/.tmp");
  await Deno.mkdir(tempFolder, { recursive: true });
  await Deno.writeTextFile(join(tempFolder, "old"), "x");
  await Deno.writeTextFile(join(tempFolder, "young"), "x");
  const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000);
  await Deno.utime(join(tempFolder, "old"), longAgo, longAgo);
  await temp.store.put("a", bodyOf(sampleBytes(10)));
  await assert.rejects(temp.store.put("b", bodyOf(sampleBytes(10)), { sizeBytes: 11 }));
  assert.deepEqual([...Deno.readDirSync(tempFolder)].map((entry) => entry.name), ["young"]);
  assert.deepEqual(await keysOf(temp.store, ""), ["a"]);
  assert.deepEqual(await keysOf(temp.store, ".tmp/"), []);
});

Deno.test("openFileStore() does not read, list or delete a folder as a blob", async () => {
  await using temp = await openTemp();
  await temp.store.put("a/b", bodyOf(sampleBytes(10)));
  await temp.store.delete("a/b");
  await temp.store.delete("a");
  assert.ok((await Deno.stat(join(temp.folder, "made/later/a"))).isDirectory);
  await Deno.writeTextFile(join(temp.folder, "made/later/a/c"), "x");
  await assert.rejects(temp.store.put("a", bodyOf(sampleBytes(1))), {
    code: "store-unavailable",
    retryable: false,
    message: /a folder has the blob's name/,
  });
  await assert.rejects(temp.store.put("a/c/d", bodyOf(sampleBytes(1))), {
    code: "store-unavailable",
    retryable: false,
  });
});

Deno.test("put() by many writers at once leaves one complete version", async () => {
  await using temp = await openTemp();
  const bodies = Array.from({ length: 8 }, (_, seed) => sampleBytes(100_000, seed + 1));
  await Promise.all(bodies.map((bytes) => temp.store.put("a", bodyOf(bytes, 1000))));
  const got = await drain(await temp.store.open("a"));
  assert.ok(bodies.some((bytes) => bytes.every((byte, at) => byte === got[at])));
});

Deno.test("put() with ifAbsent by many writers at once leaves the first version", async () => {
  await using temp = await openTemp();
  const stats = await Promise.all(
    [1, 2, 3, 4].map((seed) => temp.store.put("a", bodyOf(sampleBytes(seed)), { ifAbsent: true })),
  );
  assert.equal(new Set(stats.map(({ etag }) => etag)).size, 1);
  assert.deepEqual(await temp.store.stat("a"), stats[0]);
  assert.deepEqual([...Deno.readDirSync(join(temp.folder, "made/later/.tmp"))], []);
});

Deno.test({
  name: "openFileStore() makes files and folders that only their owner may read",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using temp = await openTemp();
    await temp.store.put("a/b/c", bodyOf(sampleBytes(10)));
    await temp.store.put("a/d", bodyOf(sampleBytes(10)), { ifAbsent: true });
    const modes: Record<string, string> = {};
    for (const path of ["", "/later", "/later/.tmp", "/later/a", "/later/a/b"]) {
      modes[path] = modeOf(`${temp.folder}/made${path}`);
    }
    assert.deepEqual(new Set(Object.values(modes)), new Set(["700"]), JSON.stringify(modes));
    assert.equal(modeOf(`${temp.folder}/made/later/a/b/c`), "600");
    assert.equal(modeOf(`${temp.folder}/made/later/a/d`), "600");
  },
});

function modeOf(path: string): string {
  return (Deno.statSync(path).mode! & 0o777).toString(8);
}

Deno.test("list() skips a folder at the store's root that it may not read", async () => {
  await using temp = await openTemp();
  const root = `${temp.folder}/made/later`;
  await temp.store.put("mpacks/r1/b", bodyOf(sampleBytes(10)));
  await Deno.mkdir(`${root}/lost+found`);
  await Deno.mkdir(`${root}/mpacks/closed`);
  {
    using _ = closeFolders([`${root}/lost+found`]);
    assert.deepEqual(await keysOf(temp.store, ""), ["mpacks/r1/b"]);
    assert.deepEqual(await keysOf(temp.store, "mpacks/"), ["mpacks/r1/b"]);
    const denied = { code: "store-unavailable", retryable: false, message: /permission denied/ };
    await assert.rejects(keysOf(temp.store, "lost+found/"), denied);
  }
  using _ = closeFolders([`${root}/mpacks/closed`]);
  await assert.rejects(keysOf(temp.store, "mpacks/"), { code: "store-unavailable" });
});

/** Makes folders unreadable until it is disposed. Root may read all folders: there Deno.readDir fails. */
function closeFolders(paths: string[]): Disposable {
  if (Deno.uid() !== 0) {
    for (const path of paths) Deno.chmodSync(path, 0);
    return { [Symbol.dispose]: () => paths.forEach((path) => Deno.chmodSync(path, 0o700)) };
  }
  const { readDir } = Deno;
  Deno.readDir = (path) => {
    if (!paths.includes(join(String(path)).replace(/\/$/, ""))) return readDir(path);
    throw Object.assign(new Deno.errors.PermissionDenied("closed"), { code: "EACCES" });
  };
  return { [Symbol.dispose]: () => void (Deno.readDir = readDir) };
}

Deno.test("fileStoreError() says what to do, and whether a retry can help", async (t) => {
  const cases: [string, boolean, RegExp][] = [
    ["ENOSPC", true, /no space is left/],
    ["EDQUOT", true, /quota/],
    ["EACCES", false, /permission denied; check the folder's owner/],
    ["EROFS", false, /read-only/],
    ["EXDEV", false, /EXDEV/],
  ];
  for (const [code, retryable, message] of cases) {
    await t.step(code, () => {
      const error = fileStoreError(Object.assign(new Error("x"), { code }), {
        action: "write",
        key: "a",
        folder: "/blobs",
      });
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, "store-unavailable");
      assert.equal(error.retryable, retryable);
      assert.match(error.message, /^Cannot write "a" in \/blobs: /);
      assert.match(error.message, message);
    });
  }
  await t.step("other errors stay as they are", () => {
    const error = new TypeError("a bug");
    assert.equal(fileStoreError(error, { action: "read", key: "a", folder: "/" }), error);
  });
});

Deno.test({
  name: "openFileStore() names a folder that the permissions of Deno exclude",
  permissions: { read: false, write: false },
  fn: async () => {
    const store = openFileStore("/nowhere");
    const refused = { code: "store-unavailable", retryable: false, message: /\/nowhere/ };
    await assert.rejects(store.stat("a"), refused);
    await assert.rejects(store.open("a"), refused);
    await assert.rejects(store.put("a", bodyOf(sampleBytes(1))), refused);
  },
});

Deno.test({
  name: "openFileStore() says that a folder is not writable",
  ignore: Deno.uid() === 0,
  fn: async () => {
    await using temp = await openTemp();
    await Deno.mkdir(join(temp.folder, "made"), { mode: 0o500 });
    await assert.rejects(temp.store.put("a", bodyOf(sampleBytes(1))), {
      code: "store-unavailable",
      retryable: false,
      message: /permission denied/,
    });
  },
});
