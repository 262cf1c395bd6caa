import assert from "node:assert/strict";
import { createFixture } from "../../support/process/fixture.ts";

Deno.test("a commit is looked up by its key, whatever statistics say of its repo", async () => {
  await using fixture = await createFixture();
  const { sql } = fixture.db;
  const add = (repoId: string) =>
    sql`insert into musehub_commit_graph (repo_id, commit_id, parent_ids, generation)
      select ${repoId}, md5(i::text), array[md5((i - 1)::text)], i from generate_series(1, 5000) i`;
  await add("known");
  await sql`analyze musehub_commit_graph`;
  // To the planner this one has no rows.
  await add("new");
  const [plan] = await sql`explain (format json)
    select g.generation from unnest(array[md5('1'), md5('2')]) as asked(commit_id)
    cross join lateral (
      select generation from musehub_commit_graph
      where repo_id = 'new' and commit_id = asked.commit_id offset 0
    ) as g`;
  const text = JSON.stringify(plan);
  assert.deepEqual(text.match(/"Index Name":"(\w+)"/)?.[1], "musehub_commit_graph_pkey", text);
});
