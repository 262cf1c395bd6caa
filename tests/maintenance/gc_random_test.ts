import assert from "node:assert/strict";
import { DatabaseError } from "../../src/errors.ts";
import { RandomPushes } from "../support/history/random_pushes.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createFixture } from "../support/process/fixture.ts";

Deno.test("gc beside random pushes takes nothing that is reached, and in the end all else", async (t) => {
  for (const seed of [1, 2]) {
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
