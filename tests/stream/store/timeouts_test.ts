import assert from "node:assert/strict";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { withStoreTimeouts } from "../../../src/stream/store/timeouts.ts";

const NEVER = new Promise<never>(() => {});
const IDLE_MS = 20;
const BYTES = new Uint8Array(100);

/** A working store, except for the methods that a test replaces. */
function hungStore(hung: Partial<BlobStore>): BlobStore {
  const stat = { sizeBytes: BYTES.length, etag: '"1"' };
  const working: BlobStore = {
    url: "file:///there",
    stat: () => Promise.resolve(stat),
    open: () => NEVER,
    async put(_, body) {
      for await (const _chunk of body);
      return stat;
    },
    delete: () => Promise.resolve(),
    async *list() {},
    presignPut: () => Promise.resolve(undefined),
  };
  return withStoreTimeouts({ ...working, ...hung }, IDLE_MS);
}

const isLate = { code: "store-unavailable", message: /: no answer in 20 ms$/ };

Deno.test("withStoreTimeouts() ends each wait for a hanging store with store-unavailable", async (t) => {
  await t.step("stat, open, delete, presignPut", async () => {
    const hang = () => NEVER;
    const store = hungStore({ stat: hang, delete: hang, presignPut: hang });
    await assert.rejects(store.stat("a"), isLate);
    await assert.rejects(store.open("a"), isLate);
    await assert.rejects(store.delete("a"), isLate);
    await assert.rejects(store.presignPut("a", { expiresSeconds: 1 }), isLate);
  });
  await t.step("a read, and the close after it", async () => {
    const stat = { sizeBytes: 1, etag: '"1"' };
    const reader = {
      stat,
      read: () => NEVER,
      close: () => NEVER,
      [Symbol.asyncDispose]: () => NEVER,
    };
    const opened = await hungStore({ open: () => Promise.resolve(reader) }).open("a");
    await assert.rejects(opened.read(new Uint8Array(1)), isLate);
    await assert.rejects(opened.close(), isLate);
  });
  await t.step("a reader that is late is closed", async () => {
    const late = Promise.withResolvers<never>(), closed = Promise.withResolvers<void>();
    await assert.rejects(hungStore({ open: () => late.promise }).open("a"), isLate);
    late.resolve({ close: () => closed.resolve() } as unknown as never);
    await closed.promise;
  });
  await t.step("a put that asks for no more chunks, and its body is closed", async () => {
    let isClosed = false, reason: unknown;
    async function* body() {
      try {
        yield BYTES;
        yield BYTES;
      } finally {
        isClosed = true;
      }
    }
    const store = hungStore({
      async put(_, chunks, options) {
        options?.signal?.addEventListener("abort", () => reason = options.signal!.reason);
        await chunks[Symbol.asyncIterator]().next();
        return await NEVER;
      },
    });
    await assert.rejects(store.put("a", body()), isLate);
    await Promise.resolve();
    assert(isClosed);
    assert((reason as Error).message.includes("no answer"));
  });
});

Deno.test("withStoreTimeouts() waits for a slow body as long as it takes", async () => {
  async function* body() {
    yield BYTES;
    await new Promise((resolve) => setTimeout(resolve, 3 * IDLE_MS));
    yield BYTES;
  }
  assert.equal((await hungStore({}).put("a", body())).sizeBytes, BYTES.length);
});

Deno.test({
  name: "openFileStore() gives up on a disk that does not answer",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
    // Opening a pipe without a writer never returns, like a network disk that hangs.
    await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
    await assert.rejects(openFileStore(folder, { idleTimeoutMs: IDLE_MS }).open("pipe"), isLate);
    (await Deno.open(`${folder}/pipe`, { read: true, write: true })).close();
    await Deno.remove(folder, { recursive: true });
  },
});
