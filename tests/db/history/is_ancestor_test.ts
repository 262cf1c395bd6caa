import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { isAncestor } from "../../../src/db/history/graph.ts";
import { CommitGraph } from "../../../src/jobs/history/commit_graph.ts";
import {
  ancestorsOf,
  type MadeCommit,
  madeId,
  makeGraph,
  seeded,
} from "../../support/history/random_graph.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";

async function load(db: Database, repoId: string, commits: readonly MadeCommit[]): Promise<void> {
  const graph = new CommitGraph();
  for (const commit of commits) graph.addCommit({ ...commit, offsetBytes: 0 });
  await graph.number();
  for (const rows of graph.rows(5_000)) {
    await db.sql`
      insert into musehub_commit_graph (repo_id, commit_id, parent_ids, generation, depth, jump_id)
      select ${repoId}, r.* from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
        as r(commit_id text, parent_ids text[], generation integer, depth integer, jump_id text)`;
  }
}

Deno.test("isAncestor() says of random histories what their definition says", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  for (let seed = 1; seed <= 6; seed++) {
    const random = seeded(seed), repoId = `repo ${seed}`, name = `${seed} `;
    const commits = makeGraph(seed === 1 ? 1_500 : 150, random, { name });
    await load(db, repoId, commits);
    const ancestors = ancestorsOf(commits);
    const any = () => commits[Math.floor(random() * commits.length)].commitId;
    for (let n = 0; n < 80; n++) {
      const ancestorId = any(), commitIds = random() < 0.7 ? [any()] : [any(), any(), any()];
      assert.equal(
        await isAncestor(db, { repoId, ancestorId, commitIds }),
        commitIds.some((id) => ancestors.get(id)!.has(ancestorId)),
        `seed ${seed}: ${ancestorId} of ${commitIds}`,
      );
    }
  }
});

Deno.test("isAncestor() knows the commits of one repo only, and only connected ones", async () => {
  await using test = await openTestDatabase();
  const { db } = test, [a, b, cut] = [madeId(1), madeId(2), madeId(3)];
  await load(db, "mine", [{ commitId: a, parentIds: [] }, { commitId: b, parentIds: [a] }]);
  await db.sql`insert into musehub_commit_graph (repo_id, commit_id, parent_ids)
    values ('mine', ${cut}, array[${b}, ${madeId("missing")}])`;
  const ask = (repoId: string, ancestorId: string, ...commitIds: string[]) =>
    isAncestor(db, { repoId, ancestorId, commitIds });
  assert.equal(await ask("mine", a, b), true);
  assert.equal(await ask("mine", b, a), false);
  assert.equal(await ask("mine", a, cut), false);
  assert.equal(await ask("mine", madeId("missing"), cut), false);
  assert.equal(await ask("other", a, b), false);
  assert.equal(await ask("mine", a), false);
});

Deno.test("isAncestor() reads a small part of a long history", async (t) => {
  await using test = await openTestDatabase({ maxConnections: 1 });
  const { db } = test, length = 3_000;
  const line = Array.from({ length }, (_, n) => ({
    commitId: madeId(n),
    parentIds: n === 0 ? [] : [madeId(n - 1)],
  }));
  const side = { commitId: madeId("side"), parentIds: [madeId(1_000)] };
  const merged = { commitId: madeId("merged"), parentIds: [madeId(2_000)] };
  const merge = { commitId: madeId("merge"), parentIds: [madeId(length - 1), merged.commitId] };
  await load(db, "r", [...line, side, merged, merge]);
  const rowsRead = async () => {
    await db.sql`select pg_stat_force_next_flush()`;
    const [{ rows }] = await db.sql`
      select (seq_tup_read + idx_tup_fetch)::int as rows from pg_stat_user_tables
      where relid = 'musehub_commit_graph'::regclass`;
    return rows as number;
  };
  const cases: [string, string, boolean][] = [
    ["far down the line", madeId(3), true],
    ["merged", merged.commitId, true],
    ["never merged", side.commitId, false],
  ];
  for (const [title, ancestorId, expected] of cases) {
    await t.step(title, async () => {
      const before = await rowsRead();
      const question = { repoId: "r", ancestorId, commitIds: [merge.commitId] };
      assert.equal(await isAncestor(db, question), expected);
      const rows = await rowsRead() - before;
      assert(rows > 0 && rows < 400, `${rows} rows`);
    });
  }
});
