import assert from "node:assert/strict";
import { HistoryError } from "../../src/errors.ts";
import { readManifest } from "../../src/history/read_manifest.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { type Files, MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";

async function read({ db, store, repo }: TestFixture, snapshotId: string) {
  const pages = readManifest({ db, store, repoId: repo.repoId, snapshotId });
  return await Array.fromAsync(pages);
}

function sorted(history: MadeHistory, snapshotId: string): [string, string][] {
  const entries = [...history.snapshots.get(snapshotId)!.manifest];
  return entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** UTF-16 units would sort these otherwise. */
const ASTRAL = "\u{1f3b5}", PRIVATE = "\ue000";

Deno.test("readManifest() sorts by code point, whatever the order of the record", async (t) => {
  for (const isBare of [false, true]) {
    await t.step(isBare ? "bare" : "prefixed", async () => {
      await using fixture = await createFixture();
      const history = new MadeHistory({ isBare });
      const files: Files = {
        "z": "1",
        [ASTRAL]: "2",
        [PRIVATE]: "3",
        "a/b": "4",
        "a": "",
        "a.b": "5",
      };
      history.commit({ files });
      history.commit({ files: {} });
      await indexHistory(fixture, history.pack());
      for (const id of history.snapshots.keys()) {
        assert.deepEqual(await read(fixture, id), sorted(history, id));
      }
    });
  }
});

Deno.test("readManifest() follows deltas over packs, back to a whole manifest", async () => {
  await using fixture = await createFixture();
  const history = new MadeHistory(), files: Record<string, string> = {};
  for (let i = 0; i < 12; i++) {
    files[`file ${i}`] = `text ${i}`;
    if (i % 3 === 2) delete files[`file ${i - 1}`];
    files["changed"] = `version ${i}`;
    history.commit({ files });
  }
  const ids = [...history.commits.keys()];
  await indexHistory(fixture, history.pack({ commits: ids.slice(0, 8), isDelta: true }));
  const rest = history.pack({ commits: ids.slice(7), isDelta: true });
  await indexHistory(fixture, rest);
  for (const id of history.snapshots.keys()) {
    assert.deepEqual(await read(fixture, id), sorted(history, id));
  }
});

Deno.test("readManifest() streams a long manifest, which must be sorted in its record", async () => {
  await using fixture = await createFixture();
  const { db, store, repo } = fixture, history = new MadeHistory();
  const files: Record<string, string> = {};
  for (let i = 0; i < 4_000; i++) files[`${String(i).padStart(6, "0")}/${"x".repeat(100)}`] = "";
  const sortedId = history.commits.get(history.commit({ files }))!.snapshotId;
  const unsortedId =
    history.commits.get(history.commit({ files: { ...files, a: "" } }))!.snapshotId;
  const oneId = history.commits.get(history.commit({ files: { b: "", a: "" } }))!.snapshotId;
  await indexHistory(fixture, history.pack());
  const read = (snapshotId: string) =>
    Array.fromAsync(readManifest({
      db,
      store,
      repoId: repo.repoId,
      snapshotId,
      maxUnsortedBytes: 100,
    }));
  assert.deepEqual(await read(sortedId), sorted(history, sortedId));
  assert.deepEqual(await read(unsortedId), sorted(history, unsortedId));
  await assert.rejects(() => read(oneId), /their paths are not sorted at "a"/);
});

Deno.test("readManifest() refuses what is not the snapshot", async (t) => {
  await using fixture = await createFixture();
  const { db } = fixture, history = new MadeHistory();
  history.commit({ files: { "a.txt": "a" } });
  history.commit({ files: { "a.txt": "a", "b.txt": "b" } });
  const [base, delta] = history.snapshots.keys();
  const pack = history.pack({ isDelta: true });
  await indexHistory(fixture, pack);
  const refused = (id: string, code: string, text: RegExp) =>
    assert.rejects(() => read(fixture, id), (error: unknown) => {
      assert(error instanceof HistoryError);
      assert.equal(error.code, code);
      assert.match(error.message, text);
      return true;
    });

  await t.step("an id that the repo does not have", async () => {
    await refused(
      `sha256:${"0".repeat(64)}`,
      "history-not-found",
      /^Cannot find snapshot sha256:0/,
    );
    await refused("'; drop", "history-not-found", /^Cannot find snapshot "'; drop"/);
  });
  await t.step("other entries than its id says", async () => {
    const bytes = pack.bytes.slice(), text = new TextEncoder().encode("a.txt");
    bytes[bytes.findIndex((_, i) => text.every((byte, j) => bytes[i + j] === byte))] = 0x62;
    await Deno.writeFile(fixture.blobPath(pack.mpackKey), bytes);
    await refused(base, "record-mismatch", /their manifest hashes to [0-9a-f]{64}/);
    await refused(delta, "record-mismatch", /their manifest hashes to [0-9a-f]{64}/);
    await Deno.writeFile(fixture.blobPath(pack.mpackKey), pack.bytes);
  });
  await t.step("a delta without what it builds upon", async () => {
    await db.sql`delete from musehub_snapshot_refs where snapshot_id = ${base}`;
    await refused(delta, "record-mismatch", /which it builds upon, is not there/);
  });
});
