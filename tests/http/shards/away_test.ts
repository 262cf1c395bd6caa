import assert from "node:assert/strict";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { startApi } from "../../support/http/api.ts";
import { startTestServer } from "../../support/postgres/test_server.ts";

Deno.test("a shard that is away is 503 for its own repos, and the others go on", async (t) => {
  await using server = await startTestServer({ settings: { synchronous_commit: "on" } });
  await using api = await startApi({
    servers: [undefined, server.url],
    env: { MPACK_HTTP_WAIT_MS: "3000" },
  });
  const { catalog } = api.sharded!;
  const ann = await api.identity("ann"), bob = await api.identity("bob");
  const place = (slug: string, shard: string) =>
    catalog.sql`update musehub_repos set shard = ${shard} where slug = ${slug}`;
  const content = new TextEncoder().encode("content"), objectId = mpackKey(content);
  const pack = new Uint8Array(buildMpack({ objects: [object({ content })] }));
  const key = mpackKey(pack);
  const repos: Record<string, string> = {};
  for (const [slug, shard] of [["here", "s1"], ["away", "s2"]]) {
    const { value } = await ann.send("/api/repos", { json: { owner: "ann", name: slug } });
    repos[slug] = value.repoId;
    await place(slug, shard);
  }
  const push = (slug: string) =>
    ann.send(`/ann/${slug}/push/stream`, {
      body: pack,
      headers: { "x-mpack-key": key, "content-type": "application/octet-stream" },
    });
  const jobIds: Record<string, string> = {};
  await t.step("a push goes to the repo's shard, and its job is found there", async () => {
    for (const slug of ["here", "away"]) {
      const { status, value } = await push(slug);
      assert.equal(status, 200, JSON.stringify(value));
    }
    const [{ n }] = await catalog.sql`select count(*)::int as n from musehub_background_jobs`;
    assert.equal(n, 0);
    const { value } = await ann.send("/api/jobs");
    assert.equal(value.unreachable, undefined);
    for (const { jobId, repoId } of value.jobs) {
      const slug = Object.keys(repos).find((name) => repos[name] === repoId)!;
      jobIds[slug] = jobId;
      assert.equal((await ann.send(`/api/jobs/${jobId}`)).value.jobId, jobId);
    }
    assert.equal(Object.keys(jobIds).length, 2);
    // Another tenant gets the answer that an unknown id gets, in every shard.
    const unknown = await bob.send("/api/jobs/unknown");
    for (const slug of ["here", "away"]) {
      const { status, value } = await bob.send(`/api/jobs/${jobIds[slug]}`);
      assert.deepEqual([status, value.code, value.detail], [
        unknown.status,
        unknown.value.code,
        unknown.value.detail,
      ]);
    }
    assert.deepEqual((await bob.send("/api/jobs")).value.jobs, []);
  });
  await t.step("a collaborator sees the jobs of the repo in its shard", async () => {
    await catalog.sql`insert into mpackd_collaborators (repo_id, identity_id)
      values (${repos.away}, ${bob.identity!.identityId})`;
    const { value } = await bob.send("/api/jobs");
    assert.deepEqual(value.jobs.map((job: { jobId: string }) => job.jobId), [jobIds.away]);
    await catalog.sql`delete from mpackd_collaborators`;
  });
  await t.step("a push waits while the shard is moved, and readers do not", async () => {
    const state = (word: string) =>
      catalog.sql`update mpackd_shards set state = ${word} where name = 's1'`;
    await state("moving");
    // What the list of shards says may be a second old.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    let hasEnded = false;
    const pushing = push("here").finally(() => hasEnded = true);
    assert.equal((await ann.send(`/ann/here/objects/${objectId}`)).status, 200);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert(!hasEnded);
    await state("open");
    assert.equal((await pushing).status, 200);
    await state("moving");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const { status, value } = await push("here");
    assert.deepEqual([status, value.code, value.retryable], [503, "shard-moved", true]);
    await state("open");
  });
  await server.kill();
  await t.step("its repos are 503, with the shard's name and not its URL", async () => {
    for (const send of [() => ann.send(`/ann/away/objects/${objectId}`), () => push("away")]) {
      const { status, value, headers } = await send();
      assert.deepEqual([status, value.code], [503, "database-unavailable"]);
      assert.match(value.detail, /: shard s2$/);
      assert(headers.get("retry-after"));
    }
  });
  await t.step("other repos and lists answer", async () => {
    assert.equal((await ann.send(`/ann/here/objects/${objectId}`)).status, 200);
    assert.equal((await push("here")).status, 200);
    const { status, value } = await ann.send("/api/jobs");
    assert.deepEqual([status, value.unreachable], [200, ["s2"]]);
    assert((value.jobs as { repoId: string }[]).every(({ repoId }) => repoId === repos.here));
    assert.equal((await ann.send(`/api/jobs/${jobIds.here}`)).status, 200);
    // Nobody can say that there is no such job.
    assert.equal((await ann.send(`/api/jobs/${jobIds.away}`)).status, 503);
  });
  await server.start();
  await t.step("it is back when its server is", async () => {
    assert.equal((await ann.send(`/ann/away/objects/${objectId}`)).status, 200);
    assert.equal((await ann.send("/api/jobs")).value.unreachable, undefined);
  });
});
