import assert from "node:assert/strict";
import { resolveCommit } from "../../src/history/resolve_commit.ts";
import { createFixture } from "../support/process/fixture.ts";

Deno.test("resolveCommit() takes an id, a branch, a tag, or the beginning of an id", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const id = (digits: string, prefix = "sha256:") => prefix + digits.padEnd(64, "0");
  const ids = [id("abcd1"), id("abcd2"), id("abce"), id("feed", "")];
  for (const commitId of ids) {
    await db
      .sql`insert into musehub_commit_refs (repo_id, commit_id) values (${repoId}, ${commitId})`;
  }
  await db.sql`insert into musehub_commit_refs (repo_id, commit_id)
    values ('another', ${id("abcd3")}), ('another', ${id("0123")})`;
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', ${ids[0]}), (${repoId}, 'abce', ${ids[1]}),
      (${repoId}, ${ids[2]}, ${ids[0]}), (${repoId}, ${`sha256:${ids[3]}`}, ${ids[0]})`;
  await db.sql`insert into musehub_tags (repo_id, tag, commit_id)
    values (${repoId}, 'v1', ${ids[2]}), (${repoId}, 'main', ${ids[2]})`;
  const resolve = (name: string) => resolveCommit(db, repoId, name);
  const found: [string, string][] = [
    [ids[0], ids[0]],
    ["main", ids[0]],
    ["abce", ids[1]],
    // A branch cannot stand for another commit's id.
    [ids[2], ids[2]],
    ["v1", ids[2]],
    ["abcd1", ids[0]],
    ["sha256:abce0", ids[2]],
    ["feed", ids[3]],
    // Whichever spelling was pushed.
    ["sha256:feed", ids[3]],
    [`sha256:${ids[3]}`, ids[3]],
  ];
  for (const [name, commitId] of found) assert.equal(await resolve(name), commitId, name);
  const code = "history-not-found";
  await assert.rejects(() => resolve("abcd"), {
    code,
    message: /Cannot tell which commit "abcd" is/,
  });
  for (
    const name of ["abc", "0123", "nothing", "", "a\0b", "\ud800", "g".repeat(9999)]
  ) {
    await assert.rejects(() => resolve(name), {
      code,
      message: /^Cannot find a commit, branch or tag/,
    });
  }
});
