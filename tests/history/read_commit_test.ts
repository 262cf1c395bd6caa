import assert from "node:assert/strict";
import { HistoryError } from "../../src/errors.ts";
import { readCommit } from "../../src/history/read_commit.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";

function read({ db, store, repo }: TestFixture, commitId: string) {
  return readCommit({ db, store, repoId: repo.repoId, commitId });
}

Deno.test("readCommit() returns what the record says, with bare and with prefixed ids", async (t) => {
  for (const isBare of [false, true]) {
    await t.step(isBare ? "bare" : "prefixed", async () => {
      await using fixture = await createFixture();
      const history = new MadeHistory({ isBare });
      const root = history.commit({ files: { "a.txt": "a" }, message: "one\n\nbody — é 🎵" });
      const side = history.commit({ parents: [root], author: "" });
      const merge = history.commit({
        parents: [side, root],
        extra: {
          metadata: { key: "value" },
          reviewed_by: ["bob", "eve"],
          test_runs: 7,
          branch: "feat/x",
          // Skipped, however deep and long it is.
          structured_delta: { ops: [{ op: "x".repeat(300_000), nested: [{ a: [1, 2.5, null] }] }] },
        },
      });
      await indexHistory(fixture, history.pack());
      const made = history.commits.get(merge)!;
      assert.deepEqual({ ...await read(fixture, merge), texts: undefined }, {
        commitId: merge,
        parentIds: [side, root],
        snapshotId: made.snapshotId,
        author: "ada",
        committedAt: made.committedAt,
        message: made.message,
        metadata: { key: "value" },
        reviewedBy: ["bob", "eve"],
        testRuns: 7,
        texts: undefined,
      });
      const { texts } = await read(fixture, merge);
      assert.equal(texts.branch, "feat/x");
      assert.equal("agent_id" in texts, false);
      const { message, parentIds, author } = await read(fixture, root);
      assert.deepEqual([message, parentIds, author], ["one\n\nbody — é 🎵", [], "ada"]);
      assert.deepEqual((await read(fixture, side)).author, "");
    });
  }
});

Deno.test("readCommit() shows what later pushes made of the annotations", async () => {
  await using fixture = await createFixture();
  const history = new MadeHistory(), id = history.commit();
  await indexHistory(fixture, history.pack());
  const merged = { metadata: { a: "b" }, reviewed_by: ["bob"], test_runs: 3 };
  await fixture.db.sql`update musehub_commit_refs
    set annotations = ${fixture.db.sql.json(merged)}, annotations_merged = true`;
  const { metadata, reviewedBy, testRuns } = await read(fixture, id);
  assert.deepEqual({ metadata, reviewedBy, testRuns }, {
    metadata: { a: "b" },
    reviewedBy: ["bob"],
    testRuns: 3,
  });
});

Deno.test("readCommit() refuses what is not the commit", async (t) => {
  await using fixture = await createFixture();
  const { db } = fixture, history = new MadeHistory();
  const [first, second] = [history.commit(), history.commit()];
  const pack = history.pack();
  await indexHistory(fixture, pack);
  const refused = (id: string, code: string, text: RegExp) =>
    assert.rejects(() => read(fixture, id), (error: unknown) => {
      assert(error instanceof HistoryError);
      assert.equal(error.code, code);
      assert.match(error.message, text);
      return true;
    });

  await t.step("an id that the repo does not have", async () => {
    await refused(`sha256:${"0".repeat(64)}`, "history-not-found", /^Cannot find commit sha256:0/);
    await refused("no id \x1b[2J", "history-not-found", /commit "no id \\u001b/);
  });
  await t.step("a commit of another repo", async () => {
    await db.sql`insert into musehub_repos (repo_id, owner, slug) values ('other', 'a', 'b')`;
    await db.sql`update musehub_commit_refs set repo_id = 'other' where commit_id = ${first}`;
    await refused(first, "history-not-found", /^Cannot find commit/);
    await db.sql`update musehub_commit_refs set repo_id = ${fixture.repo.repoId}`;
  });
  await t.step("the record of another commit", async () => {
    const { offsetBytes } = pack.places.get(second)!;
    const { recordOffset } = { recordOffset: pack.places.get(first)!.offsetBytes };
    const { sizeBytes } = pack.places.get(second)!;
    await db.sql`update musehub_commit_refs
      set record_offset = ${offsetBytes}, record_bytes = ${sizeBytes} where commit_id = ${first}`;
    await refused(first, "record-mismatch", /they are not this commit's record/);
    await db.sql`update musehub_commit_refs
      set record_offset = ${recordOffset}, record_bytes = ${pack.places.get(first)!.sizeBytes}
      where commit_id = ${first}`;
    await read(fixture, first);
  });
  await t.step("a record that is cut short, or longer", async () => {
    for (const [by, why] of [[-1, /longer than the record/], [1, /ends before/]] as const) {
      await db.sql`update musehub_commit_refs set record_bytes = record_bytes + ${by}
        where commit_id = ${first}`;
      await refused(first, "record-mismatch", why);
      await db.sql`update musehub_commit_refs set record_bytes = record_bytes - ${by}
        where commit_id = ${first}`;
    }
  });
  await t.step("a byte that changed in the blob", async () => {
    const path = fixture.blobPath(pack.mpackKey), bytes = pack.bytes.slice();
    const text = new TextEncoder().encode("commit 1");
    bytes[bytes.findIndex((_, i) => text.every((byte, j) => bytes[i + j] === byte)) + 7] ^= 2;
    await Deno.writeFile(path, bytes);
    await refused(first, "record-mismatch", /no rule gives them this id/);
    await Deno.writeFile(path, pack.bytes);
  });
  await t.step("a blob that is too short", async () => {
    await Deno.writeFile(fixture.blobPath(pack.mpackKey), pack.bytes.slice(0, 100));
    await refused(first, "record-mismatch", /bytes \d+ to \d+ of mpack sha256:/);
    await Deno.writeFile(fixture.blobPath(pack.mpackKey), pack.bytes);
  });
  await t.step("a record that an audit found damaged", async () => {
    await db.sql`update musehub_commit_refs set damaged_at = now() where commit_id = ${first}`;
    await refused(first, "record-mismatch", /an audit found them damaged at/);
  });
});
