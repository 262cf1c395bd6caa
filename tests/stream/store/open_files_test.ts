import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { drain, sampleBytes } from "../../support/store/blobs.ts";
import { until } from "../../support/until.ts";

const KEY = "mpacks/repo-1/sha256:ab12", KEEP_MS = 300;
const body = (bytes: Uint8Array) => ReadableStream.from([bytes]);

/** Which of this process's descriptors are of files in a folder. */
async function openIn(folder: string): Promise<string[]> {
  const links: string[] = [];
  for await (const { name } of Deno.readDir("/proc/self/fd")) {
    const path = await Deno.readLink(`/proc/self/fd/${name}`).catch(() => "");
    if (path.startsWith(`${folder}/mpacks/`)) links.push(path);
  }
  return links;
}

Deno.test({
  name: "openFileStore() with keepOpenMs shares a file between small reads",
  // Files are closed by a timer that nothing waits for.
  sanitizeOps: false,
  ignore: Deno.build.os !== "linux",
  fn: async (t) => {
    const folder = await Deno.realPath(await Deno.makeTempDir());
    const store = openFileStore(folder, { keepOpenMs: KEEP_MS });
    const old = sampleBytes(100_000, 1), other = sampleBytes(100_001, 2);
    let { etag } = await store.put(KEY, body(old));
    const read = async (offsetBytes: number, lengthBytes = 1000) =>
      await drain(await store.open(KEY, { etag, offsetBytes, lengthBytes }), 400);
    const expect = (bytes: Uint8Array, at: number) =>
      Uint8Array.from(bytes.subarray(at, at + 1000));

    await t.step("many at once use one descriptor, each at its position", async () => {
      const offsets = Array.from({ length: 100 }, (_, i) => i * 997);
      const found = await Promise.all(offsets.map((at) => read(at)));
      for (const [i, at] of offsets.entries()) {
        assert.deepEqual(Uint8Array.from(found[i]), expect(old, at));
      }
      assert.equal((await openIn(folder)).length, 1);
    });
    await t.step("what is read in this thread, being in memory, is the same", async () => {
      for (let i = 0; i < 3; i++) {
        for (const at of [0, 64_800, 65_536, 99_000]) {
          assert.deepEqual(Uint8Array.from(await read(at)), expect(old, at));
        }
      }
    });
    await t.step("a row of reads from memory does not hold the event loop", async () => {
      const other = openFileStore(folder, { keepOpenMs: 60_000 });
      const { etag } = await other.put(`${KEY}-row`, body(old));
      let turns = 0, isReading = true;
      const turn = () => {
        turns++;
        if (isReading) setImmediate(turn);
      };
      turn();
      for (let i = 0; i < 1_000; i++) {
        await using reader = await other.open(`${KEY}-row`, { etag, lengthBytes: 1000 });
        await reader.read(new Uint8Array(1000));
      }
      isReading = false;
      await other.delete(`${KEY}-row`);
      assert.ok(turns > 5, `${turns} turns`);
    });
    await t.step("a put is seen at once, and the old file closed", async () => {
      const before = etag;
      ({ etag } = await store.put(KEY, body(other)));
      assert.deepEqual(Uint8Array.from(await read(5)), expect(other, 5));
      // None, if so much time has passed that it was closed, too.
      await until("the old file is closed", async () => (await openIn(folder)).length <= 1);
      await assert.rejects(store.open(KEY, { etag: before, lengthBytes: 1 }), { status: 412 });
    });
    await t.step("a file that another program replaced is noticed after keepOpenMs", async () => {
      await read(0);
      await Deno.writeFile(`${folder}/new`, old);
      await Deno.rename(`${folder}/new`, `${folder}/${KEY}`);
      await until("the old version is not opened", async () => {
        const opening = store.open(KEY, { etag, lengthBytes: 1 });
        return await opening.then((reader) => reader.close().then(() => false), () => true);
      });
      ({ etag } = await store.stat(KEY));
      assert.deepEqual(Uint8Array.from(await read(7)), expect(old, 7));
    });
    await t.step("a whole blob is opened anew: it has to be the newest version", async () => {
      await read(0);
      await Deno.writeFile(`${folder}/new`, other);
      await Deno.rename(`${folder}/new`, `${folder}/${KEY}`);
      const whole = await drain(await store.open(KEY), 65_536);
      assert.equal(whole.length, other.length);
    });
    await t.step("a reader of a deleted blob reads on; the next one finds none", async () => {
      ({ etag } = await store.stat(KEY));
      await using reader = await store.open(KEY, { etag, lengthBytes: 1000 });
      await store.delete(KEY);
      await assert.rejects(store.open(KEY, { etag, lengthBytes: 1 }), { code: "blob-missing" });
      const into = new Uint8Array(1000);
      assert.equal(await reader.read(into), 1000);
      assert.deepEqual(into, expect(other, 0));
    });
    await t.step("nothing stays open that nobody reads", async () => {
      ({ etag } = await store.put(KEY, body(old)));
      for (let i = 0; i < 3; i++) await read(i);
      await until("no file is open", async () => (await openIn(folder)).length === 0);
    });
    await Deno.remove(folder, { recursive: true });
  },
});
