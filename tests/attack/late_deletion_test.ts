import assert from "node:assert/strict";
import type { Database } from "../../src/db/client/database.ts";
import { createRepo, deleteRepo } from "../../src/db/repos.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { startApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

/** Deletes a repo between the last check of a push and its publish. */
function deletingAtPublish(db: Database, repoId: string): Disposable {
  const query = db.query.bind(db);
  const deleting: Database["query"] = (action, options) => {
    const run = query<never>(action, options);
    if (!action.startsWith("publish ")) return run;
    return async (text, ...values) => {
      await deleteRepo(db, { repoId });
      return await run(text, ...values);
    };
  };
  Object.assign(db, { query: deleting });
  return { [Symbol.dispose]: () => void Object.assign(db, { query }) };
}

function pack(objects: number, prefix: string): Uint8Array<ArrayBuffer> {
  const contents = Array.from({ length: objects }, (_, i) => `${prefix} ${i}`);
  const parts = contents.map((text) => object({ content: new TextEncoder().encode(text) }));
  return new Uint8Array(buildMpack({ objects: parts }));
}

Deno.test("a push whose repo is deleted at the last moment is refused", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, config, store } = api.fixture, me = await api.identity("me");
  // In memory, and staged: that has more than one batch.
  for (const objects of [1, 6_000]) {
    await t.step(`a push of ${objects}`, async () => {
      const { repo } = await createRepo(db, { owner: "me", slug: `push${objects}` });
      const body = pack(objects, "pushed"), headers = { "x-mpack-key": mpackKey(body) };
      using _deleting = deletingAtPublish(db, repo.repoId);
      const { status, value } = await me.send(`/me/push${objects}/push/stream`, { body, headers });
      assert.deepEqual([status, value.code], [404, "repo-not-found"]);
    });
    await t.step(`a job of ${objects}`, async () => {
      const { repo: { repoId } } = await createRepo(db, { owner: "me", slug: `job${objects}` });
      const body = pack(objects, "queued"), key = mpackKey(body);
      await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([body]), {
        sizeBytes: body.length,
      });
      using _deleting = deletingAtPublish(db, repoId);
      await assert.rejects(
        indexMpack({ db, store, repoId, mpackKey: key, config: config() }),
        { code: "repo-not-found" },
      );
      const [{ status }] = await db.sql`
        select status from musehub_background_jobs where repo_id = ${repoId}`;
      assert.equal(status, "failed");
    });
  }
  assert.equal((await db.sql`select from musehub_mpacks`).length, 0);
  assert.equal((await db.sql`select from musehub_object_refs`).length, 0);
});
