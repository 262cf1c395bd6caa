import assert from "node:assert/strict";
import type { Database } from "../../src/db/client/database.ts";
import { DatabaseError } from "../../src/errors.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { RandomPushes } from "../support/history/random_pushes.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createFixture } from "../support/process/fixture.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

Deno.test("gc beside random pushes takes nothing that is reached, and in the end all else", async (t) => {
  for (const seed of [1]) {
    await t.step(`seed ${seed}`, async () => {
      await using fixture = await createFixture();
      const pushes = new RandomPushes(fixture, seed);
      for (let round = 0; round < 6; round++) await pushes.round();
      await pushes.age();
      await pushes.gc();
      await pushes.check();
      await pushes.checkNothingElse();
    });
  }
});

Deno.test("a publish of an attempt that began while gc held its repo is refused, and starts over", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture, history = new MadeHistory();
  history.commit({ files: { a: "1" } });
  const pack = history.pack();
  await db.sql`insert into mpackd_collections (repo_id, run_id, expires_at)
    values (${repoId}, 'r', now() + interval '1 minute')`;
  const isHeld = (error: unknown) =>
    error instanceof DatabaseError && error.retryable && /gc is deleting/.test(error.message);
  await assert.rejects(indexHistory(fixture, pack, { branch: "main" }), isHeld);
  await db.sql`update mpackd_collections set ended_at = now() + interval '1 hour'`;
  await assert.rejects(indexHistory(fixture, pack, { branch: "main" }), isHeld);
  await db.sql`update mpackd_collections set ended_at = now()`;
  const { branch } = await indexHistory(fixture, pack, { branch: "main" });
  assert.equal(branch?.moved, true);
  const isPush = async () => (await db.sql`select is_push from musehub_mpacks`)[0].is_push;
  assert.equal(await isPush(), true);
  // Indexed once more without a branch, it is needed without one.
  await indexHistory(fixture, pack);
  assert.equal(await isPush(), false);
});

Deno.test("a push that has counted on a commit which gc deletes before its publish does not dangle", async () => {
  await using fixture = await createFixture();
  const { db, store } = fixture, history = new MadeHistory();
  const root = history.commit({ files: { a: "1" } });
  const dropped = history.commit({ files: { a: "2" } });
  const other = history.commit({ parents: [root], files: { a: "3" } });
  await indexHistory(fixture, history.pack({ commits: [root, dropped] }), { branch: "main" });
  await indexHistory(fixture, history.pack({ commits: [other] }), {
    branch: "main",
    force: true,
    strict: true,
  });
  const then = new Date(Date.now() - 2 * DAY_MS);
  await db.sql`update musehub_commit_refs set created_at = ${then}`;
  const collect = () =>
    collectGarbage({
      db,
      store,
      config: fixture.config(),
      graceMs: DAY_MS,
      signal: new AbortController().signal,
    });
  // It builds upon what the force push has dropped, and all checks find that.
  const child = history.commit({ parents: [dropped], files: { a: "1" } });
  let collected = 0;
  const interrupted: Database = {
    ...db,
    async intercept(query, action) {
      if (action === "publish a pack" && collected === 0) {
        // gc does not begin beside a running job; this one began after gc had looked.
        await db.sql`update musehub_background_jobs set status = 'pending'
          where status = 'running'`;
        collected = (await collect()).commits;
        await db.sql`update musehub_background_jobs set status = 'running'
          where status = 'pending'`;
      }
      return await query;
    },
  };
  const pack = history.pack({ commits: [child], objects: [] });
  const payload = { branch: "side", strict: true };
  const push = (through: Database) =>
    indexHistory(
      {
        ...fixture,
        db: through,
        options: (key) => ({
          ...fixture.options(key),
          db: through,
        }),
      },
      pack,
      payload,
    );
  await assert.rejects(push(interrupted), /gc is deleting history/);
  assert.equal(collected, 1);
  await assert.rejects(push(db), { code: "parent-missing" });
  const branches = await db.sql`select name from musehub_branches`;
  assert.deepEqual(branches.map(({ name }) => name), ["main"]);
});
