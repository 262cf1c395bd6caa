import assert from "node:assert/strict";
import { walkDifference } from "../../src/history/walk_difference.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createFixture } from "../support/process/fixture.ts";

/** The same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
}

/** Branches and merges of any kind, with several roots. */
function randomHistory(random: (below: number) => number, commits: number): MadeHistory {
  const history = new MadeHistory(), ids: string[] = [];
  for (let i = 0; i < commits; i++) {
    const recent = () => ids[Math.max(0, ids.length - 1 - random(12))];
    const parents = ids.length === 0 || random(30) === 0
      ? []
      : random(4) === 0
      ? [...new Set([recent(), recent()])]
      : [recent()];
    ids.push(history.commit({ parents }));
  }
  return history;
}

Deno.test("walkDifference() finds what is reached from one side and not from the other", async (t) => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  for (const seed of [1, 2, 3]) {
    const random = randomOf(seed), history = randomHistory(random, 300);
    await indexHistory(fixture, history.pack());
    const ids = [...history.commits.keys()];
    for (let round = 0; round < 20; round++) {
      const some = (count: number) => Array.from({ length: count }, () => ids[random(ids.length)]);
      const want = some(1 + random(3)), have = [...some(random(4)), `sha256:${"0".repeat(64)}`];
      const there = new Set(
        have.filter((id) => history.commits.has(id)).flatMap((id) => history.reachable(id)),
      );
      const missing = new Set(
        want.flatMap((id) => history.reachable(id)).filter((id) => !there.has(id)),
      );
      await t.step(`seed ${seed}, round ${round}: ${missing.size} commits`, async () => {
        const seen: string[] = [], edges = new Set<string>();
        for await (const page of walkDifference({ db, repoId: repo.repoId, want, have })) {
          for (const { commitId } of page.commits) seen.push(commitId);
          for (const edge of page.edges) edges.add(edge);
        }
        assert.deepEqual([...seen].sort(), [...missing].sort());
        const at = new Map(seen.map((id, i) => [id, i]));
        for (const [id, i] of at) {
          for (const parent of history.commits.get(id)!.parentIds) {
            if (at.has(parent)) assert(at.get(parent)! > i, "a child comes before its parent");
            else assert(edges.has(parent), "what is built upon is an edge");
          }
        }
        for (const edge of edges) assert(there.has(edge));
      });
    }
  }
});

Deno.test("walkDifference() follows no more than 1,000 names of `have`", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture, history = new MadeHistory();
  const root = history.commit(), base = history.commit(), top = history.commit();
  const side = history.commit({ parents: [root] });
  await indexHistory(fixture, history.pack());
  const strangers = Array.from(
    { length: 1_001 },
    (_, i) => `sha256:${String(i).padStart(64, "0")}`,
  );
  const walk = async (have: string[]) => {
    const found: string[] = [];
    for await (
      const { commits } of walkDifference({ db, repoId: repo.repoId, want: [side], have })
    ) {
      for (const { commitId } of commits) found.push(commitId);
    }
    return found;
  };
  assert.deepEqual(await walk([top]), [side]);
  assert.deepEqual(await walk([top, ...strangers]), [side, root]);
  assert.deepEqual(await walk([root, base, top, ...strangers]), [side]);
});

Deno.test("walkDifference() refuses to send what is not all there", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture, history = new MadeHistory();
  history.commit();
  const top = history.commit();
  await indexHistory(fixture, history.pack());
  const walk = async (want: string[]) => {
    for await (const _ of walkDifference({ db, repoId: repo.repoId, want, have: [] }));
  };
  const unknown = `sha256:${"0".repeat(64)}`;
  await assert.rejects(
    () => walk([top, unknown]),
    /Cannot send commit sha256:0+: .* does not have/,
  );
  await db.sql`update musehub_commit_graph set generation = null where commit_id = ${top}`;
  await assert.rejects(() => walk([top]), { code: "history-not-found" });
});
