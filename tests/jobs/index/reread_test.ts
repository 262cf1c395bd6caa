import assert from "node:assert/strict";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { parseSize } from "../../../scripts/mpack/shape.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { StoreError } from "../../../src/errors.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { collect, methodsOf } from "../../support/store/blobs.ts";
import { faultyStore } from "../../support/postgres/faults.ts";
import { createFixture } from "../../support/process/fixture.ts";

const PACK = collect(makeMpack({ objects: 300, size: parseSize("3000"), seed: 4 }));

Deno.test("indexMpack() reads a pack again before it rejects it, and only then", async (t) => {
  const bytes = await PACK;
  await t.step("a valid pack is read and hashed once", async () => {
    await using fixture = await createFixture();
    const counted = faultyStore(fixture.store, { at: Infinity, fault: "wrong" });
    const options = { ...fixture.options(await fixture.put(bytes)), store: counted.store };
    const result = await indexMpack(options);
    assert.equal(counted.readBytes, bytes.length);
    assert.equal(result.hashed_bytes, bytes.length);
    assert.equal(result.reread_bytes, 0);
  });
  await t.step("wrong bytes, served once, cost a second reading and no attempt", async () => {
    await using fixture = await createFixture();
    const faulty = faultyStore(fixture.store, { at: 3, fault: "wrong" });
    const reasons: string[] = [];
    const result = await indexMpack({
      ...fixture.options(await fixture.put(bytes), { MPACK_BATCH_ROWS: "50" }),
      store: faulty.store,
      onStartOver: (reason) => reasons.push(reason),
    });
    assert.equal(result.objects_written, 300);
    assert.equal(result.hashed_bytes, bytes.length);
    assert.equal(result.reread_bytes, faulty.readBytes - bytes.length);
    assert.ok(result.reread_bytes > 0);
    assert.match(reasons.join(), /the store is asked once more$/);
    const [job] = await fixture.db.sql`select attempt, last_error from musehub_background_jobs`;
    assert.deepEqual([job.attempt, job.last_error], [1, null]);
  });
  await t.step(
    "wrong bytes, served always, are read twice and rejected as one attempt",
    async () => {
      await using fixture = await createFixture();
      const damaged = bytes.slice();
      damaged[damaged.length >> 1] ^= 1;
      const key = await fixture.put(bytes);
      await Deno.writeFile(fixture.blobPath(key), damaged);
      const counted = faultyStore(fixture.store, { at: Infinity, fault: "wrong" });
      const options = { ...fixture.options(key, { MPACK_BATCH_ROWS: "50" }), store: counted.store };
      await assert.rejects(indexMpack(options), { code: "digest-mismatch" });
      assert.equal(counted.readBytes, 2 * bytes.length);
      const [job] = await fixture.db
        .sql`select status, attempt, checkpoint from musehub_background_jobs`;
      assert.deepEqual([job.status, job.attempt, job.checkpoint], ["failed", 1, null]);
      assert.equal(await fixture.staged(), 0);
    },
  );
  await t.step(
    "wrong bytes that differ from reading to reading are the store's fault",
    async () => {
      await using fixture = await createFixture();
      const damage = (at: number) => {
        const damaged = bytes.slice();
        damaged[at] ^= 1;
        Deno.writeFileSync(fixture.blobPath(key), damaged);
      };
      const key = await fixture.put(bytes);
      damage(bytes.length - 10);
      const onStartOver = () => damage(bytes.length - 20);
      await assert.rejects(indexMpack({ ...fixture.options(key), onStartOver }), {
        code: "store-unavailable",
        retryable: true,
      });
      const [job] = await fixture.db.sql`select status from musehub_background_jobs`;
      assert.equal(job.status, "pending");
    },
  );
  await t.step(
    "wrong bytes are no verdict if a batch failed before the second reading",
    async () => {
      await using fixture = await createFixture();
      const read = Promise.withResolvers<void>();
      const key = await fixture.put(bytes),
        faulty = faultyStore(fixture.store, {
          at: 3,
          fault: "wrong",
        });
      const store: BlobStore = {
        ...methodsOf(faulty.store),
        async open(key, options) {
          const reader = await faulty.store.open(key, options);
          return {
            stat: reader.stat,
            async read(into) {
              const sizeBytes = await reader.read(into);
              if (sizeBytes === 0) read.resolve();
              return sizeBytes;
            },
            close: () => reader.close(),
            [Symbol.asyncDispose]: () => reader.close(),
          };
        },
      };
      const db: Database = {
        ...fixture.db,
        // The batch is under way until the last byte was read.
        async intercept(query, action) {
          if (action !== "stage a batch") return await query;
          await read.promise;
          throw Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
        },
      };
      const options = fixture.options(key, { MPACK_BATCH_ROWS: "200" });
      await assert.rejects(indexMpack({ ...options, db, store }), {
        code: "database-unavailable",
        retryable: true,
      });
      const [job] = await fixture.db.sql`select status from musehub_background_jobs`;
      assert.equal(job.status, "pending");
    },
  );
  await t.step("a blob that was replaced while it was read is read again", async () => {
    await using fixture = await createFixture();
    let opened = 0;
    const store: BlobStore = {
      ...methodsOf(fixture.store),
      async open(key, options) {
        const reader = await fixture.store.open(key, options);
        opened++;
        if (opened === 1) {
          reader.read = () => {
            throw new StoreError("blob-missing", "it was replaced", { status: 412 });
          };
        }
        const sizeBytes = opened === 2 ? 100 : reader.stat.sizeBytes;
        let left = sizeBytes;
        return {
          stat: { ...reader.stat, sizeBytes },
          async read(into) {
            const read = await reader.read(into.subarray(0, left));
            left -= read;
            return read;
          },
          close: () => reader.close(),
          [Symbol.asyncDispose]: () => reader.close(),
        };
      },
    };
    const result = await indexMpack({ ...fixture.options(await fixture.put(bytes)), store });
    assert.equal(result.objects_written, 300);
    assert.equal(opened, 3);
  });
  await t.step("an error of a proved pack is final at once", async () => {
    await using fixture = await createFixture();
    const counted = faultyStore(fixture.store, { at: Infinity, fault: "wrong" });
    await assert.rejects(
      indexMpack({
        ...fixture.options(await fixture.put(bytes)),
        store: counted.store,
        payload: { declared_objects_count: 1 },
      }),
      { code: "declared-count-mismatch" },
    );
    assert.equal(counted.readBytes, bytes.length);
  });
});
