import assert from "node:assert/strict";
import { startApi } from "../../support/http/api.ts";
import { MadeHistory } from "../../support/history/make_history.ts";

/** What the fence of a move raises. */
const FENCE = `create function fence() returns trigger language plpgsql as
  $$ begin raise exception using errcode = 'MPS01'; end $$`;

Deno.test("a push that meets the fence of a move waits, and goes where the repo is then", async (t) => {
  await using api = await startApi({ servers: [undefined], env: { MPACK_HTTP_WAIT_MS: "5000" } });
  const { catalog, shards: [shard] } = api.sharded!, ann = await api.identity("ann");
  const { value } = await ann.send("/api/repos", { json: { owner: "ann", name: "song" } });
  await catalog.sql`update musehub_repos set shard = 's1' where repo_id = ${value.repoId}`;
  await shard.sql.unsafe(FENCE);
  const history = new MadeHistory();
  // What its first statement writes, what its last one writes, and what a short request writes.
  for (const table of ["musehub_background_jobs", "musehub_mpacks", "musehub_tags"]) {
    await t.step(table, async () => {
      await shard.sql.unsafe(`create trigger fence before insert on ${table}
        for each statement execute function fence()`);
      const commitId = history.commit({ files: { [table]: table } });
      const { bytes, mpackKey } = history.pack({ commits: [commitId] });
      const isTag = table === "musehub_tags";
      let hasEnded = false;
      const sending = isTag
        ? ann.send("/ann/song/tags", {
          json: { tags: [{ tag: "v1", commit_id: [...history.commits.keys()][0] }] },
        })
        : ann.send("/ann/song/push/stream", {
          body: new Uint8Array(bytes),
          headers: { "x-mpack-key": mpackKey, "content-type": "application/octet-stream" },
        });
      const ended = sending.finally(() => hasEnded = true);
      await new Promise((resolve) => setTimeout(resolve, 600));
      assert(!hasEnded);
      await shard.sql.unsafe(`drop trigger fence on ${table}`);
      const { status, value } = await ended;
      assert.equal(status, 200, JSON.stringify(value));
      if (isTag) return;
      const { status: read } = await ann.send(`/ann/song/commits/${commitId}`);
      assert.equal(read, 200);
      const packs = await shard.sql`select from musehub_mpacks where mpack_key = ${mpackKey}`;
      assert.equal(packs.length, 1);
    });
  }
  await t.step("a move that takes longer is 503, and a retry is taken", async () => {
    await shard.sql.unsafe(`create trigger fence before insert on musehub_mpacks
      for each statement execute function fence()`);
    const commitId = history.commit({ files: { last: "last" } });
    const { bytes, mpackKey } = history.pack({ commits: [commitId] });
    const push = () =>
      ann.send("/ann/song/push/stream", {
        body: new Uint8Array(bytes),
        headers: { "x-mpack-key": mpackKey, "content-type": "application/octet-stream" },
      });
    const { status, value } = await push();
    assert.deepEqual([status, value.code], [503, "shard-moved"]);
    await shard.sql.unsafe("drop trigger fence on musehub_mpacks");
    assert.equal((await push()).status, 200);
  });
});
