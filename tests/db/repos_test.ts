import assert from "node:assert/strict";
import { createRepo, findRepo, parseRepoName, resolveRepo } from "../../src/db/repos.ts";
import { ConfigError } from "../../src/errors.ts";
import { openTestDatabase } from "../support/postgres/database.ts";

Deno.test("parseRepoName() takes OWNER/SLUG and nothing else", () => {
  assert.deepEqual(parseRepoName("ann/my.song-1"), { owner: "ann", slug: "my.song-1" });
  for (const text of ["", "ann", "ann/", "/song", "a/b/c", "a/..", "../a", "a b/c", "a/b\0"]) {
    assert.throws(() => parseRepoName(text), ConfigError, text);
  }
});

Deno.test("createRepo() makes a repo once, however many ask", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  const name = { owner: "ann", slug: "song" };
  assert.equal(await findRepo(db, name), undefined);
  const made = await Promise.all([1, 2, 3, 4].map(() => createRepo(db, name)));
  assert.equal(made.filter(({ created }) => created).length, 1);
  assert.equal(new Set(made.map(({ repo }) => repo.repoId)).size, 1);
  assert.deepEqual(await findRepo(db, name), made[0].repo);
});

Deno.test("resolveRepo() finds a repo, or says that there is none", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  const name = { owner: "ann", slug: "song" };
  await assert.rejects(resolveRepo(db, name), (error) => {
    assert(error instanceof ConfigError);
    assert.equal(error.code, "repo-not-found");
    return true;
  });
  const { repo: { repoId } } = await createRepo(db, name);
  assert.equal((await resolveRepo(db, name)).repoId, repoId);
  await db.sql`update musehub_repos set deleted_at = now()`;
  await assert.rejects(createRepo(db, name), /deleted repo has that name/);
});
