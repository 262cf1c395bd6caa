import assert from "node:assert/strict";
import { walkCommits } from "../../src/history/walk_commits.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { makeGraph, seeded } from "../support/history/random_graph.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

async function walk(
  { db, repo }: TestFixture,
  from: string | readonly string[],
  pageCommits?: number,
) {
  const pages = await Array.fromAsync(walkCommits({ db, repoId: repo.repoId, from, pageCommits }));
  return { pages, commits: pages.flatMap(({ commits }) => commits) };
}

/** Two lines that grow in turn and are merged now and then. */
function sample(): { history: MadeHistory; head: string } {
  const history = new MadeHistory();
  let main = history.commit({ parents: [] }), side = main;
  for (let i = 0; i < 60; i++) {
    if (i % 3 === 0) side = history.commit({ parents: [side] });
    else main = history.commit({ parents: i % 10 === 9 ? [main, side] : [main] });
    if (i % 20 === 19) side = main;
  }
  return { history, head: main };
}

Deno.test("walkCommits() lists each ancestor once, children before parents, in pages", async (t) => {
  await using fixture = await createFixture();
  const { history, head } = sample();
  history.commit({ parents: [] });
  await indexHistory(fixture, history.pack());
  const all = await walk(fixture, head);
  const ids = all.commits.map(({ commitId }) => commitId);
  assert.deepEqual([...ids].sort(), history.reachable(head).sort());
  const at = new Map(ids.map((id, i) => [id, i]));
  for (const { commitId, parentIds } of all.commits) {
    for (const parent of parentIds) assert(at.get(parent)! > at.get(commitId)!);
  }
  const { commitId, snapshotId, author, committedAt, message, parentIds } = history.commits.get(
    head,
  )!;
  assert.deepEqual(all.commits[0], {
    commitId,
    snapshotId,
    author,
    committedAt,
    message,
    parentIds,
  });
  assert.deepEqual(all.pages.at(-1)!.next, []);

  await t.step("a page goes on where the one before ended, without its state", async () => {
    for (const pageCommits of [1, 7]) {
      const found: string[] = [];
      for (let from: readonly string[] = [head]; from.length > 0;) {
        const { value } = await walkCommits({
          db: fixture.db,
          repoId: fixture.repo.repoId,
          from,
          pageCommits,
        }).next();
        for (const { commitId } of value!.commits) found.push(commitId);
        from = value!.next;
      }
      assert.deepEqual(found, ids);
    }
  });
  await t.step("a commit that the repo does not have", async () => {
    await assert.rejects(() => walk(fixture, `sha256:${"0".repeat(64)}`), {
      code: "history-not-found",
    });
  });
  await t.step("commits with a missing ancestor, each once", async () => {
    await fixture.db.sql`update musehub_commit_graph set generation = null`;
    await fixture.db.sql`delete from musehub_commit_graph where commit_id = ${ids.at(-1)!}`;
    const { commits } = await walk(fixture, head);
    const found = commits.map(({ commitId }) => commitId);
    assert.deepEqual([...found].sort(), ids.slice(0, -1).sort());
  });
});

/** Dates as clocks give them: right, equal, years off, and no dates at all. */
function dateOf(n: number, random: () => number): string {
  const year = random() < 0.1 ? 1971 + Math.floor(random() * 100) : 2026;
  if (random() < 0.05) return "yesterday";
  return `${year}-11-01T00:${String(Math.floor(n / 3) % 60).padStart(2, "0")}:00.${
    n % 2
  }23456+00:00`;
}

Deno.test("walkCommits() lists by date, and parents after children whatever the clocks were", async (t) => {
  await using fixture = await createFixture();
  for (let seed = 1; seed <= 6; seed++) {
    await t.step(`seed ${seed}`, async () => {
      await fixture.empty();
      const random = seeded(seed), history = new MadeHistory(), ids = new Map<string, string>();
      for (const [n, { commitId, parentIds }] of makeGraph(90, random).entries()) {
        const parents = parentIds.map((id) => ids.get(id)!), at = dateOf(n, random);
        ids.set(commitId, history.commit({ parents, at, files: {} }));
      }
      const all = [...history.commits.values()], sortTimes = new Map<string, number>();
      for (const { commitId, parentIds, committedAt } of all) {
        const own = Date.parse(committedAt) || 0;
        const after = parentIds.map((id) => sortTimes.get(id)! + 1);
        sortTimes.set(commitId, Math.max(own, ...after));
      }
      // The middle comes last: what builds upon it waits for it.
      for (const [from, to] of [[60, 90], [0, 30], [30, 60]]) {
        const commits = all.slice(from, to).map(({ commitId }) => commitId);
        await indexHistory(fixture, history.pack({ commits }));
      }
      const parents = new Set(all.flatMap(({ parentIds }) => parentIds));
      const tips = all.map(({ commitId }) => commitId).filter((id) => !parents.has(id));
      const { commits } = await walk(fixture, tips, 8);
      const expected = all.map(({ commitId }) => commitId).sort((one, other) =>
        sortTimes.get(other)! - sortTimes.get(one)! || (one < other ? -1 : 1)
      );
      assert.deepEqual(commits.map(({ commitId }) => commitId), expected);
    });
  }
});
