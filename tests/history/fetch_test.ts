import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { planFetch, writeFetch } from "../../src/history/fetch.ts";
import { MadeHistory, snapshotDigest } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { concat, mpackKey } from "../support/mpack/mpacks.ts";
import { patchByte } from "../support/patch.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

interface Document {
  readonly commits: Record<string, unknown>[];
  readonly snapshots: { snapshot_id: string; manifest: Record<string, string> }[];
  readonly objects: { object_id: string; content: Uint8Array }[];
  readonly branch_heads: Record<string, string>;
}

async function fetch(
  { db, store, repo }: TestFixture,
  want: string[],
  have: string[] = [],
  maxIds?: number,
): Promise<Document & { sizeBytes: number; planBytes: number }> {
  const maxBytes = 1e9;
  const plan = await planFetch({ db, store, repoId: repo.repoId, want, have, maxBytes, maxIds });
  const branches = [{ name: "main", headCommitId: want[0] }];
  const bytes = concat(await Array.fromAsync(writeFetch(plan, branches)));
  const document = decode(bytes) as unknown as Document;
  assert.deepEqual(Object.keys(document), ["commits", "snapshots", "objects", "branch_heads"]);
  assert.deepEqual(document.branch_heads, { main: want[0] });
  const { commits, snapshots, objects } = document;
  assert.deepEqual(
    [plan.commits, plan.snapshots, plan.objects],
    [commits.length, snapshots.length, objects.length],
  );
  for (const { object_id, content } of objects) {
    assert.equal(mpackKey(content).slice(7), object_id.replace("sha256:", ""));
  }
  for (const { snapshot_id, manifest } of snapshots) {
    assert.equal(snapshotDigest(new Map(Object.entries(manifest))), snapshot_id.slice(-64));
  }
  return { ...document, sizeBytes: bytes.length, planBytes: plan.sizeBytes };
}

/** Twenty commits with a merge, in three packs; one file is empty, and one returns. */
function sample(isBare: boolean): { history: MadeHistory; ids: string[] } {
  const history = new MadeHistory({ isBare }), files: Record<string, string> = { empty: "" };
  for (let i = 0; i < 18; i++) {
    files[`dir/file ${i % 7}`] = `text ${i} ${"x".repeat(300 * i)}`;
    if (i === 9) delete files["dir/file 3"];
    history.commit({ files });
  }
  const ids = [...history.commits.keys()];
  const side = history.commit({ parents: [ids[5]], files: { side: "side", empty: "" } });
  history.commit({ parents: [ids[17], side], files: { ...files, side: "side" } });
  return { history, ids: [...history.commits.keys()] };
}

Deno.test("a fetch holds the commits, snapshots and objects that the client lacks", async (t) => {
  for (const isBare of [false, true]) {
    for (const isDelta of [false, true]) {
      await using fixture = await createFixture();
      const { history, ids } = sample(isBare), head = ids[19];
      const cuts: [number, number][] = [[0, 7], [7, 19], [19, 20]];
      for (const [from, to] of cuts) {
        const commits = ids.slice(from, to);
        await indexHistory(fixture, history.pack({ commits, isDelta }));
      }
      const name = `${isBare ? "bare" : "prefixed"}${isDelta ? ", deltas" : ""}`;
      const idsOf = ({ commits, objects, snapshots }: Document) => ({
        commits: commits.map(({ commit_id }) => commit_id as string).sort(),
        snapshots: snapshots.map(({ snapshot_id }) => snapshot_id).sort(),
        objects: objects.map(({ object_id }) => object_id).sort(),
      });
      const snapshotsOf = (commits: string[]) =>
        [...new Set(commits.map((id) => history.commits.get(id)!.snapshotId))].sort();

      await t.step(`${name}: everything`, async () => {
        const found = await fetch(fixture, [head]);
        const commits = history.reachable(head);
        assert.deepEqual(idsOf(found), {
          commits: [...commits].sort(),
          snapshots: snapshotsOf(commits),
          objects: history.objectsOf(commits),
        });
        // Each record as it was pushed.
        const record = found.commits.find(({ commit_id }) => commit_id === ids[3]);
        assert.deepEqual(record, decode(history.commits.get(ids[3])!.record.bytes));
        const count = found.commits.length + found.snapshots.length + found.objects.length;
        assert(found.planBytes >= found.sizeBytes - 200, `${found.planBytes} planned`);
        assert(found.planBytes <= found.sizeBytes + 30 * count, `${found.planBytes} planned`);
      });
      await t.step(`${name}: what is behind one commit`, async () => {
        const found = await fetch(fixture, [head], [ids[16], `${"0".repeat(64)}`]);
        const commits = [ids[17], ids[18], head];
        assert.deepEqual(idsOf(found).commits, [...commits].sort());
        assert.deepEqual(idsOf(found).snapshots, snapshotsOf(commits));
        const there = new Set(history.objectsOf([ids[16]]));
        const objects = history.objectsOf(commits).filter((id) => !there.has(id));
        assert.deepEqual(idsOf(found).objects, objects);
      });
      await t.step(`${name}: too many ids for memory`, async () => {
        const found = await fetch(fixture, [head], [ids[2]], 3);
        assert.deepEqual(found, await fetch(fixture, [head], [ids[2]]));
        const [{ rows }] = await fixture.db.sql`select count(*)::int as rows from mpackd_walk_ids`;
        assert.equal(rows, 0);
      });
      await t.step(`${name}: nothing`, async () => {
        const found = await fetch(fixture, [ids[4]], [head]);
        assert.deepEqual(idsOf(found), { commits: [], snapshots: [], objects: [] });
      });
    }
  }
});

Deno.test("a fetch sends merged annotations in place of those in the record", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, history = new MadeHistory();
  const id = history.commit({
    extra: { metadata: { a: "old" }, structured_delta: { ops: [1, 2] } },
  });
  await indexHistory(fixture, history.pack());
  const merged = { metadata: { a: "new" }, reviewed_by: ["eve", "bob"], test_runs: 300 };
  await db.sql`update musehub_commit_refs
    set annotations = ${db.sql.json(merged)}, annotations_merged = true`;
  const { commits: [commit] } = await fetch(fixture, [id]);
  const record = decode(history.commits.get(id)!.record.bytes) as Record<string, unknown>;
  assert.deepEqual(commit, { ...record, ...merged });
});

Deno.test("a fetch is refused before its first byte", async (t) => {
  await using fixture = await createFixture();
  const { db, store, repo } = fixture, { history, ids } = sample(false), head = ids[19];
  const pack = history.pack();
  await indexHistory(fixture, pack);
  const plan = (maxBytes?: number) =>
    planFetch({ db, store, repoId: repo.repoId, want: [head], have: [], maxBytes });
  await t.step("if it is too large", async () => {
    const { sizeBytes } = await plan();
    assert.equal((await plan(sizeBytes)).sizeBytes, sizeBytes);
    for (const maxBytes of [sizeBytes - 1, 20_000, 100]) {
      await assert.rejects(() => plan(maxBytes), {
        code: "fetch-too-large",
        message: `Cannot send the history: it has more than ${maxBytes} bytes`,
      });
    }
  });
  await t.step("if an object is damaged, or not there", async () => {
    const [objectId] = history.objectsOf([head]);
    await db.sql`update musehub_object_refs set damaged_at = now() where object_id = ${objectId}`;
    await assert.rejects(() => plan(), { code: "object-mismatch" });
    await db.sql`delete from musehub_object_refs where object_id = ${objectId}`;
    await assert.rejects(() => plan(), {
      code: "object-not-found",
      message: `Cannot send object ${objectId}, which a snapshot names: this repo does not have it`,
    });
  });
  await t.step("if a snapshot is not what its id says", async () => {
    const { snapshotId } = history.commits.get(head)!;
    const { offsetBytes, sizeBytes } = pack.places.get(snapshotId)!;
    const bytes = pack.bytes.slice();
    bytes[offsetBytes + sizeBytes - 60] ^= 1;
    await Deno.writeFile(fixture.blobPath(pack.mpackKey), bytes);
    await assert.rejects(() => plan(), { code: "record-mismatch" });
  });
});

Deno.test("a fetch ends before a commit that is not what its id says", async (t) => {
  for (
    const [what, at, why] of [
      ["its message", "commit 1", /no rule gives them this id/],
      ["its own id", "commit_id", /not this commit's record|no rule|longer than the record/],
    ] as const
  ) {
    await t.step(what, async () => {
      await using fixture = await createFixture();
      const { db, store, repo: { repoId } } = fixture, history = new MadeHistory();
      const id = history.commit({ files: { a: "a" } }), pack = history.pack();
      await indexHistory(fixture, pack);
      const { offsetBytes, sizeBytes } = pack.places.get(id)!;
      const record = Buffer.from(pack.bytes).subarray(offsetBytes, offsetBytes + sizeBytes);
      await patchByte(fixture.blobPath(pack.mpackKey), offsetBytes + record.indexOf(at) + 1);
      const plan = await planFetch({ db, store, repoId, want: [id], have: [] });
      const parts: Uint8Array[] = [];
      await assert.rejects(async () => {
        for await (const part of writeFetch(plan, [])) parts.push(part);
      }, { code: "record-mismatch", message: why });
      assert(!Buffer.from(concat(parts)).includes("snapshot_id"));
    });
  }
});
