import assert from "node:assert/strict";
import { grantAccess } from "../../src/db/collaborators.ts";
import { createRepo } from "../../src/db/repos.ts";
import { startApi } from "../support/http/api.ts";

Deno.test("a token with `read` sees the jobs of its owner's repos, and changes none", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, repo: mine } = api.fixture;
  const me = await api.identity("me"), bob = await api.identity("bob");
  const admin = await api.identity("root", { isAdmin: true });
  const repoOf = async (owner: string, visibility: "public" | "private") =>
    (await createRepo(db, { owner, slug: `${visibility}-repo`, visibility })).repo;
  const repos = {
    mine,
    shared: await repoOf("ada", "private"),
    open: await repoOf("bob", "public"),
    closed: await repoOf("bob", "private"),
  };
  await grantAccess(db, {
    repoId: repos.shared.repoId,
    identityId: me.identity!.identityId,
  });
  for (const [name, { repoId }] of Object.entries(repos)) {
    await db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at)
      values (${name}, ${repoId}, 'other.kind', '{}', 'failed', now())`;
  }
  const all = Object.keys(repos);
  const cases = [
    { who: "read", client: await api.token(me, { scopes: ["read"] }), seen: ["mine", "shared"] },
    { who: "push", client: await api.token(me, { scopes: ["push"] }), seen: ["mine", "shared"] },
    // An admin's token without `admin` is that of any identity.
    { who: "an admin's read", client: await api.token(admin, { scopes: ["read"] }), seen: [] },
    { who: "bob's read", client: await api.token(bob, { scopes: ["read"] }), seen: all.slice(2) },
    { who: "admin", client: await api.token(admin, { scopes: ["read", "admin"] }), seen: all },
  ];
  for (const { who, client, seen } of cases) {
    await t.step(who, async () => {
      const { value } = await client.send("/api/jobs");
      assert.deepEqual(
        value.jobs.map(({ jobId }: { jobId: string }) => jobId).sort(),
        [...seen].sort(),
      );
      for (const [name, { repoId }] of Object.entries(repos)) {
        const isSeen = seen.includes(name);
        for (const path of [`/api/jobs/${name}`, `/api/jobs/${name}/events`]) {
          assert.equal((await client.send(path)).status, isSeen ? 200 : 404, path);
        }
        const listed = await client.send(`/api/jobs?repoId=${repoId}`);
        if (isSeen) assert.equal(listed.value.jobs.length, 1);
        else assert.ok([403, 404].includes(listed.status), String(listed.status));
        if (who === "push") continue;
        for (const action of ["retry", "cancel"]) {
          const { status } = await client.send(`/api/jobs/${name}/${action}`, { method: "POST" });
          assert.ok([403, 404].includes(status), String(status));
        }
      }
    });
  }
});
