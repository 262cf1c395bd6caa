import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { bodyOf, concat } from "../support/store/blobs.ts";
import { type FaultProxy, startFaultProxy } from "../support/store/fault_proxy.ts";
import { runMain } from "../support/process/main.ts";
import { mpackKey } from "../support/mpack/mpacks.ts";
import { makeBucket, s3Engine, type TempBucket } from "../support/store/swift.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const PACK = concat(
  await Array.fromAsync(makeMpack({ objects: 60, size: parseSize("2000"), seed: 12 })),
);
const KEY = mpackKey(PACK);

interface Fixture {
  readonly fixture: TestFixture;
  readonly bucket: TempBucket;
  readonly proxy: FaultProxy;
  /** Runs `main.ts index … --repo me/repo --json`; what it printed has to be one document. */
  index(args: readonly string[], env?: Record<string, string>): Promise<Printed>;
}

interface Printed {
  readonly code: number;
  readonly result: Record<string, unknown>;
  readonly error?: Record<string, unknown>;
}

async function inFixture(use: (fixture: Fixture) => Promise<void>): Promise<void> {
  await using bucket = await makeBucket();
  await using proxy = await startFaultProxy(s3Engine!.endpoint);
  await using fixture = await createFixture({ store: bucket.store });
  const { options } = bucket;
  const place = new URLSearchParams({ endpoint: proxy.endpoint, region: options.region });
  const defaults = {
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `s3://${options.bucket}?${place}`,
    AWS_ACCESS_KEY_ID: options.accessKeyId,
    AWS_SECRET_ACCESS_KEY: options.secretAccessKey,
    MPACK_STORE_RETRIES: "1",
  };
  const index: Fixture["index"] = async (args, env = {}) => {
    const all = { ...defaults, ...env };
    const ended = await runMain(["index", ...args, "--repo", "me/repo", "--json"], all);
    for (const secret of [all.AWS_SECRET_ACCESS_KEY, "Signature="]) {
      assert.ok(!`${ended.stdout}${ended.stderr}`.includes(secret), "a secret shows");
    }
    const { error, ...result } = JSON.parse(ended.stdout);
    return { code: ended.code, result, error };
  };
  await use({ fixture, bucket, proxy, index });
}

Deno.test({
  name: "index takes a file, a key or a foreign blob to Swift and indexes it there",
  ignore: s3Engine === undefined,
  fn: async (t) => {
    await t.step("a file, then its key", () =>
      inFixture(async ({ fixture, bucket, index }) => {
        const file = await Deno.makeTempFile({ suffix: ".mpack" });
        await Deno.writeFile(file, PACK);
        const first = await index([file]);
        await Deno.remove(file);
        assert.equal(first.code, 0);
        assert.equal(first.result.mpack_key, KEY);
        assert.equal(first.result.objects_written, 60);
        assert.equal(first.result.hashed_bytes, PACK.length);
        const { sizeBytes } = await bucket.store.stat(`mpacks/${fixture.repo.repoId}/${KEY}`);
        assert.equal(sizeBytes, PACK.length);
        const second = await index([KEY]);
        assert.equal(second.code, 0);
        assert.equal(second.result.objects_written, 0);
        assert.equal(second.result.objects_total, 60);
      }));
    await t.step("s3://bucket/other-key", () =>
      inFixture(async ({ fixture, bucket, index }) => {
        await bucket.store.put("uploads/a b.mpack", bodyOf(PACK));
        const source = `s3://${bucket.options.bucket}/uploads/a%20b.mpack`;
        const refused = await index([source, "--expect", `sha256:${"0".repeat(64)}`]);
        assert.equal(refused.code, 3);
        assert.equal(refused.error?.code, "digest-mismatch");
        assert.equal(refused.error?.retryable, false);
        const jobs = await fixture.db.sql`select status from musehub_background_jobs`;
        assert.deepEqual(jobs.map(({ status }) => status), ["failed"]);
        const blobs = await Array.fromAsync(bucket.store.list("mpacks/"));
        assert.deepEqual(blobs, []);
        const taken = await index([source, "--expect", KEY]);
        assert.equal(taken.code, 0);
        assert.equal(taken.result.objects_written, 60);
        const missing = await index([`${source}.gone`]);
        assert.deepEqual([missing.code, missing.error?.code], [4, "blob-missing"]);
      }));
  },
});

Deno.test({
  name: "index says by exit code and error code what is wrong with the store",
  ignore: s3Engine === undefined,
  fn: () =>
    inFixture(async ({ fixture, bucket, proxy, index }) => {
      const clean = await fixture.dump();
      const { endpoint } = proxy;
      const cases = {
        "missing key": { exit: 4, code: "blob-missing", retryable: true, env: {} },
        "wrong secret": {
          exit: 4,
          code: "store-unavailable",
          retryable: false,
          env: { AWS_SECRET_ACCESS_KEY: "a-wrong-secret" },
        },
        "missing bucket": {
          exit: 4,
          code: "store-unavailable",
          retryable: false,
          env: { MPACK_STORE: `s3://${bucket.options.bucket}-gone?endpoint=${endpoint}` },
        },
        "nobody there": {
          exit: 4,
          code: "store-unavailable",
          retryable: true,
          env: { MPACK_STORE: "s3://bucket?endpoint=http://store.invalid" },
        },
        "a URL that is none": {
          exit: 2,
          code: "config",
          retryable: false,
          env: { MPACK_STORE: `s3://bucket?endpoint=${endpoint}&style=odd` },
        },
        "no credentials": {
          exit: 2,
          code: "config",
          retryable: false,
          env: { AWS_ACCESS_KEY_ID: "" },
        },
      };
      for (const [name, { exit, code, retryable, env }] of Object.entries(cases)) {
        const ended = await index([KEY], env);
        const found = [ended.code, ended.error?.code, ended.error?.retryable];
        assert.deepEqual(found, [exit, code, retryable], `${name}: ${ended.error?.message}`);
        assert.equal(await fixture.dump(), clean);
      }
      await bucket.store.put(`mpacks/${fixture.repo.repoId}/${KEY}`, bodyOf(PACK));
      proxy.faults.push({ status: 503 }, { afterBytes: 30_000, then: "cut" });
      const ended = await index([KEY]);
      assert.equal(ended.code, 0, JSON.stringify(ended.error));
      assert.equal(ended.result.objects_written, 60);
      assert.equal(ended.result.hashed_bytes, PACK.length);
    }),
});
