import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { bundle, type BundleOptions } from "../../src/history/bundle.ts";
import { readManifest } from "../../src/history/read_manifest.ts";
import { setBranches } from "../../src/jobs/history/set_branches.ts";
import { readBranchHeads } from "../../src/history/read_branch_heads.ts";
import { readObjects } from "../../src/objects/read_objects.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { concat, mpackKey } from "../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

async function bytesOf(fixture: TestFixture, options: Partial<BundleOptions> = {}) {
  const { db, store, repo } = fixture;
  await using made = await bundle({ db, store, repoId: repo.repoId, ...options });
  return { bytes: concat(await Array.fromAsync(made.write())), counts: made.counts };
}

/** All that a reader can see of a repo. */
async function seen({ db, store, repo }: TestFixture) {
  const { repoId } = repo, { sql } = db;
  const snapshots = await sql`select snapshot_id from musehub_snapshot_refs order by 1`;
  return {
    commits: [
      ...await sql`select commit_id, snapshot_id, author, committed_at, message, annotations
      from musehub_commit_refs order by commit_id`,
    ],
    graph: [
      ...await sql`select commit_id, parent_ids::text, generation
      from musehub_commit_graph order by commit_id`,
    ],
    branches: [...await sql`select name, head_commit_id from musehub_branches order by name`],
    tags: [...await sql`select tag, commit_id, created_at from musehub_tags order by tag`],
    main: [...await sql`select default_branch from musehub_repos`],
    manifests: await Promise.all(
      snapshots.map(({ snapshot_id: snapshotId }) =>
        Array.fromAsync(readManifest({ db, store, repoId, snapshotId }))
      ),
    ),
    objects: await Array.fromAsync(
      readObjects({ db, store, repoId }),
      ({ objectId, sizeBytes }) => `${objectId} ${sizeBytes}`,
    ).then((ids) => ids.sort()),
  };
}

async function restore(fixture: TestFixture, bytes: Uint8Array): Promise<void> {
  const { db, store, repo: { repoId } } = fixture;
  await indexHistory(fixture, { bytes }, {});
  await using reader = await store.open(`mpacks/${repoId}/${mpackKey(bytes)}`);
  const heads = await readBranchHeads(reader);
  for (const { reason } of await setBranches({ db, repoId, heads, force: false })) {
    assert.equal(reason, undefined);
  }
}

/** Two branches with a merge, annotations, an empty file, a large one, and tags. */
async function fill(fixture: TestFixture, isDelta: boolean): Promise<MadeHistory> {
  const history = new MadeHistory(), files: Record<string, string> = { empty: "" };
  for (let i = 0; i < 12; i++) {
    files[`dir/${i % 5}`] = `text ${i}`;
    if (i === 6) files.large = "x".repeat(1_500_000);
    history.commit({ files, extra: i === 3 ? { reviewed_by: ["bob"] } : {} });
  }
  const ids = [...history.commits.keys()];
  const side = history.commit({ parents: [ids[4]], files: { side: "side" } });
  history.commit({ parents: [ids[11], side], files });
  const all = [...history.commits.keys()];
  const tags = [{
    tag_id: "1",
    tag: "v1",
    commit_id: ids[3],
    created_at: "2026-11-01T00:00:00+00:00",
  }];
  await indexHistory(fixture, history.pack({ commits: ids.slice(0, 6), isDelta }), {
    branch: "trunk",
  });
  const commits = [...ids.slice(6), all[13]].concat(side);
  await indexHistory(fixture, history.pack({ commits, isDelta, extra: { tags } }), {
    branch: "trunk",
  });
  await indexHistory(fixture, history.pack({ commits: [side], objects: [] }), { branch: "feat/x" });
  // The same commit again, with more to say.
  const { record } = history.commits.get(ids[3])!;
  const more = {
    ...decode(record.bytes) as Record<string, unknown>,
    reviewed_by: ["eve"],
    test_runs: 9,
  };
  const again = new MadeHistory();
  again.commits.set(ids[3], history.commits.get(ids[3])!);
  again.snapshots.set(
    history.commits.get(ids[3])!.snapshotId,
    history.snapshots.get(history.commits.get(ids[3])!.snapshotId)!,
  );
  const pack = again.pack({ objects: [] });
  const bytes = (await import("@msgpack/msgpack")).encode({
    commits: [more],
    snapshots: (decode(pack.bytes) as { snapshots: unknown[] }).snapshots,
    objects: [],
  });
  await indexHistory(fixture, { bytes });
  return history;
}

Deno.test("a bundle, indexed into a new repo, gives the same refs, history and objects", async (t) => {
  for (const isDelta of [false, true]) {
    await using from = await createFixture();
    await fill(from, isDelta);
    const expected = await seen(from);
    assert.equal(expected.branches.length, 2);
    assert.deepEqual(expected.commits.filter(({ annotations }) => annotations !== null).length, 1);
    for (const maxIds of [undefined, 3]) {
      await t.step(`${isDelta ? "deltas" : "whole"}, ${maxIds ?? "all"} in memory`, async () => {
        const { bytes, counts } = await bytesOf(from, { maxIds });
        assert.deepEqual(counts, { ...counts, commits: 14, branches: 2, tags: 1 });
        await using to = await createFixture();
        await restore(to, bytes);
        assert.deepEqual(await seen(to), expected);
      });
    }
  }
});

Deno.test("a bundle keeps deltas, and writes what it cannot build upon whole", async () => {
  await using fixture = await createFixture();
  const history = await fill(fixture, true);
  const ids = [...history.commits.keys()];
  const { bytes } = await bytesOf(fixture);
  const { snapshots } = decode(bytes) as { snapshots: Record<string, unknown>[] };
  assert(snapshots.filter((snapshot) => "delta_add" in snapshot).length > 8);
  const rest = await bytesOf(fixture, { branches: ["trunk"], have: [ids[8]] });
  const document = decode(rest.bytes) as { snapshots: Record<string, unknown>[] };
  assert("manifest" in document.snapshots[0]);
});

Deno.test("a bundle of a branch leaves out what the reader has", async () => {
  await using fixture = await createFixture();
  const history = await fill(fixture, false), ids = [...history.commits.keys()];
  const { bytes, counts } = await bytesOf(fixture, { branches: ["feat/x"] });
  assert.deepEqual([counts.commits, counts.branches, counts.tags], [6, 1, 1]);
  await using to = await createFixture();
  await restore(to, bytes);
  const more = await bytesOf(fixture, { branches: ["trunk"], have: [ids[12]] });
  assert.equal(more.counts.commits, 8);
  await restore(to, more.bytes);
  const { main, ...restored } = await seen(to);
  const { main: _, ...expected } = await seen(fixture);
  assert.deepEqual(restored, expected);
  assert.deepEqual(main, [{ default_branch: "feat/x" }]);
  await assert.rejects(() => bytesOf(fixture, { branches: ["none"] }), {
    code: "history-not-found",
  });
});

Deno.test("a bundle of a repo without history is a valid pack", async () => {
  await using fixture = await createFixture();
  const { bytes } = await bytesOf(fixture);
  await restore(fixture, bytes);
  assert.deepEqual(decode(bytes), { branch_heads: {}, commits: [], snapshots: [], objects: [] });
});

Deno.test("a bundle that loses its ids to a crash of the database says so", async () => {
  await using fixture = await createFixture();
  const { db, store, repo } = fixture;
  await fill(fixture, false);
  await using made = await bundle({ db, store, repoId: repo.repoId, maxIds: 3 });
  await db.sql`truncate mpackd_walk_ids`;
  await assert.rejects(() => Array.fromAsync(made.write()), { code: "database-unavailable" });
});
