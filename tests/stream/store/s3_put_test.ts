import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { MAX_PARTS } from "../../../src/stream/store/s3/multipart.ts";
import { partBytesFor } from "../../../src/stream/store/s3/put.ts";
import { assertSameBytes, bodyOf, sampleBytes } from "../../support/store/blobs.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import type { FaultProxy, SeenRequest } from "../../support/store/fault_proxy.ts";
import type { S3Double } from "../../support/store/s3_double.ts";
import { withS3Double } from "../../support/store/s3_fixture.ts";

const MIB = 1024 * 1024;
const BIG = sampleBytes(17 * MIB);

Deno.test("partBytesFor() needs at most 10,000 parts, of the smallest possible size", () => {
  assert.equal(partBytesFor(0), 8 * MIB);
  assert.equal(partBytesFor(80_000 * MIB), 8 * MIB);
  assert.equal(partBytesFor(80_000 * MIB + 1), 9 * MIB);
  for (const sizeBytes of [1, 1e9, 1e11, 5e12]) {
    assert.ok(sizeBytes / partBytesFor(sizeBytes) <= MAX_PARTS);
  }
});

Deno.test("put() sends every request with its length", async () => {
  await withS3Double(async ({ store, proxy, double }) => {
    await store.put("empty", bodyOf(new Uint8Array(0)));
    await store.put("small", bodyOf(BIG.subarray(0, 1000)));
    await store.put("big", bodyOf(BIG, MIB), { sizeBytes: BIG.length });
    const lengths = proxy.requests.filter(({ method }) => method === "PUT")
      .map(({ headers }) => Number(headers.get("content-length")));
    assert.deepEqual(lengths.sort((a, b) => a - b), [0, 1000, MIB, 8 * MIB, 8 * MIB]);
    assert.ok(proxy.requests.every(({ headers }) => !headers.has("transfer-encoding")));
    assertSameBytes(double.objects.get("/bucket/big")?.bytes ?? new Uint8Array(0), BIG);
    assert.ok(double.maxPartsAtOnce <= 2);
  });
});

Deno.test("put() retries after transient errors, with the same bytes", async (t) => {
  for (const fault of [{ status: 503 }, { afterBytes: 0, then: "cut" as const }]) {
    for (let index = 0; index < 5; index++) {
      await t.step(
        `${JSON.stringify(fault)} at request ${index + 1}`,
        () =>
          withS3Double(async ({ store, proxy, double }) => {
            proxy.faults.push(...Array.from({ length: index }, () => ({})), fault);
            const { etag } = await store.put("big", bodyOf(BIG, MIB), { sizeBytes: BIG.length });
            assertSameBytes(double.objects.get("/bucket/big")?.bytes ?? new Uint8Array(0), BIG);
            assert.equal(etag, double.objects.get("/bucket/big")?.etag);
          }),
      );
    }
  }
  await t.step(
    "an error in the body of the answer to CompleteMultipartUpload",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        let isFirst = true;
        proxy.otherwise = ({ method, target }) => {
          if (method !== "POST" || target.includes("uploads=") || !isFirst) return {};
          isFirst = false;
          return { status: 200, body: "<Error><Code>InternalError</Code></Error>" };
        };
        await store.put("big", bodyOf(BIG, MIB));
        assert.equal(isFirst, false);
        assertSameBytes(double.objects.get("/bucket/big")?.bytes ?? new Uint8Array(0), BIG);
      }),
  );
});

Deno.test("put() relies on the engine to check a digest only after a test", async (t) => {
  const bytes = sampleBytes(1000), sizeBytes = bytes.length;
  const digestOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const sha256Hex = digestOf(bytes), wrong = digestOf(sampleBytes(1000, 2));
  const sent = (proxy: FaultProxy) =>
    proxy.requests.splice(0).map(({ method, target, headers }) =>
      `${method} ${target.replace(/[0-9a-f-]{36}/, "probe")} ` +
      `${headers.get("x-amz-content-sha256")?.slice(0, 8)}`
    );
  const probe = "PUT /bucket/.tmp/probe e3b0c442";
  await t.step("an engine that checks", () =>
    withS3Double(async ({ store, proxy, double }) => {
      await store.put("a", bodyOf(bytes), { sizeBytes, sha256Hex });
      assert.deepEqual(sent(proxy), [probe, `PUT /bucket/a ${sha256Hex.slice(0, 8)}`]);
      const refused = store.put("b", bodyOf(bytes), { sizeBytes, sha256Hex: wrong });
      await assert.rejects(refused, { name: "DigestError" });
      assert.deepEqual(sent(proxy), [`PUT /bucket/b ${wrong.slice(0, 8)}`]);
      assert.deepEqual([...double.objects.keys()], ["/bucket/a"]);
    }));
  await t.step(
    "an empty body, which Ceph does not check",
    () =>
      withS3Double(async ({ store, proxy }) => {
        const refused = store.put("b", bodyOf(new Uint8Array()), {
          sizeBytes: 0,
          sha256Hex: wrong,
        });
        await assert.rejects(refused, { name: "DigestError" });
        assert.deepEqual(proxy.requests, []);
      }),
  );
  await t.step("an engine that does not", () =>
    withS3Double(async ({ store, proxy, double }) => {
      double.checksDigests = false;
      await store.put("a", bodyOf(bytes), { sizeBytes, sha256Hex });
      const unsigned = "UNSIGNED";
      assert.deepEqual(sent(proxy), [
        probe,
        `DELETE /bucket/.tmp/probe ${unsigned}`,
        `PUT /bucket/a ${unsigned}`,
      ]);
      const refused = store.put("b", bodyOf(bytes), { sizeBytes, sha256Hex: wrong });
      await assert.rejects(refused, { name: "DigestError" });
      assert.deepEqual(sent(proxy), []);
      assert.deepEqual([...double.objects.keys()], ["/bucket/a"]);
    }));
  await t.step(
    "an engine that refuses the test, and one that is tested again",
    () =>
      withS3Double(async ({ store, proxy }) => {
        proxy.faults.push(...Array.from({ length: 4 }, () => ({ status: 503 })), { status: 403 });
        const put = () => store.put("a", bodyOf(bytes), { sizeBytes, sha256Hex });
        await assert.rejects(put(), { code: "store-unavailable" });
        assert.deepEqual(sent(proxy), [probe, probe, probe, probe]);
        await put();
        assert.deepEqual(sent(proxy), [probe, "PUT /bucket/a UNSIGNED"]);
      }),
  );
  await t.step(
    "a body that was damaged on its way is sent again",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        const damaged = "<Error><Code>BadDigest</Code></Error>";
        proxy.faults.push({}, { status: 400, body: damaged });
        await store.put("a", bodyOf(bytes), { sizeBytes, sha256Hex });
        assert.equal(proxy.requests.length, 3);
        assertSameBytes(double.objects.get("/bucket/a")!.bytes, bytes);
      }),
  );
});

Deno.test("put() with ifAbsent lets the engine decide between concurrent writers", async () => {
  await withS3Double(async ({ store, proxy, double }) => {
    const put = (seed: number) => store.put("a", bodyOf(sampleBytes(10, seed)), { ifAbsent: true });
    const stats = await Promise.all([put(1), put(2), put(3)]);
    assert.equal(new Set(stats.map(({ etag }) => etag)).size, 1);
    assert.equal(stats[0].etag, double.objects.get("/bucket/a")?.etag);
    proxy.requests.splice(0);
    // The answer to the first try is lost.
    const lost = { status: 503, before: () => double.set("/bucket/b", sampleBytes(10)) };
    proxy.faults.push({}, {}, lost);
    const { etag } = await store.put("b", bodyOf(sampleBytes(10)), { ifAbsent: true });
    assert.equal(etag, double.objects.get("/bucket/b")?.etag);
    assert.deepEqual(proxy.requests.map(({ method }) => method), [
      "HEAD",
      "HEAD",
      "PUT",
      "PUT",
      "HEAD",
    ]);
  });
});

Deno.test("put() accepts an answer only if it shows that the object is there", async (t) => {
  const bytes = sampleBytes(1000), wrong = { name: "StoreError", code: "store-unavailable" };
  for (const etag of [undefined, "", '""', '"', 'W/""', "a b", '"a"b"']) {
    await t.step(`the ETag ${etag}`, () =>
      withS3Double(async ({ store, proxy }) => {
        proxy.otherwise = ({ method }) =>
          method === "PUT" ? { status: 200, headers: { etag } } : {};
        await assert.rejects(store.put("a", bodyOf(bytes)), { ...wrong, message: /ETag/ });
      }));
  }
  await t.step(
    "an unusual ETag, and no object",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        proxy.otherwise = ({ method }) =>
          method === "PUT" ? { status: 200, headers: { etag: 'W/"5-abc"' } } : {};
        const message = /answered that it wrote the object, but does not have it, after 4 tries/;
        await assert.rejects(store.put("a", bodyOf(bytes)), { ...wrong, message });
        double.set("/bucket/a", sampleBytes(5));
        await assert.rejects(store.put("a", bodyOf(bytes)), { ...wrong, message });
      }),
  );
  await t.step(
    "an unusual ETag of an engine that has the object",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        proxy.otherwise = () => ({ headers: { etag: '"v1.2-x"' } });
        const written = await store.put("a", bodyOf(bytes));
        assert.deepEqual(written, { sizeBytes: 1000, etag: '"v1.2-x"' });
        assert.deepEqual(proxy.requests.map(({ method }) => method), ["PUT", "HEAD"]);
        assertSameBytes(double.objects.get("/bucket/a")!.bytes, bytes);
      }),
  );
  await t.step(
    "an upload in parts whose last answer has no ETag, as Ceph's",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        let isLost = true;
        proxy.otherwise = ({ method, target }) => {
          if (method !== "POST" || target.includes("uploads=")) return {};
          const before = () => isLost ? undefined : double.set("/bucket/a", BIG);
          return { status: 200, body: "<X><ETag></ETag></X>", before };
        };
        await assert.rejects(store.put("a", bodyOf(BIG, MIB)), {
          ...wrong,
          message: /not have it/,
        });
        isLost = false;
        const written = await store.put("a", bodyOf(BIG, MIB));
        assert.deepEqual(written, await store.stat("a"));
      }),
  );
  await t.step(
    "parts that answer without an ETag",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        proxy.otherwise = ({ target }) =>
          target.includes("partNumber") ? { status: 200, headers: { etag: "" } } : {};
        await assert.rejects(store.put("a", bodyOf(BIG, MIB)), { ...wrong, message: /ETag/ });
        assert.equal(double.uploads.size, 0);
      }),
  );
});

Deno.test("put() sends the checksum of each request's body", async (t) => {
  const small = sampleBytes(1000), sha256Hex = createHash("sha256").update(small).digest("hex");
  const putAll = async (store: BlobStore) => {
    await store.put("small", bodyOf(small));
    await store.put("declared", bodyOf(small), { sizeBytes: small.length, sha256Hex });
    await store.put("big", bodyOf(BIG, MIB), { sizeBytes: BIG.length });
    await store.put("new", bodyOf(small), { ifAbsent: true });
  };
  const assertAll = ({ objects }: S3Double) => {
    assert.deepEqual(
      [...objects.keys()].sort(),
      ["big", "declared", "new", "small"]
        .map((key) => `/bucket/${key}`),
    );
    assertSameBytes(objects.get("/bucket/big")!.bytes, BIG);
  };
  await t.step("to a bucket with Object Lock", () =>
    withS3Double(async ({ store, double }) => {
      double.hasObjectLock = true;
      await putAll(store);
      assertAll(double);
    }));
  for (const status of [400, 501]) {
    await t.step(
      `an engine that answers ${status} to it gets it once`,
      () =>
        withS3Double(async ({ store, proxy, double }) => {
          const isAsked = ({ headers }: SeenRequest) =>
            headers.has("x-amz-checksum-sha256") || headers.has("x-amz-checksum-algorithm");
          proxy.otherwise = (request) => isAsked(request) ? { status } : {};
          await putAll(store);
          assertAll(double);
          assert.equal(proxy.requests.filter(isAsked).length, 1);
        }),
    );
  }
  await t.step(
    "an error with another reason does not stop later checksums",
    () =>
      withS3Double(async ({ store, proxy }) => {
        const body = "<Error><Code>EntityTooLarge</Code></Error>";
        proxy.faults.push({ status: 400, body }, { status: 400, body });
        await assert.rejects(store.put("a", bodyOf(small)), { message: /EntityTooLarge/ });
        await store.put("a", bodyOf(small));
        assert.ok(proxy.requests.at(-1)!.headers.has("x-amz-checksum-sha256"));
      }),
  );
  await t.step(
    "a part that was damaged on its way is sent again",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        proxy.faults.push({}, { status: 400, body: "<Error><Code>BadDigest</Code></Error>" });
        await store.put("big", bodyOf(BIG, MIB), { sizeBytes: BIG.length });
        assertSameBytes(double.objects.get("/bucket/big")!.bytes, BIG);
        assert.ok(proxy.requests.at(-2)!.headers.has("x-amz-checksum-sha256"));
      }),
  );
});

Deno.test("a put() that fails leaves nothing", async (t) => {
  await t.step(
    "a part that fails after all retries ends the wait for a silent body",
    () =>
      withS3Double(async ({ store, proxy, double }) => {
        proxy.otherwise = ({ target }) => target.includes("partNumber=2") ? { status: 503 } : {};
        const body = async function* () {
          yield BIG;
          await new Promise(() => {});
        };
        await assert.rejects(store.put("big", body(), { sizeBytes: BIG.length + 1 }), {
          code: "store-unavailable",
          status: 503,
          message: /^Cannot write "big" in s3:\/\/bucket: the store answered 503, after 4 tries$/,
        });
        assert.equal(double.uploads.size, 0);
        assert.equal(double.objects.size, 0);
      }),
  );
  await t.step("an aborted upload leaves nothing", () =>
    withS3Double(async ({ store, double }) => {
      const abort = new AbortController();
      const body = async function* () {
        yield BIG;
        abort.abort(new Error("stop now"));
        yield BIG;
      };
      await assert.rejects(store.put("big", body(), { signal: abort.signal }), /stop now/);
      assert.equal(double.uploads.size, 0);
      assert.equal(double.objects.size, 0);
    }));
  await t.step(
    "a body of another length than declared",
    () =>
      withS3Double(async ({ store, double }) => {
        for (const sizeBytes of [BIG.length - 1, BIG.length + 1]) {
          await assert.rejects(store.put("big", bodyOf(BIG, MIB), { sizeBytes }), RangeError);
        }
        assert.equal(double.uploads.size, 0);
        assert.equal(double.objects.size, 0);
      }),
  );
});
