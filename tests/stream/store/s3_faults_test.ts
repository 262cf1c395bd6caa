import assert from "node:assert/strict";
import { withDeadline } from "../../../src/lib/deadline.ts";
import { openS3Store, type S3StoreOptions } from "../../../src/stream/store/s3/s3_store.ts";
import { statIfPresent } from "../../../src/stream/store/stat_if_present.ts";
import { assertSameBytes, bodyOf, drain, sampleBytes } from "../../support/store/blobs.ts";
import type { Fault, FaultProxy } from "../../support/store/fault_proxy.ts";
import { type S3Fixture, withS3Double } from "../../support/store/s3_fixture.ts";
import { keysOf } from "./blob_store_contract.ts";
import { until } from "../../support/until.ts";

const BYTES = sampleBytes(300_000);
/** A test that takes longer hangs. */
const HUNG_MS = 30_000;
const UNAVAILABLE = { name: "StoreError", code: "store-unavailable" };

function withBlob(
  use: (fixture: S3Fixture) => Promise<void>,
  options: Partial<S3StoreOptions> = {},
): Promise<void> {
  const test = withS3Double(async (fixture) => {
    fixture.double.set("/bucket/a", BYTES);
    await use(fixture);
  }, options);
  const error = () => new Error("Cannot end the test");
  return withDeadline(test, { deadlineMs: HUNG_MS, error });
}

function rangesOf(proxy: FaultProxy): (string | null)[] {
  return proxy.requests.map(({ headers }) => headers.get("range"));
}

Deno.test("open() takes one GET, and no HEAD before it", async () => {
  await withBlob(async ({ store, proxy }) => {
    assertSameBytes(await drain(await store.open("a")), BYTES);
    await (await store.open("a", { offsetBytes: 5, lengthBytes: 10 })).close();
    assert.deepEqual(proxy.requests.map(({ method }) => method), ["GET", "GET"]);
    assert.deepEqual(rangesOf(proxy), [null, "bytes=5-14"]);
    assert.equal(proxy.requests[0].headers.get("accept-encoding"), "identity");
  });
});

Deno.test("open() retries after transient errors", async (t) => {
  const transient: [string, Fault][] = [
    ...[408, 429, 500, 502, 503, 504].map((status): [string, Fault] => [`${status}`, { status }]),
    ["400 RequestTimeout", { status: 400, body: "<Error><Code>RequestTimeout</Code></Error>" }],
    ["a connection closed before the answer", { afterBytes: 0, then: "cut" }],
  ];
  for (const [name, fault] of transient) {
    await t.step(name, () =>
      withBlob(async ({ store, proxy, sleepsMs }) => {
        proxy.faults.push(fault, fault);
        assertSameBytes(await drain(await store.open("a")), BYTES);
        assert.equal(proxy.requests.length, 3);
        assert.deepEqual(sleepsMs, [200, 400]);
      }));
  }
  await t.step(
    "waits at least as long as Retry-After says, and a minute at most",
    () =>
      withBlob(async ({ store, proxy, sleepsMs }) => {
        for (const value of ["7", "9999"]) {
          proxy.faults.push({ status: 503, headers: { "retry-after": value } });
        }
        await store.stat("a");
        assert.deepEqual(sleepsMs, [7000, 60_000]);
      }),
  );
});

Deno.test("open() gives up with a typed error", async (t) => {
  await t.step("503 on every try", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.otherwise = () => ({ status: 503, body: "<Error><Code>SlowDown</Code></Error>" });
      await assert.rejects(store.open("a"), {
        ...UNAVAILABLE,
        status: 503,
        retryable: true,
        message: 'Cannot read "a" in s3://bucket: the store answered 503 SlowDown, after 4 tries',
      });
      assert.equal(proxy.requests.length, 4);
    }));
  await t.step("a port without a server", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const endpoint = `http://127.0.0.1:${listener.addr.port}`;
    listener.close();
    await withBlob(async ({ store, sleepsMs }) => {
      await assert.rejects(store.open("a"), {
        ...UNAVAILABLE,
        retryable: true,
        message: /refused.*after 4 tries/i,
      });
      assert.equal(sleepsMs.length, 3);
    }, { endpoint });
  });
  await t.step("an unknown host name", () =>
    withBlob(async ({ store }) => {
      await assert.rejects(store.stat("a"), (error: Error) => {
        assert.ok(!/Signature|AWS4/i.test(Deno.inspect(error)), "the signature shows");
        assert.match(error.message, /http:\/\/store\.invalid\/bucket\/a\)/);
        return true;
      });
      await assert.rejects(store.stat("a"), { ...UNAVAILABLE, retryable: true });
    }, { endpoint: "http://store.invalid" }));
  await t.step("a server that does not answer", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.otherwise = () => ({ isSilent: true });
      await assert.rejects(store.open("a"), {
        ...UNAVAILABLE,
        retryable: true,
        message: /did not answer for 30 ms/,
      });
      assert.equal(proxy.requests.length, 4);
    }, { idleTimeoutMs: 30 }));
  await t.step("a redirect", () =>
    withBlob(async ({ store, proxy }) => {
      const headers = { location: "http://127.0.0.1:9/", "x-amz-bucket-region": "eu-west-1" };
      proxy.faults.push({ status: 301, headers });
      await assert.rejects(store.open("a"), {
        ...UNAVAILABLE,
        retryable: false,
        message: /301; check the endpoint and the region; the bucket is in region eu-west-1/,
      });
      assert.equal(proxy.requests.length, 1);
    }));
  await t.step("a clock that is wrong", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.faults.push({ status: 403, body: "<Error><Code>RequestTimeTooSkewed</Code></Error>" });
      await assert.rejects(store.open("a"), { retryable: false, message: /clock/ });
    }));
  await t.step("a clock that is slow", () =>
    withBlob(async ({ store, proxy }) => {
      const body = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
      proxy.faults.push({ status: 403, body });
      await assert.rejects(store.open("a"), { retryable: false, message: /machine's clock/ });
    }));
  await t.step("an answer without an ETag", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.faults.push({ headers: { etag: undefined } });
      await assert.rejects(store.open("a"), { ...UNAVAILABLE, message: /no ETag/ });
    }));
});

Deno.test("read() continues at the byte where the connection broke", async (t) => {
  for (const then of ["cut", "reset", "stall"] as const) {
    for (const afterBytes of [0, 1, 65_536, 299_999]) {
      await t.step(
        `${then} after ${afterBytes} bytes`,
        () =>
          withBlob(async ({ store, proxy, double }) => {
            proxy.faults.push({ afterBytes, then });
            assertSameBytes(await drain(await store.open("a"), 100_000), BYTES);
            assert.equal(proxy.requests.length, 2);
            const { headers } = proxy.requests[1];
            // After a reset, bytes that had arrived may be lost.
            if (then !== "reset") assert.match(headers.get("range") ?? "", rangeFrom(afterBytes));
            // A connection that breaks before the head has come has pinned no version.
            if (headers.get("range") !== null) {
              assert.equal(headers.get("if-match"), double.objects.get("/bucket/a")?.etag);
            }
          }, { idleTimeoutMs: then === "stall" ? 500 : 30_000 }),
      );
    }
  }
  await t.step("within a range", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.faults.push({ afterBytes: 700, then: "cut" });
      const reader = await store.open("a", { offsetBytes: 1000, lengthBytes: 5000 });
      assertSameBytes(await drain(reader), BYTES.subarray(1000, 6000));
      assert.deepEqual(rangesOf(proxy), ["bytes=1000-5999", "bytes=1700-5999"]);
    }));
  await t.step(
    "again and again while there is progress",
    () =>
      withBlob(async ({ store, proxy }) => {
        proxy.otherwise = () => ({ afterBytes: 30_000, then: "cut" });
        assertSameBytes(await drain(await store.open("a")), BYTES);
        assert.equal(proxy.requests.length, 10);
      }, { retries: 1 }),
  );
  await t.step(
    "not without end if there is no progress",
    () =>
      withBlob(async ({ store, proxy }) => {
        proxy.faults.push({ afterBytes: 1000, then: "cut" });
        proxy.otherwise = () => ({ afterBytes: 0, then: "cut" });
        await assert.rejects(drain(await store.open("a")), { ...UNAVAILABLE, retryable: true });
        assert.equal(proxy.requests.length, 4);
      }),
  );
});

function rangeFrom(offsetBytes: number): RegExp {
  return offsetBytes === 0 ? /^$|^bytes=0-299999$/ : new RegExp(`^bytes=${offsetBytes}-299999$`);
}

Deno.test("read() never mixes two versions", async (t) => {
  const hidden = [[], ["if-match"], ["if-match", "range"]];
  for (const [hideHeaders, isPinned] of hidden.flatMap((h) => [[h, false], [h, true]] as const)) {
    await t.step(
      `upstream does not see [${hideHeaders}]${isPinned ? ", of a version asked for" : ""}`,
      () =>
        withBlob(async ({ store, proxy, double }) => {
          proxy.faults.push({ afterBytes: 70_000, then: "cut" }, {
            hideHeaders,
            before: () => double.set("/bucket/a", sampleBytes(300_000, 2)),
          });
          const etag = isPinned ? double.objects.get("/bucket/a")?.etag : undefined;
          await assert.rejects(drain(await store.open("a", { etag })), {
            name: "StoreError",
            code: "blob-missing",
            status: 412,
            retryable: !isPinned,
            message: /was replaced while being read, at byte 70000 of 300000/,
          });
        }),
    );
  }
  await t.step(
    "the blob is now shorter than what was read",
    () =>
      withBlob(async ({ store, proxy, double }) => {
        proxy.faults.push({ afterBytes: 70_000, then: "cut" }, {
          hideHeaders: ["if-match"],
          before: () => double.set("/bucket/a", sampleBytes(10)),
        });
        await assert.rejects(drain(await store.open("a")), { code: "blob-missing", status: 412 });
      }),
  );
  await t.step("the blob is deleted", () =>
    withBlob(async ({ store, proxy, double }) => {
      proxy.faults.push({ afterBytes: 70_000, then: "cut" }, {
        before: () => void double.objects.clear(),
      });
      await assert.rejects(drain(await store.open("a")), { code: "blob-missing", status: 404 });
    }));
  await t.step(
    "open() with an ETag, of a store that ignores If-Match",
    () =>
      withBlob(async ({ store, proxy }) => {
        proxy.faults.push({ hideHeaders: ["if-match"] });
        await assert.rejects(store.open("a", { etag: '"old"' }), { status: 412 });
      }),
  );
});

Deno.test("open() works with servers and caches that leave things out", async (t) => {
  await t.step("Range ignored, at first and later", () =>
    withBlob(async ({ store, proxy }) => {
      const hideHeaders = ["range"];
      proxy.faults.push({ hideHeaders, afterBytes: 150_000, then: "cut" }, { hideHeaders });
      const reader = await store.open("a", { offsetBytes: 100_000, lengthBytes: 100_000 });
      assert.equal(reader.stat.sizeBytes, 300_000);
      assertSameBytes(await drain(reader, 33_333), BYTES.subarray(100_000, 200_000));
      assert.deepEqual(rangesOf(proxy), ["bytes=100000-199999", "bytes=150000-199999"]);
    }));
  await t.step("no Content-Length", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.faults.push({ headers: { "content-length": undefined } });
      const reader = await store.open("a");
      assert.equal(reader.stat.sizeBytes, 300_000);
      assertSameBytes(await drain(reader), BYTES);
      assert.deepEqual(proxy.requests.map(({ method }) => method), ["GET", "HEAD"]);
    }));
  await t.step("a Content-Range without the total", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.faults.push({ headers: { "content-range": "bytes 10-299999/*" } });
      const reader = await store.open("a", { offsetBytes: 10 });
      assertSameBytes(await drain(reader), BYTES.subarray(10));
    }));
  await t.step("an ETag made weak on the way", () =>
    withBlob(async ({ store, proxy, double }) => {
      const strong = double.objects.get("/bucket/a")?.etag, weak = `W/${strong}`;
      proxy.otherwise = () => ({ headers: { etag: weak }, afterBytes: 150_000, then: "cut" });
      for (const etag of [undefined, strong, weak]) {
        const reader = await store.open("a", { etag });
        assert.equal(reader.stat.etag, strong);
        assertSameBytes(await drain(reader), BYTES);
      }
      const sent = new Set(proxy.requests.map(({ headers }) => headers.get("if-match")));
      assert.deepEqual(sent, new Set([null, strong]));
    }));
  await t.step("another range than asked for", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.faults.push({ headers: { "content-range": "bytes 20-29/300000" } });
      await assert.rejects(store.open("a", { offsetBytes: 10 }), {
        ...UNAVAILABLE,
        retryable: false,
        message: /asked from byte 10, the store sent from 20/,
      });
    }));
});

Deno.test("an answer that is not a store's is store-unavailable, not an error of the blob", async (t) => {
  const page = { status: 200, body: "<html>Log in</html>" };
  const html = { "content-type": "text/html; charset=utf-8", etag: '"page"' };
  await t.step("a web page in place of every answer", () =>
    withBlob(async ({ store, proxy }) => {
      proxy.otherwise = () => ({ ...page, headers: html });
      const isPage = {
        ...UNAVAILABLE,
        retryable: false,
        message: /a web page.*check the endpoint/,
      };
      await assert.rejects(store.open("a"), isPage);
      await assert.rejects(store.stat("a"), isPage);
      await assert.rejects(store.put("a", bodyOf(sampleBytes(5))), isPage);
      await assert.rejects(store.delete("a"), isPage);
      await assert.rejects(keysOf(store, ""), isPage);
    }));
  await t.step(
    "a web page for a bucket, and 404 for the rest",
    () =>
      withBlob(async ({ store, proxy }) => {
        proxy.otherwise = ({ target }) =>
          target === "/bucket/" ? { ...page, headers: html } : { status: 404 };
        await assert.rejects(store.stat("a"), { ...UNAVAILABLE, message: /a web page/ });
      }),
  );
  await t.step("a blob that was stored as a web page", () =>
    withBlob(async ({ store, proxy }) => {
      const headers = { "content-type": "text/html", "x-amz-request-id": "1" };
      proxy.otherwise = () => ({ headers });
      assertSameBytes(await drain(await store.open("a")), BYTES);
    }));
  for (const encoding of ["gzip", "br", "deflate, gzip"]) {
    await t.step(
      `an answer in ${encoding}, once and on every try`,
      () =>
        withBlob(async ({ store, proxy }) => {
          const compressed = { headers: { "content-encoding": encoding } };
          proxy.faults.push(compressed);
          assertSameBytes(await drain(await store.open("a")), BYTES);
          proxy.otherwise = () => compressed;
          await assert.rejects(store.open("a"), {
            ...UNAVAILABLE,
            retryable: true,
            message: /Content-Encoding .*after 4 tries/,
          });
          await assert.rejects(store.stat("a"), { ...UNAVAILABLE, retryable: true });
        }),
    );
  }
});

Deno.test("without s3:ListBucket, a missing blob is answered with 403", async (t) => {
  const denied = { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" };
  const hideMissing = ({ double, proxy }: S3Fixture) => {
    proxy.otherwise = ({ method, target }) => {
      const isRead = method === "GET" || method === "HEAD";
      const isThere = double.objects.has(new URL(target, "http://x").pathname);
      return isRead && !isThere ? denied : {};
    };
  };
  await t.step("the error names the rights", () =>
    withBlob(async (fixture) => {
      hideMissing(fixture);
      const message = /403.*; it needs s3:GetObject, and s3:ListBucket, without which/;
      const isDenied = { ...UNAVAILABLE, status: 403, retryable: false, message };
      await assert.rejects(fixture.store.open("b"), isDenied);
      await assert.rejects(fixture.store.stat("b"), isDenied);
      assert.equal(await statIfPresent(fixture.store, "b"), undefined);
    }));
  await t.step("put() works", () =>
    withBlob(async (fixture) => {
      hideMissing(fixture);
      const { store } = fixture;
      for (const options of [{ ifAbsent: false }, { ifAbsent: true }]) {
        const key = `new-${options.ifAbsent}`;
        const written = await store.put(key, bodyOf(BYTES), options);
        assert.deepEqual(await store.stat(key), written);
      }
    }));
  await t.step(
    "the errors of other requests name their rights",
    () =>
      withBlob(async ({ store, proxy }) => {
        proxy.otherwise = () => denied;
        await assert.rejects(store.put("b", bodyOf(BYTES)), { message: /needs s3:PutObject;/ });
        await assert.rejects(store.delete("b"), { message: /needs s3:DeleteObject;/ });
        await assert.rejects(keysOf(store, ""), { message: /needs s3:ListBucket;/ });
        await assert.rejects(store.sweep!({ before: new Date() }), {
          message: /needs s3:ListBucketMultipartUploads;/,
        });
      }),
  );
});

Deno.test("read() ends at once when its signal fires while the store is silent", async () => {
  await withBlob(async ({ store, proxy }) => {
    proxy.faults.push({ afterBytes: 1000, then: "stall" });
    const abort = new AbortController();
    await using reader = await store.open("a", { signal: abort.signal });
    const reading = reader.read(new Uint8Array(5000));
    queueMicrotask(() => abort.abort(new Error("stop now")));
    await assert.rejects(reading, /stop now/);
    proxy.faults.push({ isSilent: true });
    const opening = store.open("a", { signal: AbortSignal.timeout(20) });
    await assert.rejects(opening, { name: "TimeoutError" });
  });
});

/**
 * A `fetch` that ignores its signal, as Deno's does for a body after a garbage collection. Each of its
 * answers has the first ten bytes, and then is silent.
 */
function deafFetch(init: { status?: number; until?: Promise<void> } = {}) {
  const { status = 200, until } = init;
  const seen = { answers: 0, cancelled: 0 };
  const send: typeof fetch = async () => {
    await until;
    seen.answers++;
    const body = new ReadableStream({
      type: "bytes",
      start: (controller) => controller.enqueue(BYTES.slice(0, 10)),
      cancel: () => void seen.cancelled++,
    });
    return new Response(body, { status, headers: { etag: '"x"', "content-length": "300000" } });
  };
  return { seen, send };
}

Deno.test("a wait and its connection end although fetch ignores the abort", async (t) => {
  await t.step("when no byte comes", async () => {
    const { seen, send } = deafFetch();
    await withBlob(async ({ store }) => {
      await using reader = await store.open("a");
      await assert.rejects(reader.read(new Uint8Array(20)), {
        ...UNAVAILABLE,
        retryable: true,
        message: /no byte of the body came for 20 ms, after 2 tries/,
      });
      assert.deepEqual(seen, { answers: 2, cancelled: 2 });
    }, { fetch: send, retries: 1, idleTimeoutMs: 20 });
  });
  await t.step("when the caller aborts", async () => {
    const { seen, send } = deafFetch(), stop = new AbortController();
    await withBlob(async ({ store }) => {
      await using reader = await store.open("a", { signal: stop.signal });
      const reading = reader.read(new Uint8Array(20));
      setTimeout(() => stop.abort(new Error("enough")), 10);
      await assert.rejects(reading, /enough/);
      assert.deepEqual(seen, { answers: 1, cancelled: 1 });
    }, { fetch: send });
  });
  await t.step("when an error's document does not end", async () => {
    const { seen, send } = deafFetch({ status: 403 });
    await withBlob(async ({ store }) => {
      await assert.rejects(store.open("a"), {
        ...UNAVAILABLE,
        message: /no byte of the body came/,
      });
      assert.deepEqual(seen, { answers: 1, cancelled: 1 });
    }, { fetch: send, retries: 0, idleTimeoutMs: 20 });
  });
  await t.step("when the answer comes too late", async () => {
    const release = Promise.withResolvers<void>();
    const { seen, send } = deafFetch({ until: release.promise });
    await withBlob(async ({ store }) => {
      await assert.rejects(store.open("a"), {
        ...UNAVAILABLE,
        message: /did not answer for 20 ms/,
      });
      release.resolve();
      await until("the body is cancelled", () => seen.cancelled > 0, { everyMs: 0 });
      assert.deepEqual(seen, { answers: 1, cancelled: 1 });
    }, { fetch: send, retries: 0, idleTimeoutMs: 20 });
  });
});

Deno.test("a reader that is closed while it reconnects leaves no connection", async () => {
  const reconnected = Promise.withResolvers<void>(), release = Promise.withResolvers<void>();
  await withBlob(async ({ store, proxy }) => {
    const before = async () => {
      reconnected.resolve();
      await release.promise;
    };
    proxy.faults.push({ afterBytes: 1000, then: "cut" }, { before });
    const reader = await store.open("a");
    const reading = assert.rejects(reader.read(new Uint8Array(5000)), /the reader is closed/);
    await reconnected.promise;
    await reader.close();
    release.resolve();
    await reading;
    await until("no connection is open", () => proxy.openSockets === 0, { everyMs: 0 });
    assert.equal(proxy.requests.length, 2);
  });
});

Deno.test("openS3Store() signs with a session token, and virtual hosts", async () => {
  const urls: URL[] = [], tokens: (string | null)[] = [];
  const answer = (input: RequestInfo | URL, init?: RequestInit) => {
    urls.push(new URL(String(input)));
    tokens.push(new Headers(init?.headers).get("x-amz-security-token"));
    return Promise.resolve(new Response(null, { headers: { etag: '"x"', "content-length": "0" } }));
  };
  const store = openS3Store({
    bucket: "bucket",
    endpoint: "https://s3.eu-west-1.amazonaws.com",
    region: "eu-west-1",
    pathStyle: false,
    prefix: "tenant",
    accessKeyId: "ASIA",
    secretAccessKey: "secret",
    sessionToken: "the-token",
    fetch: answer,
  });
  await store.stat("mpacks/sha256:ab");
  assert.deepEqual(urls.map(({ origin, pathname }) => origin + pathname), [
    "https://bucket.s3.eu-west-1.amazonaws.com/tenant/mpacks/sha256%3Aab",
  ]);
  assert.equal(urls[0].search, "");
  assert.deepEqual(tokens, ["the-token"]);
  const signed = await store.presignPut("a", { expiresSeconds: 60 });
  assert.equal(new URL(signed?.url ?? "").searchParams.get("X-Amz-Security-Token"), "the-token");
  assert.ok(!signed?.url.includes("secret="));
});

Deno.test("list() follows the pages, and retries a page", async () => {
  await withBlob(async ({ store, proxy, double }) => {
    double.pageSize = 2;
    for (const key of ["b/1", "b/2", "b/3", "b/4", "b/5"]) {
      double.set(`/bucket/${key}`, sampleBytes(1));
    }
    proxy.faults.push({}, { status: 503 }, { afterBytes: 50, then: "cut" });
    const keys: string[] = [];
    for await (const { key } of store.list("b/")) keys.push(key);
    assert.deepEqual(keys, ["b/1", "b/2", "b/3", "b/4", "b/5"]);
    assert.equal(proxy.requests.length, 5);
  });
});
