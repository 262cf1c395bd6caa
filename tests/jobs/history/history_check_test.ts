import assert from "node:assert/strict";
import { publish } from "../../../src/db/publish/publish.ts";
import { HistoryCheck } from "../../../src/jobs/history/history_check.ts";
import { decideBranch } from "../../../src/jobs/history/move_branch.ts";
import { historyOf, recordsOf } from "../../support/history/pack_records.ts";
import { type MadeCommit, madeId } from "../../support/history/random_graph.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { columns, pack, REPO_ID, startJob } from "../../support/process/leases.ts";

const MANY = 10_000;
const ROOT = { commitId: madeId("root"), parentIds: [] };

Deno.test("HistoryCheck refuses hostile histories by their code", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const problemOf = async (records: ReturnType<typeof recordsOf>) => {
    const check = new HistoryCheck(db, REPO_ID);
    await check.add(records);
    await check.settle();
    return check.problem;
  };
  await t.step("a commit that is its own ancestor, with its byte", async () => {
    const circle = [1, 2].map((n) => ({ commitId: madeId(n), parentIds: [madeId(3 - n)] }));
    await assert.rejects(problemOf(recordsOf([ROOT, ...circle])), (error: Error) => {
      assert.match(error.message, /at byte (2000|3000)$/);
      assert.equal((error as { code?: string }).code, "history-cycle");
      return true;
    });
  });
  await t.step("a snapshot that no rule names, with its byte", async () => {
    const records = recordsOf([ROOT], { snapshot: { isVerifiable: false } });
    const problem = await problemOf(records);
    assert.deepEqual([problem?.code, problem?.offsetBytes], ["unverifiable-snapshot", 1_000_000]);
  });
  await t.step("a snapshot that nobody has", async () => {
    const problem = await problemOf({ ...recordsOf([ROOT]), snapshots: [] });
    assert.equal(problem?.code, "snapshot-missing");
  });
  await t.step("a tag on a commit that nobody has", async () => {
    const tags = [{ tag: "v1", commitId: madeId("nobody") }];
    assert.equal((await problemOf(recordsOf([ROOT], { tags })))?.code, "tagged-commit-missing");
  });
  await t.step("ten thousand tips", async () => {
    const commits = Array.from({ length: MANY }, (_, n): MadeCommit => ({
      commitId: madeId(`tip ${n}`),
      parentIds: [ROOT.commitId],
    }));
    const check = new HistoryCheck(db, REPO_ID);
    await check.add(recordsOf([ROOT, ...commits]));
    await check.settle();
    const request = { name: "main", force: false, isStrict: true };
    const { problem } = await decideBranch({ db, repoId: REPO_ID, request, check });
    assert.equal(problem?.code, "tips");
    assert(problem.message.length <= 400);
  });
});

Deno.test("a push to a repo of ten thousand branches joins them all", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, REPO_ID);
  const heads = Array.from({ length: MANY }, (_, n): MadeCommit => ({
    commitId: madeId(`head ${n}`),
    parentIds: [ROOT.commitId],
  }));
  const push = async (commits: readonly MadeCommit[], mpackKey: string) => {
    const history = await historyOf(db, REPO_ID, recordsOf(commits));
    const packed = pack({ inline: columns(["x", 1]), mpackKey, history });
    return await publish(db, await startJob(db), packed);
  };
  await push([ROOT, ...heads], "sha256:aa");
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    select ${REPO_ID}, 'branch ' || commit_id, commit_id from musehub_commit_graph
    where generation = 2`;
  // A line of merges that has each head as a second parent.
  const line = heads.slice(1).map((head, n): MadeCommit => ({
    commitId: madeId(`merge ${n}`),
    parentIds: [n === 0 ? heads[0].commitId : madeId(`merge ${n - 1}`), head.commitId],
  }));
  const check = new HistoryCheck(db, REPO_ID);
  await check.add(recordsOf(line));
  await check.settle();
  assert.equal(check.problem, undefined);
  for (const head of [heads[0], heads[MANY - 1]]) {
    const request = { name: `branch ${head.commitId}`, force: false, isStrict: true };
    const { move } = await decideBranch({ db, repoId: REPO_ID, request, check });
    assert.deepEqual(move, {
      name: request.name,
      head: line.at(-1)!.commitId,
      expected: head.commitId,
      force: false,
    });
  }
  assert.equal(check.graph.generation(line.at(-1)!.commitId), MANY + 1);
});
