import assert from "node:assert/strict";
import { findLocation } from "../../src/db/refs.ts";
import { ObjectError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { audit, type AuditFinding } from "../../src/maintenance/audit/audit.ts";
import { inspectMpack } from "../../src/maintenance/inspect.ts";
import { plainSize, readEncoded, readLocated, readObject } from "../../src/objects/read_object.ts";
import { readObjects } from "../../src/objects/read_objects.ts";
import { DEFAULT_LIMITS } from "../../src/stream/mpack/limits.ts";
import { buildMpack, concat, mpackKey, object } from "../support/mpack/mpacks.ts";
import { encodedObject, runFrame, skippableFrame, zstd } from "../support/mpack/zstd.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { assertSameBytes, drain, sampleBytes } from "../support/store/blobs.ts";

const MIB = 1024 * 1024;
const lieOf = (digit: string) => `sha256:${digit.repeat(64)}`;
const small = sampleBytes(5_000, 1), large = sampleBytes(3 * MIB, 2), plain = sampleBytes(700, 3);
/** Few bytes that decode to many, which is no crime. */
const zeros = new Uint8Array(5 * MIB);

/** Every way in which a content may be encoded. */
const GOOD: readonly [stored: Uint8Array, plain: Uint8Array, isEncodingLast: boolean][] = [
  [zstd(small), small, false],
  [zstd(large, { checksum: true }), large, true],
  [zstd(zeros), zeros, true],
  [zstd(new Uint8Array(0)), new Uint8Array(0), false],
  [concat([skippableFrame(9), zstd(small), zstd(plain)]), concat([small, plain]), true],
];

/** Contents that no reader may hand out, by the id that they have. */
const BAD: Readonly<Record<string, [why: RegExp, stored: Uint8Array]>> = {
  [lieOf("1")]: [/hash to/, zstd(small)],
  [lieOf("2")]: [/cut short/, zstd(large).subarray(0, 2 * MIB)],
  [lieOf("3")]: [/needs a dictionary/, runFrame({ blocks: [7], dictionaryId: 9 })],
  [lieOf("4")]: [/not a zstd frame/, small],
  [lieOf("5")]: [/declares 9 bytes|decoded/, runFrame({ blocks: [7], declaredBytes: 9 })],
  [lieOf("6")]: [/not a zstd frame/, new Uint8Array(0)],
  [lieOf("7")]: [/not a zstd frame/, concat([zstd(large), small])],
  [lieOf("8")]: [/window/, zstd(large, { windowLog: 25 })],
  [lieOf("9")]: [
    /more than 8388608 bytes/,
    runFrame({ blocks: Array.from({ length: 400 }, () => 131_072) }),
  ],
};
const BOUND = { maxContentBytes: 8 * MIB };

const PACK = buildMpack({
  objects: [
    ...GOOD.map(([stored, plain, isEncodingLast]) =>
      encodedObject({ plain, stored, isEncodingLast })
    ),
    ...Object.entries(BAD).map(([objectId, [, stored]], i) =>
      encodedObject({ plain: small, objectId, stored, isEncodingLast: i % 2 === 0 })
    ),
    object({ content: plain }),
    // It begins as zstd does, and is plain.
    object({ content: zstd(small) }),
  ],
});

async function indexed(fixture: TestFixture) {
  await indexMpack(fixture.options(await fixture.put(PACK)));
  const { db, store, repo: { repoId } } = fixture;
  return { db, store, repoId };
}

const bytesOf = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) =>
  new Uint8Array(await new Response(stream).arrayBuffer());

Deno.test("an object in zstd is read as its plain bytes, or as it is stored, and checked", async (t) => {
  await using fixture = await createFixture();
  const from = await indexed(fixture), { db, store, repoId } = from;
  for (const [stored, plain] of GOOD) {
    await t.step(`${stored.length} bytes that decode to ${plain.length}`, async () => {
      const objectId = mpackKey(plain);
      const whole = await readObject({ ...from, objectId });
      assert.equal(whole.sizeBytes, plain.length);
      assertSameBytes(await bytesOf(whole.stream), plain);
      for (
        const [offsetBytes, lengthBytes] of [[0, 3], [plain.length, 1], [plain.length >> 1, 9]]
      ) {
        const part = await readObject({ ...from, objectId, offsetBytes, lengthBytes });
        const found = await bytesOf(part.stream);
        assert.equal(part.lengthBytes, found.length);
        assertSameBytes(found, plain.subarray(offsetBytes, offsetBytes + lengthBytes));
      }
      await assert.rejects(
        readObject({ ...from, objectId, offsetBytes: plain.length + 1 }),
        RangeError,
      );
      const location = (await findLocation(db, repoId, objectId))!;
      assert.deepEqual([location.encoding, location.sizeBytes], ["zstd", stored.length]);
      const encoded = await readEncoded(store, location);
      assert.equal(encoded.sizeBytes, stored.length);
      assertSameBytes(await bytesOf(encoded.stream), stored);
      const range = { offsetBytes: 4, lengthBytes: 20 };
      const part = await bytesOf((await readEncoded(store, location, range)).stream);
      assertSameBytes(part, stored.subarray(4, 24));
    });
  }
  await t.step("a stream that is cancelled lets go of the blob", async () => {
    const { stream } = await readObject({ ...from, objectId: mpackKey(large) });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
  });
  for (const [objectId, [why]] of Object.entries(BAD)) {
    await t.step(`not ${objectId.slice(7, 9)}: ${why}`, async () => {
      const location = (await findLocation(db, repoId, objectId))!;
      const isMismatch = (error: unknown) => {
        assert.ok(error instanceof ObjectError, String(error));
        assert.equal(error.code, "object-mismatch");
        assert.match(error.message, why);
        return true;
      };
      await assert.rejects(readLocated(store, location, BOUND), isMismatch);
      await assert.rejects(plainSize(store, location, BOUND), isMismatch);
      const encoded = async () => bytesOf((await readEncoded(store, location, BOUND)).stream);
      await assert.rejects(encoded(), isMismatch);
    });
  }
  await t.step("not an encoding that another program wrote", async () => {
    const location = (await findLocation(db, repoId, mpackKey(small)))!;
    const other = { ...location, encoding: "br" };
    await assert.rejects(readLocated(store, other), /their encoding is "br"/);
  });
});

Deno.test("readObjects() decodes what is in zstd, in any order, and leaves out what it cannot", async (t) => {
  await using fixture = await createFixture();
  const from = await indexed(fixture);
  const good = new Map([...GOOD.map(([, plain]) => plain), plain, zstd(small)]
    .map((bytes) => [mpackKey(bytes), bytes]));
  const ids = [...good.keys(), ...Object.keys(BAD)].sort();
  for (const order of ["asked", "stored"] as const) {
    // The small batch makes it stream the run.
    for (const maxBatchBytes of [8 * MIB, 100_000]) {
      await t.step(`${order}, ${maxBatchBytes} bytes together`, async () => {
        const refused: string[] = [], found: string[] = [];
        const entries = readObjects({
          ...from,
          ...BOUND,
          objectIds: ids,
          order,
          maxBatchBytes,
          onRefused: (error, id) => {
            assert.equal(error.code, "object-mismatch");
            refused.push(id);
          },
        });
        for await (const { objectId, sizeBytes, content, chunks } of entries) {
          found.push(objectId);
          const bytes = concat(await Array.fromAsync(chunks()));
          assert.equal(sizeBytes, bytes.length);
          assertSameBytes(bytes, good.get(objectId)!);
          assert.equal(content !== undefined, sizeBytes <= MIB);
        }
        assert.deepEqual(found.sort(), [...good.keys()].sort());
        assert.deepEqual(refused.sort(), Object.keys(BAD).sort());
      });
    }
  }
});

Deno.test("audit() and inspectMpack() hash the plain bytes of what is in zstd", async (t) => {
  await using fixture = await createFixture();
  const { db, store, repoId } = await indexed(fixture);
  const limits = { ...DEFAULT_LIMITS, ...BOUND };
  const bad = Object.keys(BAD).sort();
  await t.step("inspect", async () => {
    await using reader = await store.open(`mpacks/${repoId}/${mpackKey(PACK)}`);
    const report = await inspectMpack(reader, { limits, isHashing: true });
    assert.equal(report.encoded, GOOD.length + bad.length);
    const named = report.problems.map(({ message }) => /sha256:[0-9a-f]{64}/.exec(message)![0]);
    assert.deepEqual(named.sort(), bad);
  });
  const findings: AuditFinding[] = [];
  const options = () => ({
    db,
    store,
    config: fixture.config(),
    limits,
    auditId: crypto.randomUUID(),
    signal: new AbortController().signal,
    onFinding: (finding: AuditFinding) => findings.push(finding),
  });
  await t.step("audit", async () => {
    const summary = await audit(options());
    assert.equal(summary.objects, GOOD.length + bad.length + 2);
    assert.deepEqual(findings.map(({ object_id }) => object_id).sort(), bad);
    const marked = await db.sql`select object_id from musehub_object_refs
      where damaged_at is not null order by object_id`;
    assert.deepEqual(marked.map((row) => row.object_id), bad);
  });
  await t.step("audit of a ref that says plain", async () => {
    await db.sql`update musehub_object_refs set encoding = null where object_id = ${
      mpackKey(small)
    }`;
    findings.length = 0;
    await audit(options());
    assert.ok(findings.some(({ object_id }) => object_id === mpackKey(small)));
    await db.sql`update musehub_object_refs set encoding = 'zstd'
      where object_id = ${mpackKey(small)}`;
    findings.length = 0;
    await audit(options());
    assert.deepEqual(findings.map(({ object_id }) => object_id).sort(), bad);
  });
});

Deno.test("index --materialize writes the plain bytes of what is in zstd", async () => {
  await using fixture = await createFixture();
  const { store, repo: { repoId } } = fixture;
  const env = { MPACK_MAX_CONTENT_BYTES: String(BOUND.maxContentBytes) };
  const options = fixture.options(await fixture.put(PACK), env);
  const result = await indexMpack({ ...options, payload: { materialize: true } });
  const written = GOOD.length + 2, mismatched = Object.keys(BAD).length;
  assert.deepEqual(result.materialized, { written, existing: 0, mismatched });
  for (const [, plain] of GOOD) {
    const key = `objects/${repoId}/${mpackKey(plain)}`;
    assertSameBytes(await drain(await store.open(key)), plain);
  }
});
