import assert from "node:assert/strict";
import { CommitGraph } from "../../../src/jobs/history/commit_graph.ts";
import {
  ancestorsOf,
  type MadeCommit,
  madeId,
  makeGraph,
  seeded,
  shuffled,
} from "../../support/history/random_graph.ts";

function graphOf(commits: readonly MadeCommit[]): CommitGraph {
  const graph = new CommitGraph();
  commits.forEach((commit, i) => graph.addCommit({ ...commit, offsetBytes: i }));
  return graph;
}

function rowsOf(graph: CommitGraph) {
  return new Map([...graph.rows(7)].flat().map((row) => [row.commit_id, row]));
}

Deno.test("CommitGraph numbers random histories as their definition says, in any order", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed), commits = makeGraph(1 + Math.floor(random() * 120), random);
    const graph = graphOf(shuffled(commits, random)), why = `seed ${seed}`;
    assert.equal(await graph.number(), undefined, why);
    const rows = rowsOf(graph), parents = new Set(commits.flatMap((c) => c.parentIds));
    assert.equal(rows.size, commits.length, why);
    for (const { commitId, parentIds } of commits) {
      const row = rows.get(commitId)!;
      assert.deepEqual(row.parent_ids, parentIds, why);
      const before = parentIds.map((id) => rows.get(id)!);
      assert.equal(row.generation, 1 + Math.max(0, ...before.map((p) => p.generation!)), why);
      const line: string[] = [commitId];
      for (let at = row; at.parent_ids.length > 0; at = rows.get(at.parent_ids[0])!) {
        line.push(at.parent_ids[0]);
      }
      assert.equal(row.depth, line.length, why);
      assert(line.length === 1 || line.indexOf(row.jump_id!) > 0, why);
    }
    assert.deepEqual(
      new Set(graph.tips(1_000)),
      new Set(commits.map((c) => c.commitId).filter((id) => !parents.has(id))),
      why,
    );
    const ancestors = ancestorsOf(commits);
    for (let n = 0; n < 30; n++) {
      const one = commits[Math.floor(random() * commits.length)].commitId;
      const other = commits[Math.floor(random() * commits.length)].commitId;
      const found = await graph.findAncestor(one, other);
      assert.equal(found === true, ancestors.get(other)!.has(one), why);
    }
  }
});

Deno.test("CommitGraph reaches any depth in few jumps", async () => {
  const commits = Array.from({ length: 5_000 }, (_, n) => ({
    commitId: madeId(n),
    parentIds: n === 0 ? [] : [madeId(n - 1)],
  }));
  const graph = graphOf(commits);
  await graph.number();
  const rows = rowsOf(graph);
  let most = 0;
  for (let depth = 1; depth <= 5_000; depth += 7) {
    let steps = 0, at = rows.get(madeId(4_999))!;
    while (at.depth! > depth) {
      const jump = rows.get(at.jump_id!)!;
      at = jump.depth! >= depth ? jump : rows.get(at.parent_ids[0])!;
      steps++;
    }
    assert.equal(at.commit_id, madeId(depth - 1));
    most = Math.max(most, steps);
  }
  assert(most <= 2 * Math.log2(5_000) + 2, `${most} steps`);
});

Deno.test("CommitGraph finds a commit that is its own ancestor, and where it is", async (t) => {
  const cycles: Record<string, MadeCommit[]> = {
    "its own parent": [{ commitId: madeId(1), parentIds: [madeId(1)] }],
    "three in a circle": [1, 2, 3].map((n) => ({
      commitId: madeId(n),
      parentIds: [madeId(n % 3 + 1)],
    })),
    "over the second parent": [
      { commitId: madeId(0), parentIds: [] },
      { commitId: madeId(1), parentIds: [madeId(0), madeId(2)] },
      { commitId: madeId(2), parentIds: [madeId(1)] },
    ],
  };
  for (const [title, commits] of Object.entries(cycles)) {
    await t.step(title, async () => {
      const offset = await graphOf(commits).number();
      assert(offset !== undefined && offset >= 0 && offset < commits.length);
    });
  }
});

Deno.test("CommitGraph leaves what waits for an ancestor without numbers", async () => {
  const [a, b, c, d] = [1, 2, 3, 4].map(madeId);
  const graph = graphOf([
    { commitId: b, parentIds: [a] },
    { commitId: c, parentIds: [b, d] },
    { commitId: d, parentIds: [] },
  ]);
  assert.deepEqual([...graph.outside()], [a]);
  await graph.number();
  const rows = rowsOf(graph);
  assert.deepEqual([b, c, d].map((id) => rows.get(id)!.generation), [null, null, 1]);
});

Deno.test("CommitGraph numbers the commits of the repo that waited for one of the pack", async () => {
  const [root, missing, cut, other] = [1, 2, 3, 4].map(madeId);
  const graph = graphOf([{ commitId: missing, parentIds: [root] }]);
  graph.addCut({ commitId: cut, parentIds: [missing], timeMs: 70 });
  graph.addCut({ commitId: other, parentIds: [madeId("nobody has this")] });
  graph.addKnown({ commitId: root, generation: 5, depth: 3, jumpId: madeId(0), sortTime: 80 });
  await graph.number();
  const rows = rowsOf(graph);
  assert.deepEqual(rows.get(missing)!.generation, 6);
  assert.deepEqual(rows.get(cut), {
    commit_id: cut,
    parent_ids: [missing],
    generation: 7,
    depth: 5,
    jump_id: missing,
    sort_time: 82,
  });
  assert.equal(rows.has(other), false, "unchanged rows are not written again");
  assert.deepEqual(graph.tips(9), [missing]);
});
