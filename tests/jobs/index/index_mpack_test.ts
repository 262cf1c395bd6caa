import assert from "node:assert/strict";
import { InvalidMpackError } from "../../../src/errors.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { getJob } from "../../../src/jobs/queue/get_job.ts";
import { collect } from "../../support/store/blobs.ts";
import { buildMpack, map, object, str, type Value } from "../../support/mpack/mpacks.ts";
import { testIndexOfPacks } from "./index_contract.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { parseSize } from "../../../scripts/mpack/shape.ts";

/** Seeded, so that a failure can be repeated. */
function* randoms(seed: number): Generator<number, never> {
  for (;;) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    yield seed / 2 ** 32;
  }
}

testIndexOfPacks("a folder", createFixture);

Deno.test("indexMpack() rejects a blob with any byte flipped, and writes no row", async () => {
  await using fixture = await createFixture();
  const valid = await collect(
    makeMpack({ objects: 12, size: parseSize("lognormal:300"), seed: 5 }),
  );
  const key = await fixture.put(valid);
  const before = await fixture.dump();
  const random = randoms(20261123), codes = new Map<string, number>();
  const flips = Number(Deno.env.get("MPACKD_TEST_FLIPS") ?? 1000);
  for (let i = 0; i < flips; i++) {
    const at = Math.floor(random.next().value * valid.length);
    const bit = 1 << Math.floor(random.next().value * 8);
    const damaged = valid.slice();
    damaged[at] ^= bit;
    await Deno.writeFile(fixture.blobPath(key), damaged);
    await assert.rejects(indexMpack(fixture.options(key)), (error) => {
      assert.ok(error instanceof InvalidMpackError, `byte ${at}, bit ${bit}: ${error}`);
      codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
      return true;
    });
  }
  assert.equal(await fixture.dump(), before);
  assert.equal(await fixture.staged(), 0);
  assert.ok(codes.has("digest-mismatch"));
  const [{ failed }] = await fixture.db.sql`
    select count(*)::int as failed from musehub_background_jobs where status = 'failed'`;
  assert.equal(failed, flips);
});

Deno.test("indexMpack() reads a pack of unknown length in whole buffers", async () => {
  await using fixture = await createFixture();
  const pack = await collect(makeMpack({ objects: 100, size: parseSize("5000"), seed: 7 }));
  const key = await fixture.put(pack);
  const asked: number[] = [];
  const { store } = fixture;
  const open: typeof store.open = async (blobKey, options) => {
    const reader = await store.open(blobKey, options);
    let readBytes = 0;
    return {
      get stat() {
        return { ...reader.stat, sizeBytes: readBytes };
      },
      async read(into) {
        asked.push(into.length);
        const sizeBytes = await reader.read(into);
        readBytes += sizeBytes;
        return sizeBytes;
      },
      close: () => reader.close(),
      [Symbol.asyncDispose]: () => reader.close(),
    };
  };
  const silent = Object.assign(Object.create(store), { open });
  const { hashed_bytes } = await indexMpack({ ...fixture.options(key), store: silent });
  assert.equal(hashed_bytes, pack.length);
  // The last one finds the end.
  assert.equal(asked.length, Math.ceil(pack.length / asked[0]) + 1);
  assert.ok(asked[0] >= 64 * 1024, `by ${asked[0]} bytes`);
});

Deno.test("indexMpack() rejects a blob cut at any length", async () => {
  await using fixture = await createFixture();
  const valid = await collect(
    makeMpack({ objects: 3, size: parseSize("40"), seed: 6, commits: 0, snapshots: 0 }),
  );
  const key = await fixture.put(valid);
  for (let sizeBytes = 0; sizeBytes < valid.length; sizeBytes++) {
    await Deno.writeFile(fixture.blobPath(key), valid.subarray(0, sizeBytes));
    await assert.rejects(
      indexMpack(fixture.options(key, { MPACK_BATCH_ROWS: "1" })),
      (error) =>
        error instanceof InvalidMpackError && error.code === "truncated" &&
        error.offsetBytes === sizeBytes,
    );
  }
  const [{ refs }] = await fixture.db.sql`select count(*)::int as refs from musehub_object_refs`;
  assert.equal(refs, 0);
  assert.equal(await fixture.staged(), 0);
});

Deno.test("indexMpack() accepts a mutated pack under its own key if and only if the oracle does", async () => {
  await using fixture = await createFixture();
  const valid = await collect(
    makeMpack({ objects: 6, size: parseSize("0..50"), seed: 7, commits: 2, snapshots: 1, tags: 1 }),
  );
  const random = randoms(7);
  let accepted = 0, rejected = 0;
  for (let i = 0; i < 200; i++) {
    const bytes = mutate(valid, random);
    const key = await fixture.put(bytes);
    const whole = readWhole(bytes, {}, { history: true });
    const before = await fixture.dump();
    try {
      const result = await indexMpack(fixture.options(key, { MPACK_BATCH_ROWS: "2" }));
      assert.ok(whole.accepted, `mutation ${i} was accepted`);
      assert.equal(result.objects_total, whole.objects);
      accepted++;
    } catch (error) {
      assert.ok(error instanceof InvalidMpackError, `mutation ${i}: ${error}`);
      // The oracle does not look for one id with two sizes; the database does.
      if (whole.accepted) assert.equal(error.code, "duplicate-key", `mutation ${i}: ${error}`);
      else assert.deepEqual([error.code, error.offsetBytes], [whole.code, whole.offsetBytes]);
      assert.equal(await fixture.dump(), before);
      rejected++;
    }
  }
  assert.ok(accepted > 5 && rejected > 50, `${accepted} accepted, ${rejected} rejected`);
});

/** Flips, deletes, doubles, inserts or moves some bytes. */
function mutate(valid: Uint8Array, random: Iterator<number>): Uint8Array {
  const pick = (below: number) => Math.floor(random.next().value * below);
  const at = pick(valid.length), length = 1 + pick(pick(4) === 0 ? 120 : 4);
  const head = valid.subarray(0, at), part = valid.subarray(at, at + length);
  const tail = valid.subarray(at + length), noise = Uint8Array.from(part, () => pick(256));
  const ways = [
    [head, noise, tail],
    [head, tail],
    [head, part, part, tail],
    [head, noise, part, tail],
    [tail, head],
    [head, Uint8Array.from(part, (byte) => byte ^ (1 << pick(8))), tail],
  ];
  const parts = ways[pick(ways.length)];
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let to = 0;
  for (const bytes of parts) {
    out.set(bytes, to);
    to += bytes.length;
  }
  return out;
}

const ID = `sha256:${"ab".repeat(32)}`;

Deno.test("indexMpack() counts an object that comes twice, and refuses one with two sizes", async (t) => {
  const twice = (first: Uint8Array, second: Uint8Array) =>
    buildMpack({
      objects: [
        object({ objectId: ID, content: first }),
        object({ objectId: ID, content: second }),
      ],
    });
  await t.step("same size: the first wins", async () => {
    await using fixture = await createFixture();
    const bytes = twice(new Uint8Array([1, 2]), new Uint8Array([3, 4]));
    const result = await indexMpack(fixture.options(await fixture.put(bytes)));
    assert.equal(result.objects_total, 2);
    assert.equal(result.objects_written, 1);
    assert.equal(result.duplicate_objects, 1);
    const [row] = await fixture.db.sql`select content_offset from musehub_object_refs`;
    assert.equal(bytes[row.content_offset], 1);
  });
  await t.step("another size: rejected, with the offset of the second", async () => {
    await using fixture = await createFixture();
    const bytes = twice(new Uint8Array([1, 2]), new Uint8Array([3]));
    await assert.rejects(
      indexMpack(fixture.options(await fixture.put(bytes))),
      (error) =>
        error instanceof InvalidMpackError && error.code === "duplicate-key" &&
        bytes[error.offsetBytes!] === 3,
    );
    const [{ refs }] = await fixture.db.sql`select count(*)::int as refs from musehub_object_refs`;
    assert.equal(refs, 0);
  });
});

Deno.test("indexMpack() leaves nothing of a rejected pack but the reason in the job's row", async (t) => {
  const cases: [string, Uint8Array, Record<string, unknown>, number | undefined][] = [
    ["trailing-bytes", new Uint8Array([...buildMpack({ objects: [] }), 0xc0]), {}, undefined],
    [
      "bad-content",
      buildMpack({ objects: [map([["object_id", ID], ["content", str("x")]])] }),
      {},
      undefined,
    ],
    [
      "declared-count-mismatch",
      buildMpack({ objects: [] }),
      { declared_objects_count: 3 },
      undefined,
    ],
    ["unexpected-shape", new Uint8Array([0x90]), {}, 0],
    ["limit-exceeded", buildMpack({ deep: nested(100) }), {}, undefined],
    ["truncated", new Uint8Array([0x81, 0xa1, 0x78, 0xdd, 0xff, 0xff, 0xff, 0xff]), {}, 8],
    ["truncated", new Uint8Array([0x81, 0xa1, 0x78, 0xdb, 0x00, 0xff, 0xff, 0xff]), {}, 8],
  ];
  for (const [code, bytes, payload, offsetBytes] of cases) {
    await t.step(code, async () => {
      await using fixture = await createFixture();
      const options = { ...fixture.options(await fixture.put(bytes)), payload };
      const before = await fixture.dump();
      await assert.rejects(
        indexMpack(options),
        (error) => error instanceof InvalidMpackError && error.code === code,
      );
      assert.equal(await fixture.dump(), before);
      const [{ job_id }] = await fixture.db.sql`select job_id from musehub_background_jobs`;
      const job = await getJob(fixture.db, job_id);
      assert.equal(job?.status, "failed");
      assert.equal(job?.lastError?.code, code);
      assert.equal(job?.attempt, 1);
      if (offsetBytes !== undefined) assert.equal(job?.lastError?.offset_bytes, offsetBytes);
    });
  }
});

function nested(levels: number): Value {
  let value: Value = null;
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}

Deno.test("indexMpack() releases its job when interrupted, and the next call continues it", async () => {
  await using fixture = await createFixture();
  const bytes = await collect(makeMpack({ objects: 400, size: parseSize("5000"), seed: 8 }));
  const key = await fixture.put(bytes);
  const stop = new AbortController();
  const env = { MPACK_BATCH_ROWS: "20" };
  await assert.rejects(
    indexMpack({
      ...fixture.options(key, env),
      signal: stop.signal,
      onProgress: ({ objects }) => objects > 200 && stop.abort(),
    }),
    { code: "cancelled" },
  );
  const [job] = await fixture.db
    .sql`select job_id, status, attempt, fence from musehub_background_jobs`;
  assert.deepEqual([job.status, job.attempt, job.fence], ["pending", 0, 1]);
  const [{ refs }] = await fixture.db.sql`select count(*)::int as refs from musehub_object_refs`;
  assert.equal(refs, 0);
  const result = await indexMpack(fixture.options(key, env));
  assert.equal(result.job_id, job.job_id);
  assert.equal(result.objects_written, 400);
  assert.ok(result.resumed_from_byte > 0);
  assert.equal(result.hashed_bytes, bytes.length - result.resumed_from_byte);
});

Deno.test("indexMpack() leaves no listener on its signal", async () => {
  await using fixture = await createFixture();
  const { signal } = new AbortController(), listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...[type, listener, options]: Parameters<typeof addEventListener>) => {
    listeners.add(listener);
    addEventListener.call(signal, type, listener, options);
  };
  signal.removeEventListener = (...[type, listener]: Parameters<typeof removeEventListener>) => {
    listeners.delete(listener);
    removeEventListener.call(signal, type, listener);
  };
  const pack = await collect(makeMpack({ objects: 3, size: parseSize("10"), seed: 3 }));
  await indexMpack({ ...fixture.options(await fixture.put(pack)), signal });
  const bad = fixture.options(await fixture.put(pack.subarray(0, pack.length - 1)));
  await assert.rejects(indexMpack({ ...bad, signal }), { code: "truncated" });
  assert.equal(listeners.size, 0);
});
