import assert from "node:assert/strict";
import { planFetch, writeFetch } from "../../src/history/fetch.ts";
import { readManifest } from "../../src/history/read_manifest.ts";
import { audit } from "../../src/maintenance/audit/audit.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { repack, type RepackOptions } from "../../src/maintenance/repack/repack.ts";
import type { RepackProgress } from "../../src/maintenance/repack/repack_options.ts";
import { readObjects } from "../../src/objects/read_objects.ts";
import { DEFAULT_LIMITS } from "../../src/stream/mpack/limits.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { countOpens } from "../support/store/counting_store.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { buildMpack, concat, mpackKey } from "../support/mpack/mpacks.ts";
import { encodedObject } from "../support/mpack/zstd.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";

function optionsOf(fixture: TestFixture, more: Partial<RepackOptions> = {}): RepackOptions {
  const { db, store, repo: { repoId } } = fixture;
  return {
    db,
    store,
    config: fixture.config(),
    limits: DEFAULT_LIMITS,
    repoId,
    maxContentBytes: DEFAULT_LIMITS.maxContentBytes,
    packBytes: 1024 ** 3,
    signal: new AbortController().signal,
    ...more,
  };
}

const ENCODED = sampleBytes(2_000_000, 7);

/** Pushes a history in many packs: full snapshots, deltas, an object in zstd, a large one. */
async function pushed(
  fixture: TestFixture,
  commits = 24,
): Promise<{ history: MadeHistory; head: string }> {
  const history = new MadeHistory(), files: Record<string, string | Uint8Array> = {};
  for (let i = 0; i < commits; i++) {
    files[`file ${i % 5}`] = `text ${i} ${"x".repeat(40 * i)}`;
    if (i === 3) files["large"] = sampleBytes(1_500_000, 1);
    if (i === 5) files["zstd"] = ENCODED;
    if (i === 7) files["empty"] = "";
    // As clients write them. A manifest that is not sorted is read by a request of its own.
    history.commit({ files: Object.fromEntries(Object.entries(files).sort()) });
  }
  const ids = [...history.commits.keys()], known = new Set<string>();
  await indexMpack({
    ...fixture.options(
      await fixture.put(buildMpack({ objects: [encodedObject({ plain: ENCODED })] })),
    ),
    payload: { partial: true },
  });
  known.add(mpackKey(ENCODED));
  for (let at = 0; at < ids.length; at += 3) {
    const part = ids.slice(at, at + 3),
      objects = history.objectsOf(part).filter((id) => !known.has(id));
    for (const id of objects) known.add(id);
    const pack = history.pack({ commits: part, objects, isDelta: at >= commits / 2 });
    await indexHistory(fixture, pack, { branch: "main", head: part.at(-1)!, strict: true });
  }
  return { history, head: ids.at(-1)! };
}

/** Everything that a reader gets. */
async function contentsOf({ db, store, repo: { repoId } }: TestFixture, history: MadeHistory) {
  const found: string[] = [];
  for await (const { objectId, chunks } of readObjects({ db, store, repoId })) {
    found.push(`${objectId} ${mpackKey(concat(await Array.fromAsync(chunks())))}`);
  }
  for (const snapshotId of history.snapshots.keys()) {
    const entries = await Array.fromAsync(readManifest({ db, store, repoId, snapshotId }));
    found.push(`${snapshotId} ${JSON.stringify(entries)}`);
  }
  return found.sort();
}

Deno.test("repack() moves all rows into one pack, and readers notice nothing but fewer requests", async (t) => {
  await using fixture = await createFixture();
  const { db, store, repo: { repoId } } = fixture, { history, head } = await pushed(fixture);
  const before = await contentsOf(fixture, history);
  const fetched = async () => {
    const counted = countOpens(store);
    const plan = await planFetch({ db, store: counted.store, repoId, want: [head], have: [] });
    let bytes = 0;
    for await (const chunk of writeFetch(plan, [])) bytes += chunk.length;
    return { opens: counted.opens.length, bytes };
  };
  const first = await fetched();
  const stale = readObjects({ db, store, repoId });
  await stale.next();
  const progress: RepackProgress[] = [];
  const summary = await repack(optionsOf(fixture, { onProgress: (p) => void progress.push(p) }));
  assert.deepEqual([...new Set(progress.map(({ phase }) => phase))], ["plan", "prove", "store"]);
  const { bytes, sizeBytes } = progress[progress.length - 1];
  assert.deepEqual([bytes, sizeBytes], [summary.bytes, summary.bytes]);
  await t.step("the summary", () => {
    const { packs_before, packs_after, rows } = summary;
    assert.deepEqual([packs_before, packs_after], [9, 1]);
    assert.equal(rows, 24 + history.snapshots.size + history.contents.size);
  });
  await t.step("everything reads as before", async () => {
    assert.deepEqual(await contentsOf(fixture, history), before);
    const rows = await db.sql`select distinct mpack_id from musehub_object_refs
      union select mpack_id from musehub_commit_refs union select mpack_id from musehub_snapshot_refs`;
    assert.equal(rows.length, 1);
    const [{ deltas }] = await db.sql`select count(*)::int as deltas from musehub_snapshot_refs
      where parent_snapshot_id is not null or delta_depth > 0 or entries <> 8 and entries > 8`;
    assert.equal(deltas, 0);
  });
  await t.step("a reader from before goes on", async () => {
    let left = 0;
    for await (const _ of stale) left++;
    assert.equal(left, history.contents.size - 1);
  });
  await t.step("a fetch costs few requests", async () => {
    const second = await fetched();
    assert.equal(second.bytes, first.bytes);
    assert.ok(
      second.opens <= 6 && second.opens < first.opens / 5,
      `${second.opens} of ${first.opens}`,
    );
  });
  await t.step("an audit finds it valid", async () => {
    const findings: unknown[] = [];
    await audit({
      db,
      store,
      limits: DEFAULT_LIMITS,
      auditId: "a",
      signal: new AbortController().signal,
      onFinding: (finding) => findings.push(finding),
    });
    assert.deepEqual(findings, []);
  });
  await t.step("once more does nothing", async () => {
    assert.equal((await repack(optionsOf(fixture))).packs_before, 0);
  });
  await t.step("gc takes the old packs, but not before its grace time", async () => {
    const collect = (graceMs: number) =>
      collectGarbage({
        db,
        store,
        config: fixture.config(),
        graceMs,
        signal: new AbortController().signal,
      });
    await db.sql`update musehub_mpacks set indexed_at = now() - interval '2 days'`;
    assert.equal((await collect(24 * 60 * 60 * 1000)).mpacks, 0);
    assert.equal((await collect(0)).mpacks, 9);
    assert.deepEqual(await contentsOf(fixture, history), before);
  });
});

Deno.test("repack() leaves alone what has changed meanwhile, and nothing half done when it fails", async (t) => {
  await using fixture = await createFixture();
  const { db } = fixture, { history } = await pushed(fixture, 9);
  const before = await contentsOf(fixture, history);
  const dump = await fixture.dump();
  for (const method of ["put", "open"] as const) {
    await t.step(`a store that fails to ${method}`, async () => {
      const failing = new Proxy(fixture.store, {
        get(store, name) {
          if (name === method) return () => Promise.reject(new Error("the store is away"));
          const value = Reflect.get(store, name);
          return typeof value === "function" ? value.bind(store) : value;
        },
      });
      await assert.rejects(repack(optionsOf(fixture, { store: failing })), /the store is away/);
      assert.equal(await fixture.dump(), dump);
      assert.equal((await db.sql`select from mpackd_moves`).length, 0);
    });
  }
  await t.step("a row that was marked as damaged while the pack was written", async () => {
    const marked = mpackKey(new TextEncoder().encode(""));
    const marking = new Proxy(fixture.store, {
      get(store, name) {
        const value = Reflect.get(store, name);
        if (name !== "put") return typeof value === "function" ? value.bind(store) : value;
        return async (...args: Parameters<typeof store.put>) => {
          const stat = await store.put(...args);
          await db.sql`update musehub_object_refs set damaged_at = now(), damage = 'loss'
            where object_id = ${marked}`;
          return stat;
        };
      },
    });
    await repack(optionsOf(fixture, { store: marking }));
    const packs = await db.sql`select mpack_id, object_id = ${marked} as is_marked, count(*)
      from musehub_object_refs group by 1, 2 order by 1`;
    assert.deepEqual(packs.map(({ is_marked }) => is_marked), [true, false]);
    await db.sql`update musehub_object_refs set damaged_at = null, damage = null`;
    assert.deepEqual(await contentsOf(fixture, history), before);
  });
});

Deno.test("repack() of a repo without history packs its objects as they lie, into packs that are not too large", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  const contents = Array.from({ length: 12 }, (_, i) => sampleBytes(10_000, i + 1));
  for (const [i, content] of contents.entries()) {
    const id = i % 2 ? mpackKey(content) : mpackKey(content).slice(7);
    const bytes = buildMpack({ objects: [{ object_id: id, content }] });
    await indexMpack(fixture.options(await fixture.put(bytes)));
  }
  const summary = await repack(optionsOf(fixture, { packBytes: 45_000 }));
  assert.deepEqual([summary.packs_before, summary.packs_after], [12, 3]);
  const rows = await db.sql`select object_id from musehub_object_refs
    order by mpack_id, content_offset`;
  assert.deepEqual(
    rows.map(({ object_id }) => object_id),
    contents.map((content, i) => i % 2 ? mpackKey(content) : mpackKey(content).slice(7)),
  );
  const pushes = await db.sql`select distinct is_push from musehub_mpacks`;
  assert.deepEqual(pushes.map(({ is_push }) => is_push), [false]);
});
