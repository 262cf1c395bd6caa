/**
 * Indexing from a real S3 engine, and what may go wrong with one.
 *
 * @module
 */
import assert from "node:assert/strict";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { parseSize } from "../../../scripts/mpack/shape.ts";
import { InvalidMpackError } from "../../../src/errors.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openS3Store, type S3StoreOptions } from "../../../src/stream/store/s3/s3_store.ts";
import { testIndexOfPacks } from "./index_contract.ts";
import { bodyOf, concat } from "../../support/store/blobs.ts";
import { type Fault, type FaultProxy, startFaultProxy } from "../../support/store/fault_proxy.ts";
import { mpackKey } from "../../support/mpack/mpacks.ts";
import { makeBucket, s3Engine } from "../../support/store/swift.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";

const ignore = s3Engine === undefined;
const PACK = concat(
  await Array.fromAsync(makeMpack({ objects: 400, size: parseSize("5000"), seed: 11 })),
);
const KEY = mpackKey(PACK);
const ROWS = rowsOf(PACK);
const BATCHES = { MPACK_BATCH_ROWS: "20" };

testIndexOfPacks("Swift", async () => {
  const bucket = await makeBucket();
  const fixture = await createFixture({ store: bucket.store });
  const close = async () => {
    await fixture[Symbol.asyncDispose]();
    await bucket[Symbol.asyncDispose]();
  };
  return { ...fixture, [Symbol.asyncDispose]: close };
}, { ignore });

interface SwiftFixture {
  readonly fixture: TestFixture;
  /** In front of the engine, and behind the fixture's store. */
  readonly proxy: FaultProxy;
  /** The bucket, without the proxy. */
  readonly direct: BlobStore;
  /** Where {@link PACK} lies in it. */
  readonly blobKey: string;
}

async function inSwift(
  use: (fixture: SwiftFixture) => Promise<void>,
  overrides: Partial<S3StoreOptions> = {},
): Promise<void> {
  await using bucket = await makeBucket();
  await using proxy = await startFaultProxy(s3Engine!.endpoint);
  const store = openS3Store({
    ...bucket.options,
    endpoint: proxy.endpoint,
    retries: 2,
    sleep: () => Promise.resolve(),
    ...overrides,
  });
  await using fixture = await createFixture({ store });
  const blobKey = `mpacks/${fixture.repo.repoId}/${KEY}`;
  await bucket.store.put(blobKey, bodyOf(PACK));
  await use({ fixture, proxy, direct: bucket.store, blobKey });
}

Deno.test({
  name: "indexMpack() from Swift says what is wrong with the store, and leaves the job to others",
  ignore,
  fn: async (t) => {
    const cases: {
      name: string;
      options?: Partial<S3StoreOptions>;
      before?: (fixture: SwiftFixture) => Promise<void> | void;
      error: Record<string, unknown>;
    }[] = [
      {
        name: "wrong credentials",
        options: { secretAccessKey: "wrong" },
        error: { code: "store-unavailable", status: 403, retryable: false },
      },
      {
        name: "missing bucket",
        options: { bucket: "mpackd-test-is-not-there" },
        error: { code: "store-unavailable", status: 404, retryable: false },
      },
      {
        name: "missing key",
        before: ({ direct, blobKey }) => direct.delete(blobKey),
        error: { code: "blob-missing", status: 404, retryable: true },
      },
      {
        name: "503 for longer than it is tried",
        before: ({ proxy }) => void (proxy.otherwise = () => ({ status: 503 })),
        error: { code: "store-unavailable", status: 503, retryable: true },
      },
    ];
    for (const { name, options, before, error } of cases) {
      await t.step(name, () =>
        inSwift(async (swift) => {
          const { fixture } = swift;
          await before?.(swift);
          const clean = await fixture.dump();
          await assert.rejects(indexMpack(fixture.options(KEY)), { name: "StoreError", ...error });
          assert.equal(await fixture.dump(), clean);
          const [job] = await fixture.db.sql`
            select status, attempt, last_error->>'code' as code from musehub_background_jobs`;
          assert.deepEqual({ ...job }, { status: "pending", attempt: 1, code: error.code });
          // The same job, by a worker whose store is in order.
          await swift.direct.put(swift.blobKey, bodyOf(PACK));
          const result = await indexMpack({ ...fixture.options(KEY), store: swift.direct });
          assert.equal(result.objects_written, ROWS.length);
          const [{ jobs }] = await fixture.db.sql`
            select count(*)::int as jobs from musehub_background_jobs where status = 'done'`;
          assert.equal(jobs, 1);
        }, options));
    }
  },
});

Deno.test({
  name: "indexMpack() from Swift finds the same, and hashes each byte once, through what passes",
  ignore,
  fn: async (t) => {
    const cut = (afterBytes: number): Fault => ({ afterBytes, then: "cut" });
    const cases: Record<string, { faults: Fault[]; requests: number }> = {
      "nothing": { faults: [], requests: 1 },
      "503 once": { faults: [{ status: 503 }], requests: 2 },
      "a cut in the middle": { faults: [cut(1_000_000)], requests: 2 },
      "a reset in the middle": { faults: [{ afterBytes: 1_000_000, then: "reset" }], requests: 2 },
      "a cut, a 503 and a cut": {
        faults: [cut(300_000), { status: 503 }, cut(PACK.length - 300_001)],
        requests: 4,
      },
      "Range passed over after a cut": {
        faults: [cut(700_000), { hideHeaders: ["range"] }],
        requests: 2,
      },
    };
    for (const [name, { faults, requests }] of Object.entries(cases)) {
      await t.step(name, () =>
        inSwift(async ({ fixture, proxy, direct, blobKey }) => {
          proxy.faults.push(...faults);
          const result = await indexMpack(fixture.options(KEY, BATCHES));
          assert.equal(result.hashed_bytes, PACK.length);
          assert.equal(result.size_bytes, PACK.length);
          assert.equal(result.resumed_from_byte, 0);
          assert.deepEqual(await foundRows(fixture), ROWS);
          assert.equal(await fixture.staged(), 0);
          assert.equal(proxy.requests.length, requests);
          const { etag } = await direct.stat(blobKey);
          const resumed = proxy.requests.filter(({ headers }) => headers.has("range"));
          assert.equal(resumed.length > 0, faults.some(({ then }) => then !== undefined));
          for (const { method, headers } of resumed) {
            assert.equal(method, "GET");
            assert.match(headers.get("range") ?? "", /^bytes=[1-9]\d*-\d+$/);
            assert.equal(headers.get("if-match"), etag);
          }
        }));
    }
  },
});

Deno.test({
  name: "indexMpack() from Swift notices a blob that is replaced while it is read",
  ignore,
  fn: () =>
    inSwift(async ({ fixture, proxy, direct, blobKey }) => {
      const clean = await fixture.dump();
      const other = PACK.slice();
      other[other.length >> 1] ^= 1;
      proxy.faults.push({ afterBytes: 1_000_000, then: "cut" }, {
        before: async () => void await direct.put(blobKey, bodyOf(other)),
      });
      const reasons: string[] = [];
      const index = () =>
        indexMpack({
          ...fixture.options(KEY, BATCHES),
          onStartOver: (reason) => void reasons.push(reason),
        });
      await assert.rejects(index(), (error) =>
        error instanceof InvalidMpackError && error.code === "digest-mismatch");
      assert.match(reasons.join(), /was replaced while being read.*the store is asked once more$/);
      assert.equal(await fixture.dump(), clean);
      assert.equal(await fixture.staged(), 0);
      await direct.put(blobKey, bodyOf(PACK));
      const result = await index();
      assert.equal(result.hashed_bytes, PACK.length);
      assert.deepEqual(await foundRows(fixture), ROWS);
    }),
});

async function foundRows({ db, repo }: TestFixture) {
  const rows = await db.sql`
    select object_id, content_offset, size_bytes from musehub_object_refs
    where repo_id = ${repo.repoId} order by content_offset`;
  return rows.map((row) => ({ ...row }));
}

/** What the rows of the one repo have to be. */
function rowsOf(bytes: Uint8Array) {
  const whole = readWhole(bytes);
  assert.ok(whole.accepted);
  return whole.rows.map(({ objectId, contentOffset, sizeBytes }) => ({
    object_id: objectId,
    content_offset: contentOffset,
    size_bytes: sizeBytes,
  }));
}
