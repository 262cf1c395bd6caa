import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type HashEngine, openSha256, type Sha256Options } from "../../src/hash/sha256.ts";
import { openWorker, type Reply, type Request } from "../../src/hash/worker_client.ts";

/** Feeds `bytes` through borrowed buffers, `stepBytes` at a time. */
async function hashOf(bytes: Uint8Array, options: Sha256Options, stepBytes = 1000) {
  using hasher = await openSha256(options);
  for (let at = 0; at < bytes.length;) {
    const buffer = await hasher.borrow();
    const part = bytes.subarray(at, at + Math.min(stepBytes, buffer.length));
    buffer.set(part);
    hasher.update(buffer, part.length);
    at += part.length;
  }
  return { hex: await hasher.digest(), bytesHashed: hasher.bytesHashed };
}

const WAYS: [HashEngine, boolean][] = [
  ["wasm", true],
  ["wasm", false],
  ["simd", true],
  ["simd", false],
  ["native", true],
  ["native", false],
];
const SAMPLE = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >>> 3);

Deno.test("openSha256() gives the digests of FIPS 180-4's examples", async (t) => {
  const vectors = [
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ],
  ];
  for (const [engine, worker] of WAYS) {
    for (const [text, hex] of vectors) {
      await t.step(`${engine}, worker ${worker}: ${text.length} bytes`, async () => {
        const found = await hashOf(new TextEncoder().encode(text), { engine, worker });
        assert.deepEqual(found, { hex, bytesHashed: text.length });
      });
    }
  }
});

Deno.test("openSha256() gives the same digest for every cut of the bytes, on every engine", async () => {
  const hex = createHash("sha256").update(SAMPLE).digest("hex");
  for (const [engine, worker] of WAYS) {
    for (const stepBytes of [63, 64, 65, 4096, SAMPLE.length]) {
      const options = { engine, worker, bufferBytes: 65_536, buffers: 2 };
      const found = await hashOf(SAMPLE, options, stepBytes);
      assert.deepEqual(found, { hex, bytesHashed: SAMPLE.length }, `${engine} ${stepBytes}`);
    }
  }
});

Deno.test("save() returns a state from which another hasher continues", async (t) => {
  const hex = createHash("sha256").update(SAMPLE).digest("hex");
  for (const worker of [true, false]) {
    await t.step(`worker ${worker}`, async () => {
      using first = await openSha256({ worker });
      const buffer = await first.borrow();
      buffer.set(SAMPLE.subarray(0, 100_001));
      first.update(buffer, 100_001);
      const state = await first.save();
      assert.ok(state);
      const rest = await hashOf(SAMPLE.subarray(100_001), { worker: !worker, state });
      assert.deepEqual(rest, { hex, bytesHashed: SAMPLE.length - 100_001 });
    });
  }
});

Deno.test("openSha256() refuses a state that it cannot load", async (t) => {
  const state = new Uint8Array(116).fill(1);
  for (const worker of [true, false]) {
    await t.step(`bytes that are none, worker ${worker}`, async () => {
      await assert.rejects(openSha256({ worker, state }), RangeError);
    });
  }
  await t.step("any, on the native engine", async () => {
    await assert.rejects(openSha256({ engine: "native", state }), RangeError);
  });
});

Deno.test("borrow() waits while every buffer is in use, and rejects once the hasher is closed", async () => {
  const hasher = await openSha256({ buffers: 2, bufferBytes: 16 });
  const one = await hasher.borrow();
  await hasher.borrow();
  let isFree = false;
  const third = hasher.borrow().then((buffer) => {
    isFree = true;
    return buffer;
  });
  await Promise.resolve();
  assert.equal(isFree, false);
  hasher.update(one, 16);
  assert.equal((await third).length, 16);
  const never = hasher.borrow();
  hasher[Symbol.dispose]();
  await assert.rejects(never, /closed/);
  await assert.rejects(hasher.borrow(), /closed/);
});

Deno.test("openSha256() gives up on a thread that does not answer", async (t) => {
  /** A thread that answers this many requests, then none. */
  const openHung = (answers: number) => {
    const thread = {
      onmessage: (_: { data: Reply }) => {},
      isEnded: false,
      postMessage({ kind }: Request) {
        if (answers-- <= 0) return;
        const reply = kind === "open" ? { kind: "opened" } : { kind: "saved", state: undefined };
        queueMicrotask(() => this.onmessage({ data: reply as Reply }));
      },
      terminate() {
        this.isEnded = true;
      },
    };
    const settings = { engine: "wasm", bufferBytes: 16, buffers: 1, deadlineMs: 20 } as const;
    return { thread, opening: openWorker(settings, thread as unknown as Worker) };
  };
  const silent = /the hashing thread was silent for 20 ms/;
  await t.step("while it opens: it is terminated", async () => {
    const { thread, opening } = openHung(0);
    await assert.rejects(opening, silent);
    assert(thread.isEnded);
  });
  await t.step("while the caller waits for a buffer, a state or the digest", async () => {
    for (const wait of ["borrow", "save", "digest"] as const) {
      using hasher = await openHung(1).opening;
      hasher.update(await hasher.borrow(), 16);
      await assert.rejects(hasher[wait](), silent);
      // It has failed for good.
      await assert.rejects(hasher.borrow(), silent);
    }
  });
  await t.step("an idle thread has no deadline", async () => {
    using hasher = await openHung(2).opening;
    assert.equal(await hasher.save(), undefined);
    await new Promise((resolve) => setTimeout(resolve, 40));
    assert.equal((await hasher.borrow()).length, 16);
  });
});
