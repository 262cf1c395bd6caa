import assert from "node:assert/strict";
import { limitsOf } from "../../src/config/config.ts";
import { MARKER_KEY } from "../../src/stream/store/store_marker.ts";
import { StoreError } from "../../src/errors.ts";
import { runAttempt } from "../../src/jobs/attempt/run_attempt.ts";
import { auditHandler, MPACK_AUDIT } from "../../src/jobs/audit_handler.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { claimJobs, enqueue, getJob } from "../../src/jobs/queue/mod.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { readObject } from "../../src/objects/read_object.ts";
import { listFinished } from "../../src/db/audits.ts";
import { audit, type AuditFinding, type AuditScope } from "../../src/maintenance/audit/audit.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONTENTS = Array.from({ length: 12 }, (_, i) => sampleBytes(i * 37, i + 1));

function packOf(from: number, to: number): Uint8Array<ArrayBuffer> {
  return buildMpack({
    objects: CONTENTS.slice(from, to).map((content) => object({ content })),
  }).slice();
}

async function run(
  fixture: TestFixture,
  options: AuditScope & { store?: BlobStore; id?: string } = {},
) {
  const findings: AuditFinding[] = [];
  const summary = await audit({
    db: fixture.db,
    store: fixture.store,
    limits: limitsOf(fixture.config()),
    signal: new AbortController().signal,
    auditId: options.id ?? "audit",
    onFinding: (finding) => findings.push(finding),
    ...options,
  });
  return { summary, findings };
}

async function index(fixture: TestFixture, bytes: Uint8Array): Promise<string> {
  const key = await fixture.put(bytes);
  await indexMpack(fixture.options(key));
  return key;
}

/** Changes a stored blob as a failing disk would: without the file system noticing. */
async function rot(
  fixture: TestFixture,
  key: string,
  change: (bytes: Uint8Array) => Uint8Array | void,
) {
  const path = fixture.blobPath(key), { mtime, size } = await Deno.stat(path);
  const bytes = await Deno.readFile(path);
  const changed = change(bytes) ?? bytes;
  assert.equal(changed.length, size);
  await Deno.writeFile(path, changed);
  await Deno.utime(path, mtime!, mtime!);
}

async function damaged(fixture: TestFixture): Promise<[string, string][]> {
  const rows = await fixture.db.sql`select object_id, damage from musehub_object_refs
    where damaged_at is not null order by object_id`;
  return rows.map(({ object_id, damage }) => [object_id, damage]);
}

Deno.test("audit() of valid packs finds nothing and changes nothing", async () => {
  await using fixture = await createFixture();
  await index(fixture, packOf(0, 6));
  // All known but the last two: most of its objects lie in the first pack.
  await index(fixture, packOf(0, 8));
  const before = await fixture.dump();
  const { summary, findings } = await run(fixture);
  assert.deepEqual(findings, []);
  assert.equal(summary.is_valid, true);
  assert.deepEqual([summary.mpacks, summary.objects], [2, 14]);
  assert.equal(await fixture.dump(), before);
  const [{ left }] = await fixture.db.sql`select count(*)::int as left from mpackd_audited_packs`;
  assert.equal(left, 0);
});

Deno.test("audit() marks only the object with a flipped byte, and pushing the pack again heals it", async () => {
  await using fixture = await createFixture();
  const bytes = packOf(0, 12), key = await index(fixture, bytes);
  const before = await fixture.dump();
  const [{ content_offset }] = await fixture.db.sql`
    select content_offset from musehub_object_refs where object_id = ${mpackKey(CONTENTS[5])}`;
  await rot(fixture, key, (blob) => void (blob[content_offset + 3] ^= 4));
  const { summary, findings } = await run(fixture);
  assert.deepEqual(findings.map(({ code, object_id }) => [code, object_id]), [
    ["object-mismatch", mpackKey(CONTENTS[5])],
    ["digest-mismatch", undefined],
  ]);
  assert.deepEqual(await damaged(fixture), [[mpackKey(CONTENTS[5]), "loss"]]);
  assert.equal(summary.refs_marked, 1);
  const { db, store, repo: { repoId } } = fixture;
  const read = (i: number) => readObject({ db, store, repoId, objectId: mpackKey(CONTENTS[i]) });
  await assert.rejects(read(5), { code: "object-mismatch", message: /an audit found/ });
  await (await read(6)).stream.cancel();
  assert.deepEqual(summary.repair, [`mpackd index FILE --expect ${key} --repo me/repo`]);
  // Again: nothing new to mark, still found.
  const again = await run(fixture);
  assert.deepEqual([again.summary.refs_marked, again.findings.length], [0, 2]);
  // Indexing the damaged blob is refused and heals nothing.
  await assert.rejects(indexMpack(fixture.options(key)), { code: "digest-mismatch" });
  assert.equal((await damaged(fixture)).length, 1);
  await rot(fixture, key, () => bytes);
  await indexMpack(fixture.options(key));
  assert.deepEqual(await damaged(fixture), []);
  assert.equal(await fixture.dump(), before);
  assert.deepEqual(await new Response((await read(5)).stream).bytes(), CONTENTS[5]);
});

Deno.test("audit() records the new version of a blob that was copied with its bytes", async () => {
  await using fixture = await createFixture();
  const keys = [await index(fixture, packOf(0, 5)), await index(fixture, packOf(5, 12))];
  // `cp -r` gives every file another time, which is part of its version.
  for (const key of keys) await Deno.utime(fixture.blobPath(key), 1, 1);
  // An audit of old has marked the refs.
  await fixture.db.sql`update musehub_object_refs set damaged_at = now(), damage = 'loss'`;
  const { summary, findings } = await run(fixture);
  assert.deepEqual([summary.is_valid, summary.mpacks_moved, summary.refs_restored], [true, 2, 12]);
  assert.deepEqual([findings, await damaged(fixture)], [[], []]);
  for (const row of await fixture.db.sql`select blob_key, etag from musehub_mpacks`) {
    assert.equal(row.etag, (await fixture.store.stat(row.blob_key)).etag);
  }
  assert.deepEqual((await run(fixture)).summary.mpacks_moved, 0);
  // Other bytes under the key are no move.
  await Deno.writeFile(fixture.blobPath(keys[0]), packOf(5, 12));
  const replaced = await run(fixture);
  assert.deepEqual(replaced.findings.map(({ code }) => code), ["blob-replaced"]);
  assert.deepEqual([replaced.summary.mpacks_moved, replaced.summary.refs_marked], [0, 5]);
});

Deno.test("audit() takes its marks back when a blob is as it was", async () => {
  await using fixture = await createFixture();
  const bytes = packOf(0, 12), key = await index(fixture, bytes);
  const before = await fixture.dump();
  await rot(fixture, key, (blob) => void blob.fill(0, 200, 400));
  await run(fixture);
  assert.ok((await damaged(fixture)).length > 0);
  await rot(fixture, key, () => bytes);
  const { summary } = await run(fixture);
  assert.equal(summary.is_valid, true);
  assert.ok(summary.refs_restored > 0);
  assert.equal(await fixture.dump(), before);
});

Deno.test("audit() checks what lies behind a break one by one", async () => {
  await using fixture = await createFixture();
  const bytes = packOf(0, 12), key = await index(fixture, bytes);
  const rows = await fixture.db.sql<{ object_id: string; content_offset: number }[]>`
    select object_id, content_offset from musehub_object_refs order by content_offset`;
  // The key "object_id" of the seventh object: the decoder cannot go on, the contents are all there.
  await rot(
    fixture,
    key,
    (blob) => void blob.fill(0xc1, rows[6].content_offset - 90, rows[6].content_offset - 88),
  );
  const first = await run(fixture);
  assert.deepEqual(first.findings.map(({ code }) => code).sort(), [
    "digest-mismatch",
    "malformed-msgpack",
  ]);
  assert.deepEqual(await damaged(fixture), []);
  // And one content behind it.
  await rot(fixture, key, (blob) => void (blob[rows[9].content_offset] ^= 1));
  await run(fixture);
  assert.deepEqual(await damaged(fixture), [[rows[9].object_id, "loss"]]);
});

Deno.test("audit() marks every ref into a blob that is gone, replaced or cut, and a push heals them", async (t) => {
  const damages: [string, string, (path: string) => Promise<void>][] = [
    ["gone", "blob-missing", (path) => Deno.remove(path)],
    ["replaced", "blob-replaced", (path) => Deno.writeFile(path, sampleBytes(3000))],
    ["cut", "blob-replaced", (path) => Deno.truncate(path, 500)],
  ];
  for (const [name, code, damage] of damages) {
    await t.step(name, async () => {
      await using fixture = await createFixture();
      const bytes = packOf(0, 6), key = await index(fixture, bytes);
      await index(fixture, packOf(6, 9));
      await damage(fixture.blobPath(key));
      const { findings, summary } = await run(fixture);
      assert.deepEqual(findings.map(({ code, mpack_key }) => [code, mpack_key]), [[code, key]]);
      assert.equal(summary.refs_marked, 6);
      // Two of them come again in another pack, the others with the pack itself.
      const other = buildMpack({
        objects: CONTENTS.slice(4, 8).map((content) => object({ content })),
      });
      await index(fixture, other);
      assert.equal((await damaged(fixture)).length, 4);
      await index(fixture, bytes);
      assert.deepEqual(await damaged(fixture), []);
      assert.equal((await run(fixture)).summary.is_valid, true);
    });
  }
});

Deno.test("audit() of a store with nothing in it marks nothing: it may be the wrong one", async () => {
  await using fixture = await createFixture();
  await index(fixture, packOf(0, 6));
  await using other = await createFixture();
  await assert.rejects(run(fixture, { store: other.store }), /is empty/);
  assert.deepEqual(await damaged(fixture), []);
  assert.equal((await run(fixture)).summary.is_valid, true);
});

Deno.test("audit() marks an object that lies, and only another pack heals it", async () => {
  await using fixture = await createFixture();
  const truth = sampleBytes(80, 9), lie = sampleBytes(80, 10), objectId = mpackKey(truth);
  const lying = buildMpack({
    objects: [object({ content: CONTENTS[3] }), object({ content: lie, objectId })],
  });
  const key = await index(fixture, lying);
  const { findings } = await run(fixture);
  assert.deepEqual(findings.map(({ code, object_id }) => [code, object_id]), [
    ["object-mismatch", objectId],
  ]);
  assert.match(findings[0].repair, /ANOTHER_MPACK/);
  assert.deepEqual(await damaged(fixture), [[objectId, "lie"]]);
  // The same pack again, and its blob under a new version: as much a lie as before.
  await indexMpack(fixture.options(key));
  await fixture.put(lying);
  await indexMpack(fixture.options(key));
  assert.deepEqual(await damaged(fixture), [[objectId, "lie"]]);
  await index(fixture, buildMpack({ objects: [object({ content: truth })] }));
  assert.deepEqual(await damaged(fixture), []);
  const [row] = await fixture.db.sql`select mpack_key from musehub_object_refs join musehub_mpacks
    using (mpack_id) where object_id = ${objectId}`;
  assert.notEqual(row.mpack_key, key);
});

Deno.test("audit() finds refs that point at nothing of theirs, and indexing again puts them right", async () => {
  await using fixture = await createFixture();
  const key = await index(fixture, packOf(0, 12));
  const before = await fixture.dump();
  await fixture.db.sql`update musehub_object_refs set content_offset = content_offset - 1
    where object_id = ${mpackKey(CONTENTS[7])}`;
  await fixture.db.sql`update musehub_object_refs set content_offset = 1000000
    where object_id = ${mpackKey(CONTENTS[8])}`;
  const { summary } = await run(fixture);
  assert.deepEqual(summary.findings, { "object-mismatch": 2 });
  assert.equal((await damaged(fixture)).length, 2);
  await indexMpack(fixture.options(key));
  assert.equal(await fixture.dump(), before);
});

Deno.test("audit() does not take one bad reading for damage", async () => {
  await using fixture = await createFixture();
  await index(fixture, packOf(0, 12));
  let reads = 0;
  const store: BlobStore = Object.create(fixture.store, {
    stat: { value: fixture.store.stat.bind(fixture.store) },
    open: {
      value: async (...args: Parameters<BlobStore["open"]>) => {
        const reader = await fixture.store.open(...args);
        if (reads++ > 0) return reader;
        const read = async (into: Uint8Array) => {
          const sizeBytes = await reader.read(into);
          into[300] ^= 1;
          return sizeBytes;
        };
        const close = () => reader.close();
        return { stat: reader.stat, read, close, [Symbol.asyncDispose]: close };
      },
    },
  });
  const { summary, findings } = await run(fixture, { store });
  assert.deepEqual(findings, []);
  assert.deepEqual([summary.is_valid, summary.mpacks_misread, reads], [true, 1, 2]);
  assert.deepEqual(await damaged(fixture), []);
});

Deno.test("audit() goes on with the packs that are left, new ones included", async () => {
  await using fixture = await createFixture();
  const keys: string[] = [];
  for (let i = 0; i < 6; i++) keys.push(await index(fixture, packOf(i, i + 3)));
  const opened: string[] = [];
  const failing = (after: number): BlobStore =>
    Object.create(fixture.store, {
      open: {
        value: (...args: Parameters<BlobStore["open"]>) => {
          if (args[0] === MARKER_KEY) return fixture.store.open(...args);
          if (opened.length >= after) throw new StoreError("store-unavailable", "Cannot open");
          opened.push(args[0].slice(-71));
          return fixture.store.open(...args);
        },
      },
    });
  await rot(fixture, keys[1], (blob) => void (blob[blob.length - 1] ^= 1));
  await assert.rejects(run(fixture, { store: failing(5) }), { code: "store-unavailable" });
  // The second one, being damaged, was read twice.
  assert.deepEqual(opened, [keys[0], keys[1], keys[1], keys[2], keys[3]]);
  keys.push(await index(fixture, packOf(8, 12)));
  opened.length = 0;
  const { summary } = await run(fixture, { store: failing(99) });
  assert.deepEqual(opened, [keys[1], keys[1], keys[4], keys[5], keys[6]]);
  assert.deepEqual([summary.mpacks_checked_before, summary.mpacks, summary.mpacks_damaged], [
    3,
    4,
    1,
  ]);
});

Deno.test("audit() of a repo, a pack or a sample looks at no more", async () => {
  await using fixture = await createFixture();
  const keys: string[] = [];
  for (let i = 0; i < 10; i++) keys.push(await index(fixture, packOf(i, i + 2)));
  const packs = async (scope: AuditScope) => (await run(fixture, scope)).summary.mpacks;
  assert.equal(await packs({}), 10);
  assert.equal(await packs({ repoId: fixture.repo.repoId }), 10);
  assert.equal(await packs({ repoId: "another" }), 0);
  assert.equal(await packs({ mpackKey: keys[4] }), 1);
  assert.equal(await packs({ samplePercent: 30 }), 3);
  assert.equal(await packs({ samplePercent: 0.1 }), 1);
});

Deno.test("an mpack.audit job is done with what it found", async () => {
  await using fixture = await createFixture();
  const { db, store, repo } = fixture;
  const key = await index(fixture, packOf(0, 12));
  await Deno.remove(fixture.blobPath(key));
  await store.put("mpacks/another", ReadableStream.from([sampleBytes(1)]));
  const payload = { mpack_key: key };
  await enqueue(db, { repoId: repo.repoId, jobType: MPACK_AUDIT, payload });
  const [job] = await claimJobs(db, {
    worker: "test",
    jobTypes: [MPACK_AUDIT],
    leaseMs: 60_000,
    limit: 1,
    perRepo: 1,
  });
  const handler = auditHandler({ db, store, config: fixture.config() });
  const signal = new AbortController().signal;
  const outcome = await runAttempt(db, job, handler, { leaseMs: 60_000, signal });
  assert.equal(outcome.status, "done");
  const row = await getJob(db, job.jobId);
  assert.equal(row?.status, "done");
  const result = row?.result as { refs_marked: number; first_findings: AuditFinding[] };
  assert.equal(result.refs_marked, 12);
  assert.equal(result.first_findings[0].code, "blob-missing");
});

Deno.test({
  name: "audit() on a real S3 engine notices a blob that was overwritten, and one that is gone",
  ignore: s3Engine === undefined,
  fn: async () => {
    await using fixture = await createFixture();
    await using bucket = await makeBucket();
    const { store } = bucket, packs = [packOf(0, 5), packOf(5, 9), packOf(9, 12)];
    const blobKeys = packs.map((bytes) => `mpacks/${fixture.repo.repoId}/${mpackKey(bytes)}`);
    for (const [i, bytes] of packs.entries()) {
      await store.put(blobKeys[i], ReadableStream.from([bytes]));
      await indexMpack({ ...fixture.options(mpackKey(bytes)), store });
    }
    assert.equal((await run(fixture, { store })).summary.is_valid, true);
    await store.delete(blobKeys[0]);
    await store.put(blobKeys[1], ReadableStream.from([packs[0]]));
    const { findings } = await run(fixture, { store });
    assert.deepEqual(findings.map(({ code }) => code), ["blob-missing", "blob-replaced"]);
    assert.equal((await damaged(fixture)).length, 9);
  },
});

Deno.test("mpackd audit prints a line per finding, then the summary, and exits 3", async (t) => {
  await using fixture = await createFixture();
  const key = await index(fixture, packOf(0, 12));
  await index(fixture, packOf(2, 3));
  const run = async (...args: string[]) => {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", MAIN, "audit", ...args],
      env: { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: fixture.store.url },
    }).output();
    return { code, text: new TextDecoder().decode(stdout).trimEnd() };
  };
  await t.step("valid", async () => {
    const { code, text } = await run("--repo", "me/repo");
    assert.equal(code, 0);
    assert.match(text, /^2 mpacks checked, 0 damaged: 13 objects, /);
  });
  await Deno.remove(fixture.blobPath(key));
  await t.step("damaged", async () => {
    const { code, text } = await run("--json", "--sample", "100%");
    assert.equal(code, 3);
    const [finding, { summary }] = text.split("\n").map((line) => JSON.parse(line));
    assert.equal(finding.finding.code, "blob-missing");
    assert.deepEqual(summary.repair, [`mpackd index FILE --expect ${key} --repo me/repo`]);
  });
  await t.step("as a job", async () => {
    const { code, text } = await run("--enqueue", "--repo", "me/repo", "--json");
    assert.equal(code, 0);
    const job = await getJob(fixture.db, JSON.parse(text).job_id);
    assert.deepEqual([job?.jobType, job?.status], [MPACK_AUDIT, "pending"]);
  });
  await t.step("badly asked", async () => {
    assert.equal((await run("--sample", "0%")).code, 2);
    assert.equal((await run("--repo", "me/none")).code, 2);
  });
});

Deno.test("audit() is on record when it has ended, and not when it was interrupted", async () => {
  await using fixture = await createFixture();
  const { db, store } = fixture;
  const [good, lost] = [await fixture.put(packOf(0, 4)), await fixture.put(packOf(4, 8))];
  for (const key of [good, lost]) await indexMpack(fixture.options(key));
  const stop = new AbortController();
  const stopping = { onMpack: () => stop.abort(new Error("stopped")), signal: stop.signal };
  await assert.rejects(run(fixture, { id: "a", ...stopping } as AuditScope & { id: string }));
  assert.deepEqual(await listFinished(db, { limit: 9 }), []);
  await store.delete(`mpacks/${fixture.repo.repoId}/${lost}`);
  await run(fixture, { id: "a" });
  const [last, ...others] = await listFinished(db, { limit: 9 });
  assert.deepEqual([last.repoId, last.mpacks, last.damaged, others.length], [null, 2, 1, 0]);
});
