import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ConfigError, type StoreError } from "../../../src/errors.ts";
import { openS3Store } from "../../../src/stream/store/s3/s3_store.ts";
import { assertSameBytes, bodyOf, drain, sampleBytes } from "../../support/store/blobs.ts";
import { startFaultProxy } from "../../support/store/fault_proxy.ts";
import { makeBucket, s3Engine, type TempBucket } from "../../support/store/swift.ts";
import { keysOf, testBlobStore } from "./blob_store_contract.ts";

const ignore = s3Engine === undefined;
const MIB = 1024 * 1024;

testBlobStore("openS3Store()", () => makeBucket(), { ignore });
testBlobStore("openS3Store() with a prefix", () => makeBucket({ prefix: "tenant/ü+1" }), {
  ignore,
});

Deno.test({
  name: "openS3Store() sends large blobs in parts, and reads them back",
  ignore,
  fn: async (t) => {
    await using bucket = await makeBucket();
    const { store } = bucket;
    const bytes = sampleBytes(64 * MIB + 12_345);
    for (const sizeBytes of [bytes.length, undefined]) {
      await t.step(sizeBytes === undefined ? "of unknown length" : "of known length", async () => {
        const written = await store.put("big", bodyOf(bytes, 1_000_003), { sizeBytes });
        assert.equal(written.sizeBytes, bytes.length);
        assert.match(written.etag, /-\d+"$/, "not written in parts");
        assert.deepEqual(await store.stat("big"), written);
        assertSameBytes(await drain(await store.open("big"), MIB), bytes);
        const offsetBytes = 8 * MIB - 10;
        const part = await drain(await store.open("big", { offsetBytes, lengthBytes: 20 }));
        assertSameBytes(part, bytes.subarray(offsetBytes, offsetBytes + 20));
      });
    }
    await t.step("of exactly one part", async () => {
      const one = bytes.subarray(0, 8 * MIB);
      for (const sizeBytes of [one.length, undefined]) {
        await store.put("one", bodyOf(one, 1_000_003), { sizeBytes });
        assertSameBytes(await drain(await store.open("one"), MIB), one);
      }
    });
    await t.step("and leaves no part when the body fails", async () => {
      const broken = async function* () {
        yield* bodyOf(bytes.subarray(0, 40 * MIB), MIB);
        throw new Error("the source broke");
      };
      await assert.rejects(store.put("broken", broken()), /the source broke/);
      assert.deepEqual(await keysOf(store, "broken"), []);
      assert.deepEqual(await uploadsOf(bucket), []);
    });
  },
});

Deno.test({
  name: "openS3Store() accepts every key that checkKey() allows",
  ignore,
  fn: async (t) => {
    await using bucket = await makeBucket();
    const { store } = bucket;
    for (const key of ["a?b=c&d", "mpacks/r/sha256:ab?", "#x", "!'()*~ ;,@$[]{}|^`%2F", "a+b c"]) {
      await t.step(key, async () => {
        const big = bodyOf(sampleBytes(9 * MIB, key.length), MIB);
        const written = await store.put(key, big, { sizeBytes: 9 * MIB });
        assert.deepEqual(await store.stat(key), written);
        const part = await drain(await store.open(key, { offsetBytes: 9 * MIB - 5 }));
        assertSameBytes(part, sampleBytes(9 * MIB, key.length).subarray(-5));
        assert.deepEqual(await keysOf(store, key), [key]);
        await store.delete(key);
        await assert.rejects(store.stat(key), { code: "blob-missing" });
      });
    }
  },
});

Deno.test({
  name: "read() continues where the connection to a real engine broke",
  ignore,
  fn: async (t) => {
    await using proxy = await startFaultProxy(s3Engine!.endpoint);
    await using bucket = await makeBucket();
    const store = openS3Store({
      ...bucket.options,
      endpoint: proxy.endpoint,
      idleTimeoutMs: 2000,
      random: () => 0,
    });
    const bytes = sampleBytes(9 * MIB);
    await bucket.store.put("parts", bodyOf(bytes));
    await bucket.store.put("one", bodyOf(bytes.subarray(0, MIB)));
    for (const [key, expected] of [["parts", bytes], ["one", bytes.subarray(0, MIB)]] as const) {
      for (const then of ["cut", "reset"] as const) {
        await t.step(`${key}: ${then}, then a 503, then Range ignored`, async () => {
          proxy.faults.push(
            { afterBytes: 700_000, then },
            { status: 503 },
            { hideHeaders: ["range"], afterBytes: 900_000, then },
          );
          assertSameBytes(await drain(await store.open(key)), expected);
          assert.equal(proxy.requests.splice(0).length, 4);
        });
      }
      await t.step(`${key}: replaced after a cut`, async () => {
        proxy.faults.push({ afterBytes: 700_000, then: "cut" }, {
          before: async () => void await bucket.store.put(key, bodyOf(expected.slice().reverse())),
        });
        await assert.rejects(drain(await store.open(key)), {
          code: "blob-missing",
          status: 412,
          message: /was replaced while being read/,
        });
        assert.equal(proxy.requests.splice(0).length, 2);
      });
    }
  },
});

Deno.test({
  name: "openS3Store() names the bucket and what to check when access fails",
  ignore,
  fn: async (t) => {
    await using bucket = await makeBucket();
    await bucket.store.put("a", bodyOf(sampleBytes(10)));
    const secret = "a-secret-that-must-not-show";
    const cases = [
      {
        name: "wrong secret",
        options: { secretAccessKey: secret },
        message: /SignatureDoesNot|403/,
      },
      {
        name: "wrong key id",
        options: { accessKeyId: "test:nobody" },
        message: /403/,
      },
      { name: "wrong region", options: { region: "mars-1" }, message: /region/ },
      {
        name: "missing bucket",
        options: { bucket: `${bucket.options.bucket}-gone` },
        message: /there is no such bucket/,
      },
    ];
    for (const { name, options, message } of cases) {
      await t.step(name, async () => {
        const store = openS3Store({ ...bucket.options, ...options });
        // Ceph takes any region.
        if (options.region && await store.stat("a").catch(() => undefined)) return;
        const isRight = (error: StoreError) => {
          assert.equal(error.code, "store-unavailable", error.message);
          assert.equal(error.retryable, false);
          assert.ok(error.message.includes(store.url), error.message);
          assert.ok(!JSON.stringify([error.message, error.stack]).includes(secret));
          return true;
        };
        const body = () => bodyOf(sampleBytes(10));
        await assert.rejects(store.open("a"), (error: StoreError) => {
          assert.match(error.message, message);
          return isRight(error);
        });
        await assert.rejects(store.stat("a"), isRight);
        await assert.rejects(store.put("a", body()), isRight);
        await assert.rejects(store.put("a", bodyOf(sampleBytes(20 * MIB), MIB)), isRight);
        await assert.rejects(keysOf(store, ""), isRight);
        await assert.rejects(store.delete("a"), isRight);
      });
    }
  },
});

Deno.test({
  name: "presignPut() permits a PUT of that blob and no other",
  ignore,
  fn: async (t) => {
    await using bucket = await makeBucket({ prefix: "tenant" });
    const { store } = bucket;
    const bytes = sampleBytes(1000);
    const sha256Hex = createHash("sha256").update(bytes).digest("hex");
    const key = `mpacks/r1/sha256:${sha256Hex}`;
    const options = { expiresSeconds: 60, sha256Hex };
    const put = async (url: string, headers: Record<string, string>, body = bytes) => {
      const response = await fetch(url, { method: "PUT", headers, body });
      await response.body?.cancel();
      return response.status;
    };
    const signed = await store.presignPut(key, options);
    assert.ok(signed);
    await t.step("is bound to its headers", () => {
      const names = new URL(signed.url).searchParams.get("X-Amz-SignedHeaders");
      assert.equal(names, "host;x-amz-checksum-sha256");
      assert.deepEqual(signed.headers, {
        "x-amz-checksum-sha256": createHash("sha256").update(bytes).digest("base64"),
      });
      assert.ok(!signed.url.includes(s3Engine!.secretAccessKey));
      assert.ok(Math.abs(signed.expiresAt.getTime() - Date.now() - 60_000) < 30_000);
    });
    await t.step("refuses another digest, key or time", async () => {
      const other = { ...signed.headers, "x-amz-checksum-sha256": "A".repeat(43) + "=" };
      assert.equal(await put(signed.url, other), 403);
      assert.equal(await put(signed.url.replace("sha256%3A", "sha257%3A"), signed.headers), 403);
      assert.equal(await put(signed.url.replace("Expires=60", "Expires=61"), signed.headers), 403);
      assert.deepEqual(await keysOf(store, ""), []);
    });
    await t.step("accepts the signed request", async () => {
      assert.equal(await put(signed.url, signed.headers), 200);
      assertSameBytes(await drain(await store.open(key)), bytes);
    });
    await t.step("accepts a plain PUT if no digest is bound", async () => {
      const bare = await store.presignPut("bare", { expiresSeconds: 60 });
      assert.deepEqual(bare?.headers, {});
      assert.equal(new URL(bare.url).searchParams.get("X-Amz-SignedHeaders"), "host");
      const mpack = { "content-type": "application/x-mpack" };
      for (const headers of [{} as Record<string, string>, mpack]) {
        assert.equal(await put(bare.url, headers), 200);
        assertSameBytes(await drain(await store.open("bare")), bytes);
      }
      assert.equal(await put(bare.url.replace("/bare", "/other"), {}), 403);
    });
    await t.step("names the engine as clients reach it", async () => {
      const publicEndpoint = s3Engine!.endpoint.replace("127.0.0.1", "localhost");
      const inside = openS3Store({ ...bucket.options, publicEndpoint });
      const outside = await inside.presignPut("outside", { expiresSeconds: 60 });
      assert.equal(new URL(outside!.url).origin, publicEndpoint);
      assert.notEqual(publicEndpoint, s3Engine!.endpoint);
      assert.equal(await put(outside!.url, {}), 200);
      assertSameBytes(await drain(await inside.open("outside")), bytes);
    });
    await t.step("refuses invalid options", async () => {
      for (const expiresSeconds of [0, 604_801, 1.5, NaN]) {
        await assert.rejects(store.presignPut(key, { expiresSeconds }), RangeError);
      }
      const bad = { expiresSeconds: 60, sha256Hex: "ab" };
      await assert.rejects(store.presignPut(key, bad), RangeError);
      await assert.rejects(store.presignPut("a?b", { expiresSeconds: 60 }), ConfigError);
    });
  },
});

async function uploadsOf({ admin }: TempBucket): Promise<string[]> {
  const query = { uploads: "" };
  const request = { method: "GET", objectName: "", query, returnBody: true } as const;
  const xml = await (await admin.makeRequest(request)).text();
  assert.match(xml, /ListMultipartUploadsResult/);
  return [...xml.matchAll(/<UploadId>([^<]+)/g)].map((match) => match[1]);
}
