import assert from "node:assert/strict";
import { decodeZstd } from "../../../src/stream/zstd/decode_zstd.ts";
import { ZstdError } from "../../../src/stream/zstd/zstd_error.ts";
import { concat, cut } from "../../support/mpack/mpacks.ts";
import { runFrame, skippableFrame, zstd } from "../../support/mpack/zstd.ts";
import { assertSameBytes, sampleBytes } from "../../support/store/blobs.ts";

const MIB = 1024 * 1024;
const SAMPLE = sampleBytes(60_000, 1);

async function* from(chunks: readonly Uint8Array[]) {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

async function decode(
  bytes: Uint8Array,
  { chunkBytes = 64 * 1024, maxBytes = 64 * MIB } = {},
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of decodeZstd(from(cut(bytes, chunkBytes)), { maxBytes })) {
    chunks.push(chunk);
  }
  return concat(chunks);
}

Deno.test("decodeZstd() gives the plain bytes, however the frames and chunks are cut", async (t) => {
  const frame = zstd(SAMPLE), large = sampleBytes(3 * MIB, 2);
  const cases: Record<string, [stored: Uint8Array, plain: Uint8Array]> = {
    "a content": [frame, SAMPLE],
    "one that repeats itself": [zstd(new Uint8Array(MIB)), new Uint8Array(MIB)],
    "a content of many blocks": [zstd(large), large],
    "with a checksum": [zstd(SAMPLE, { checksum: true }), SAMPLE],
    "the empty content": [zstd(new Uint8Array(0)), new Uint8Array(0)],
    "several frames": [concat([frame, frame, zstd(large)]), concat([SAMPLE, SAMPLE, large])],
    "skippable frames": [
      concat([skippableFrame(5), frame, skippableFrame(0), skippableFrame(200)]),
      SAMPLE,
    ],
    "runs, with their length": [
      runFrame({ blocks: [100_000, 3], declaredBytes: 100_003 }),
      new Uint8Array(100_003).fill(0x61),
    ],
    "a dictionary id of zero": [
      runFrame({ blocks: [7], dictionaryId: 0 }),
      new Uint8Array(7).fill(0x61),
    ],
  };
  for (const [name, [stored, plain]] of Object.entries(cases)) {
    await t.step(name, async () => {
      const sizes = stored.length < 2_000 ? [1, 2, 3, 7, 64] : [997, 65_536];
      for (const chunkBytes of [...sizes, stored.length]) {
        assertSameBytes(await decode(stored, { chunkBytes }), plain);
      }
    });
  }
});

Deno.test("decodeZstd() refuses what is not whole frames within the bounds", async (t) => {
  const frame = zstd(SAMPLE);
  const cases: Record<string, [RegExp, Uint8Array]> = {
    "no bytes": [/not a zstd frame/, new Uint8Array(0)],
    "other bytes": [/not a zstd frame/, SAMPLE],
    "bytes after a frame": [/not a zstd frame/, concat([frame, SAMPLE])],
    "few bytes after a frame": [/cut short|cannot be decoded/, concat([frame, Uint8Array.of(1)])],
    "a dictionary": [/needs a dictionary/, runFrame({ blocks: [7], dictionaryId: 9 })],
    "a large window": [
      /window of \d+ bytes, the limit is 8388608/,
      zstd(SAMPLE, { windowLog: 26 }),
    ],
    "fewer bytes than declared": [
      /declares 8 bytes and has 7|cannot be decoded/,
      runFrame({ blocks: [7], declaredBytes: 8 }),
    ],
    "more bytes than declared": [
      /declares 6 bytes and has more|cannot be decoded/,
      runFrame({ blocks: [7], declaredBytes: 6 }),
    ],
    "4 GiB declared": [
      /declares 4294967295 bytes and has 7|cannot be decoded/,
      runFrame({ blocks: [7], declaredBytes: 2 ** 32 - 1 }),
    ],
    "a long block": [/limit is 131072/, runFrame({ blocks: [131_073] })],
    "a bomb": [
      /more than 67108864 bytes/,
      runFrame({ blocks: Array.from({ length: 2_000 }, () => 131_072) }),
    ],
    "a bomb of many frames": [
      /more than 67108864 bytes/,
      concat(Array.from({ length: 600 }, () => runFrame({ blocks: [131_072] }))),
    ],
  };
  for (const [name, [message, stored]] of Object.entries(cases)) {
    await t.step(name, async () => {
      await assert.rejects(decode(stored), (error) => {
        assert.ok(error instanceof ZstdError, String(error));
        assert.match(error.message, message);
        return true;
      });
    });
  }
  await t.step("a frame that is cut anywhere", async () => {
    const short = runFrame({ blocks: [100, 200, 5], declaredBytes: 305 });
    for (let end = 1; end < short.length; end++) {
      await assert.rejects(decode(short.subarray(0, end)), ZstdError, `at ${end}`);
    }
    for (const end of [4, 5, 20, 30_000, frame.length - 12, frame.length - 5, frame.length - 1]) {
      await assert.rejects(decode(frame.subarray(0, end)), ZstdError, `at ${end}`);
    }
  });
});

Deno.test("decodeZstd() gives its source's error, closes it, and lets timers run", async (t) => {
  await t.step("an error of the source", async () => {
    const failure = new Error("the store is away");
    async function* failing() {
      yield* from([zstd(SAMPLE).subarray(0, 20_000)]);
      throw failure;
    }
    const plain = decodeZstd(failing(), { maxBytes: MIB });
    await assert.rejects(Array.fromAsync(plain), (error) => error === failure);
  });
  await t.step("a consumer that stops", async () => {
    let isClosed = false;
    async function* source() {
      try {
        for (;;) yield* from([zstd(sampleBytes(MIB, 3))]);
      } finally {
        isClosed = true;
      }
    }
    for await (const _ of decodeZstd(source(), { maxBytes: Infinity })) break;
    assert.ok(isClosed);
  });
  await t.step("a bomb does not keep the timers waiting", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const bomb = runFrame({ blocks: Array.from({ length: 1_000 }, () => 131_072) });
    for await (const _ of decodeZstd(from([bomb]), { maxBytes: Infinity }));
    clearInterval(timer);
    assert.ok(turns >= 10, `${turns} turns`);
  });
});
