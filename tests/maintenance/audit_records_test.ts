import assert from "node:assert/strict";
import { HistoryError } from "../../src/errors.ts";
import { readCommit } from "../../src/history/read_commit.ts";
import { readManifest } from "../../src/history/read_manifest.ts";
import { audit, type AuditFinding } from "../../src/maintenance/audit/audit.ts";
import { DEFAULT_LIMITS } from "../../src/stream/mpack/limits.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { patchByte } from "../support/patch.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

async function audited({ db, store }: TestFixture) {
  const findings: AuditFinding[] = [];
  const summary = await audit({
    db,
    store,
    limits: DEFAULT_LIMITS,
    auditId: crypto.randomUUID(),
    signal: new AbortController().signal,
    onFinding: (finding) => findings.push(finding),
  });
  const wrong = findings.filter(({ code }) => code === "record-mismatch")
    .map(({ commit_id, snapshot_id }) => commit_id ?? snapshot_id);
  return { summary, wrong: wrong.sort() };
}

Deno.test("audit() reads each commit and snapshot by its row, and marks the wrong ones until they are right", async (t) => {
  await using fixture = await createFixture();
  const { db, store, repo: { repoId } } = fixture, history = new MadeHistory();
  for (let i = 0; i < 5; i++) history.commit({ files: { a: `${i}`, b: "b" }, message: `no ${i}` });
  const ids = [...history.commits.keys()], pack = history.pack({ isDelta: true });
  const broken = history.commits.get(ids[2])!;
  await indexHistory(fixture, pack, { branch: "main" });
  const rejects = (reading: Promise<unknown>) => assert.rejects(reading, HistoryError);
  await t.step("all are right", async () => {
    const { summary, wrong } = await audited(fixture);
    assert.deepEqual([summary.is_valid, summary.records, wrong], [true, 10, []]);
  });
  await t.step("rows that point at other bytes", async () => {
    await db.sql`update musehub_commit_refs set record_bytes = record_bytes + 1
      where commit_id = ${ids[1]}`;
    const { summary, wrong } = await audited(fixture);
    assert.deepEqual([summary.is_valid, wrong, summary.refs_marked], [false, [ids[1]], 1]);
    await rejects(readCommit({ db, store, repoId, commitId: ids[1] }));
    await db.sql`update musehub_commit_refs set record_bytes = record_bytes - 1
      where commit_id = ${ids[1]}`;
    const again = await audited(fixture);
    assert.deepEqual([again.summary.is_valid, again.summary.refs_restored], [true, 1]);
    await readCommit({ db, store, repoId, commitId: ids[1] });
  });
  await t.step("bytes that have changed in the store", async () => {
    const { offsetBytes } = pack.places.get(ids[2])!;
    const at = new TextDecoder("latin1").decode(pack.bytes).indexOf("no 2", offsetBytes);
    await patchByte(fixture.blobPath(pack.mpackKey), at);
    const base = pack.snapshots[0].snapshot.snapshotId;
    const baseAt = pack.places.get(base)!;
    const manifestAt = new TextDecoder("latin1").decode(pack.bytes)
      .indexOf("sha256:", baseAt.offsetBytes + 100);
    await patchByte(fixture.blobPath(pack.mpackKey), manifestAt + 10);
    const { wrong } = await audited(fixture);
    // All deltas are over that snapshot.
    const all = pack.snapshots.map(({ snapshot }) => snapshot.snapshotId);
    assert.deepEqual(wrong, [ids[2], ...all].sort());
    await rejects(readCommit({ db, store, repoId, commitId: ids[2] }));
    await rejects(
      Array.fromAsync(readManifest({ db, store, repoId, snapshotId: broken.snapshotId })),
    );
    await readCommit({ db, store, repoId, commitId: ids[3] });
  });
  await t.step("pushing the records again heals them", async () => {
    await indexHistory(fixture, history.pack({ extra: { note: "another pack" } }), {
      branch: "main",
    });
    await readCommit({ db, store, repoId, commitId: ids[2] });
    await Array.fromAsync(readManifest({ db, store, repoId, snapshotId: broken.snapshotId }));
    const marked = await db.sql`select from musehub_commit_refs where damaged_at is not null`;
    assert.equal(marked.length, 0);
  });
});
