import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { createRepo } from "../../../src/db/repos.ts";
import { InvalidMpackError } from "../../../src/errors.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { IndexPayload } from "../../../src/jobs/index/payload.ts";
import type { IndexResult } from "../../../src/jobs/index/result.ts";
import { MadeHistory, type MadePack } from "../../support/history/make_history.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";

type Asked = Omit<IndexPayload, "mpack_key">;

async function push(
  fixture: TestFixture,
  pack: MadePack,
  payload: Asked = { branch: "main" },
): Promise<IndexResult> {
  const key = await fixture.put(pack.bytes);
  return await indexMpack({ ...fixture.options(key), payload });
}

async function refused(fixture: TestFixture, pack: MadePack, payload: Asked): Promise<string> {
  const before = await fixture.dump();
  let code = "";
  await assert.rejects(push(fixture, pack, { ...payload, strict: true }), (error) => {
    assert.ok(error instanceof InvalidMpackError, String(error));
    assert.ok(error.message.length <= 400, error.message);
    code = error.code;
    return true;
  });
  assert.equal(await fixture.dump(), before, "a strict push that is refused leaves nothing");
  assert.equal(await fixture.staged(), 0);
  return code;
}

async function heads(fixture: TestFixture): Promise<Record<string, string>> {
  const rows = await fixture.db.sql`select name, head_commit_id from musehub_branches`;
  return Object.fromEntries(rows.map((row) => [row.name, row.head_commit_id]));
}

/** Two commits on a line, and two that follow both ways. */
function forked() {
  const history = new MadeHistory();
  const root = history.commit({ files: { a: "1" } });
  const base = history.commit({ files: { a: "1", b: "2" } });
  const left = history.commit({ files: { a: "l" } });
  const right = history.commit({ parents: [base], files: { a: "r" } });
  const merge = history.commit({ parents: [right, left], files: { a: "m" } });
  return { history, root, base, left, right, merge };
}

Deno.test("a job moves its branch forward, over both parents, and says so", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left, right, merge } = forked();
  const first = await push(fixture, history.pack({ commits: [root, base] }));
  assert.deepEqual(first.branch, { name: "main", head: base, moved: true });
  assert.deepEqual([first.commits_written, first.snapshots_written], [2, 2]);
  const second = await push(fixture, history.pack({ commits: [left] }));
  assert.deepEqual(second.branch, { name: "main", head: left, moved: true });
  const third = await push(fixture, history.pack({ commits: [merge, right] }));
  assert.deepEqual(third.branch, { name: "main", head: merge, moved: true });
  const before = await fixture.dump();
  const options = fixture.options(history.pack({ commits: [merge, right] }).mpackKey);
  const again = await indexMpack({ ...options, payload: { branch: "main" } });
  assert.deepEqual(again.branch, { name: "main", head: merge, moved: false });
  assert.deepEqual([again.commits_written, again.snapshots_written], [0, 0]);
  assert.equal(await fixture.dump(), before);
  const [{ generation }] = await fixture.db
    .sql`select generation from musehub_commit_graph where commit_id = ${merge}`;
  assert.equal(generation, 4);
});

Deno.test("a branch that has diverged stays, unless it is forced", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left, right } = forked();
  await push(fixture, history.pack({ commits: [root, base, left] }));
  const pack = history.pack({ commits: [right] });
  assert.equal(await refused(fixture, pack, { branch: "main" }), "diverged");
  assert.equal(await refused(fixture, pack, { branch: "main", head: left }), "tips");
  const { branch, commits_written } = await push(fixture, pack);
  assert.equal(commits_written, 1, "a job that is not strict records what it can");
  assert.equal(branch?.reason, "diverged");
  assert.deepEqual([branch.head, branch.moved], [left, false]);
  assert.deepEqual(await heads(fixture), { main: left });
  const forced = await push(fixture, pack, { branch: "main", force: true, strict: true });
  assert.deepEqual(forced.branch, { name: "main", head: right, moved: true });
  const back = await push(fixture, history.pack({ commits: [root, base] }));
  assert.equal(back.branch?.reason, "diverged", "an older head is no way forward");
});

Deno.test("a pack that is not connected moves no branch, and a strict one is refused", async (t) => {
  await using fixture = await createFixture();
  const { history, root, base, left, right } = forked();
  const other = await createRepo(fixture.db, { owner: "me", slug: "other" });
  const key = history.pack({ commits: [root] });
  const elsewhere = `mpacks/${other.repo.repoId}/${key.mpackKey}`;
  await fixture.store.put(elsewhere, ReadableStream.from([key.bytes]), {
    sizeBytes: key.bytes.length,
  });
  await indexMpack({ ...fixture.options(key.mpackKey), repoId: other.repo.repoId });
  const ghostly = history.pack({ commits: [root], objects: [] });
  const cases: [string, MadePack, Asked, string][] = [
    ["a parent nobody has", history.pack({ commits: [base] }), {}, "parent-missing"],
    [
      "a parent that another repo has",
      history.pack({ commits: [base], objects: history.objectsOf([base]) }),
      {},
      "parent-missing",
    ],
    ["two tips", history.pack({ commits: [root, base, left, right] }), {}, "tips"],
    ["no commit", history.pack({ commits: [], objects: history.objectsOf([root]) }), {}, "tips"],
    ["an object nobody has", ghostly, {}, "ghost-objects"],
    ["a branch's name with dots", history.pack({ commits: [root] }), {
      branch: "a..b",
    }, "bad-branch-name"],
    ["a head nobody has", history.pack({ commits: [], objects: history.objectsOf([root]) }), {
      head: left,
    }, "tips"],
  ];
  for (const [title, pack, payload, code] of cases) {
    await t.step(title, async () => {
      assert.equal(await refused(fixture, pack, { branch: "main", ...payload }), code);
      const { branch } = await push(fixture, pack, { branch: "main", ...payload });
      assert.deepEqual([branch?.moved, branch?.reason], [false, code]);
      assert.ok(branch!.message!.length <= 400);
      assert.deepEqual(await heads(fixture), {});
      await fixture.empty();
    });
  }
});

Deno.test("commits that waited for an ancestor are connected when it comes", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left } = forked();
  const early = await push(fixture, history.pack({ commits: [left] }));
  assert.equal(early.branch?.reason, "parent-missing");
  const cut = await push(fixture, history.pack({ commits: [] }), { branch: "x", head: left });
  assert.equal(cut.branch?.reason, "tips", "a head must have all its ancestors");
  await push(fixture, history.pack({ commits: [root, base] }));
  const rows = await fixture.db.sql`select commit_id, generation from musehub_commit_graph
    order by generation`;
  assert.deepEqual(rows.map((row) => [row.commit_id, row.generation]), [
    [root, 1],
    [base, 2],
    [left, 3],
  ]);
  // Without its prefix, as another client may name it.
  const named = await push(fixture, history.pack({ commits: [] }), {
    branch: "main",
    head: left.slice("sha256:".length),
  });
  assert.deepEqual(named.branch, { name: "main", head: left, moved: true });
});

Deno.test("a commit whose parent was published beside it is connected by the next push", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left, right } = forked();
  const key = await fixture.put(history.pack({ commits: [left] }).bytes);
  let isFirst = true;
  const db: Database = {
    ...fixture.db,
    async intercept(query, action) {
      if (action === "publish a pack" && isFirst) {
        isFirst = false;
        await push(fixture, history.pack({ commits: [root, base] }), {});
      }
      return await query;
    },
  };
  await indexMpack({ ...fixture.options(key), db, payload: {} });
  const generation = async () => {
    const [row] = await fixture.db.sql`select generation from musehub_commit_graph
      where commit_id = ${left}`;
    return row.generation;
  };
  assert.equal(await generation(), null, "its check has not seen the parent");
  await push(fixture, history.pack({ commits: [right] }), {});
  assert.equal(await generation(), 3);
});

Deno.test("a commit upon one that waits for an ancestor moves no branch", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left, right, merge } = forked();
  // The repo has `left` and `right`, but not what they are built upon.
  await push(fixture, history.pack({ commits: [left, right] }), {});
  const pack = history.pack({ commits: [merge] });
  assert.equal(await refused(fixture, pack, { branch: "main" }), "parent-missing");
  const { branch } = await push(fixture, pack);
  assert.deepEqual([branch?.moved, branch?.reason], [false, "parent-missing"]);
  assert.deepEqual(await heads(fixture), {});
  await push(fixture, history.pack({ commits: [root, base] }), {});
  const { branch: moved } = await push(fixture, pack);
  assert.deepEqual(moved, { name: "main", head: merge, moved: true });
});

Deno.test("a job without a branch records history and moves nothing", async () => {
  await using fixture = await createFixture();
  const { history, root } = forked();
  const pack = history.pack({ commits: [root] });
  const others = { branch: "", head: null, force: "yes", strict: 1 } as unknown as Asked;
  for (const payload of [{}, others]) {
    const result = await push(fixture, pack, payload);
    assert.equal(result.branch, undefined);
    assert.deepEqual(await heads(fixture), {});
  }
  assert.equal((await fixture.db.sql`select from musehub_commit_refs`).length, 1);
});

Deno.test("of two pushes at once one moves the branch, and the other has diverged", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left, right } = forked();
  await push(fixture, history.pack({ commits: [root, base] }));
  const packs = [left, right].map((id) => history.pack({ commits: [id] }));
  const strict = { branch: "main", strict: true };
  const ends = await Promise.allSettled(packs.map((pack) => push(fixture, pack, strict)));
  const lost = ends.find(({ status }) => status === "rejected") as PromiseRejectedResult;
  assert.equal(lost.reason.code, "diverged");
  const won = ends.findIndex(({ status }) => status === "fulfilled");
  assert.deepEqual(await heads(fixture), { main: [left, right][won] });
  assert.equal((await fixture.db.sql`select from musehub_commit_refs`).length, 3);
});

Deno.test("a push looks again if the branch moves between its check and its publish", async () => {
  await using fixture = await createFixture();
  const { history, root, base, left } = forked();
  await push(fixture, history.pack({ commits: [root] }));
  const pack = history.pack({ commits: [base, left] }), key = await fixture.put(pack.bytes);
  const moves = [base, left];
  const db: Database = {
    ...fixture.db,
    async intercept(query, action) {
      const to = action === "publish a pack" ? moves.shift() : undefined;
      if (to !== undefined) {
        await fixture.db.sql`update musehub_branches set head_commit_id = ${to}`;
      }
      return await query;
    },
  };
  const payload = { branch: "main", strict: true };
  const result = await indexMpack({ ...fixture.options(key), db, payload });
  assert.deepEqual(result.branch, { name: "main", head: left, moved: false });
  assert.equal(moves.length, 0, "the branch moved twice meanwhile");
});
