import assert from "node:assert/strict";
import { createRepo } from "../../../src/db/repos.ts";
import { claimJobs } from "../../../src/jobs/queue/claim_jobs.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { failJob } from "../../../src/jobs/queue/fail_job.ts";
import { getJob } from "../../../src/jobs/queue/get_job.ts";
import { grantAccess } from "../../../src/db/collaborators.ts";
import { revokeToken } from "../../../src/db/tokens.ts";
import { setQuota } from "../../../src/db/quotas/quotas.ts";
import { addWebhook } from "../../../src/db/webhooks/webhooks.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { buildMpack, object } from "../../support/mpack/mpacks.ts";
import { startApi, type TestApi } from "../../support/http/api.ts";

/** A browser without scripts: it keeps the cookie, and sends what a form of the console sends. */
class Visitor {
  cookie = "";
  constructor(readonly url: string) {}

  async get(path: string): Promise<{ status: number; text: string; location: string | null }> {
    const answer = await fetch(this.url + path, {
      headers: { cookie: this.cookie },
      redirect: "manual",
    });
    return {
      status: answer.status,
      text: await answer.text(),
      location: answer.headers.get("location"),
    };
  }

  async post(
    path: string,
    form: Record<string, string> | [string, string][],
    headers: Record<string, string> = { origin: this.url },
  ) {
    const answer = await fetch(this.url + path, {
      method: "POST",
      headers: { cookie: this.cookie, ...headers },
      body: new URLSearchParams(form),
      redirect: "manual",
    });
    const set = answer.headers.get("set-cookie");
    if (set !== null) this.cookie = set.split(";")[0];
    return {
      status: answer.status,
      text: await answer.text(),
      set,
      location: answer.headers.get("location"),
    };
  }
}

async function signedIn(api: TestApi, token: string): Promise<Visitor> {
  const visitor = new Visitor(api.url);
  assert.equal((await visitor.post("/ui/login", { token })).status, 303);
  return visitor;
}

const PAGES = [
  ...["/ui", "/ui/jobs", "/ui/jobs/x", "/ui/repos", "/ui/repos/me/repo", "/ui/settings"],
  "/ui/repos/me/repo/webhooks",
];

Deno.test("the console shows nothing without a session, and a session is a strict cookie", async () => {
  await using api = await startApi({ worker: false });
  const visitor = new Visitor(api.url);
  for (const path of PAGES) {
    const { status, location } = await visitor.get(path);
    assert.deepEqual([status, location], [303, "/ui/login"], path);
  }
  assert.equal((await visitor.get("/ui/live?path=/ui")).status, 401);
  assert.equal((await visitor.post("/ui/login", { token: "mpk_0_0" })).status, 401);
  assert.equal((await visitor.post("/ui/jobs/act", { action: "purge", job: "x" })).status, 303);

  const { token } = api.admin;
  const foreign: Record<string, string>[] = [
    {},
    { origin: "https://evil.example" },
    { "origin": api.url, "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ];
  for (const headers of foreign) {
    assert.equal((await visitor.post("/ui/login", { token }, headers)).status, 403);
  }
  const { set } = await visitor.post("/ui/login", { token });
  assert.match(set!, /^mpackd_session=[^;]+; Max-Age=\d+; Path=\/ui; HttpOnly; SameSite=Strict$/);
  assert.ok(!set!.includes(token), "the token is sealed");
  for (const path of ["/ui", "/ui/jobs", "/ui/repos", "/ui/settings"]) {
    assert.equal((await visitor.get(path)).status, 200, path);
  }
  const headers = { cookie: visitor.cookie };
  const answer = await fetch(`${api.url}/ui`, { headers });
  await answer.body?.cancel();
  assert.match(
    answer.headers.get("content-security-policy")!,
    /^default-src 'none'; style-src 'self';/,
  );
  assert.equal(answer.headers.get("cache-control"), "no-store");
  // A cookie that was changed is none.
  const forged = new Visitor(api.url);
  forged.cookie = visitor.cookie.slice(0, -2) + (visitor.cookie.endsWith("AA") ? "BB" : "AA");
  assert.equal((await forged.get("/ui")).status, 303);
  assert.equal((await visitor.post("/ui/logout", {})).status, 303);
  assert.equal((await visitor.get("/ui")).status, 303);
});

Deno.test("what a tenant sees and does is what its token may", async () => {
  await using api = await startApi({ worker: false });
  const { db } = api.fixture;
  const [ada, bob] = [await api.identity("ada"), await api.identity("bob")];
  const { repo: mine } = await createRepo(db, { owner: "ada", slug: "engine" });
  const { repo: other } = await createRepo(db, { owner: "bob", slug: "secret-repo" });
  const add = async (repoId: string) => {
    const payload = { mpack_key: `sha256:${"a".repeat(64)}` };
    return (await enqueue(db, { repoId, jobType: "mpack.index", payload, maxAttempts: 3 })).row
      .jobId;
  };
  const [job, theirs] = [await add(mine.repoId), await add(other.repoId)];
  const write = await api.token(ada, { scopes: ["read", "push"] });
  const visitor = await signedIn(api, write.text);

  assert.match((await visitor.get("/ui/repos")).text, /ada\/engine/);
  for (const path of ["/ui", "/ui/jobs", "/ui/repos", "/ui/jobs?repo=bob/secret-repo"]) {
    const { text } = await visitor.get(path);
    assert.ok(!text.includes(theirs) && !/secret-repo<|Workers alive/.test(text), path);
  }
  for (
    const path of [
      `/ui/jobs/${theirs}`,
      "/ui/repos/bob/secret-repo",
      "/ui/repos/bob/nothing",
      "/ui/settings",
      "/ui/schedules",
      `/ui/repos/ada/engine/packs/sha256:${"b".repeat(64)}`,
      "/ui/none",
    ]
  ) assert.equal((await visitor.get(path)).status, 404, path);

  // A forged form changes only what is the caller's.
  const asked = await visitor.post("/ui/jobs/confirm", [["action", "cancel"], ["job", job], [
    "job",
    theirs,
  ]]);
  assert.match(asked.text, /Cancel 2 jobs\?/);
  const done = await visitor.post("/ui/jobs/act", [["action", "cancel"], ["job", job], [
    "job",
    theirs,
  ]]);
  assert.equal(done.location, "/ui/jobs?action=cancel&done=1&asked=2");
  assert.equal((await getJob(db, job))!.status, "cancelled");
  assert.equal((await getJob(db, theirs))!.status, "pending");
  assert.equal((await visitor.post("/ui/jobs/act", { action: "retry", job })).status, 303);
  assert.equal((await getJob(db, job))!.status, "pending");
  assert.equal((await visitor.post("/ui/schedules", { action: "pause-queue" })).status, 404);
  const foreign = { origin: "https://evil.example" };
  assert.equal(
    (await visitor.post("/ui/jobs/act", { action: "cancel", job }, foreign)).status,
    403,
  );
  assert.equal((await getJob(db, job))!.status, "pending");

  const reader = await signedIn(api, (await api.token(ada, { scopes: ["read"] })).text);
  assert.equal((await reader.get(`/ui/jobs/${job}`)).status, 200);
  assert.equal((await reader.post("/ui/jobs/act", { action: "cancel", job })).status, 403);

  // Bob sees his.
  const his = await signedIn(api, (await api.token(bob, { scopes: ["read"] })).text);
  assert.equal((await his.get(`/ui/jobs/${theirs}`)).status, 200);
  // A revoked token ends its sessions at once.
  await revokeToken(db, write.text.split("_")[1]);
  assert.equal((await visitor.get("/ui")).location, "/ui/login");
});

Deno.test("a job's page tells of its attempts, its error, and what to do", async () => {
  await using api = await startApi({ worker: false });
  const { db, repo } = api.fixture;
  const payload = { mpack_key: `sha256:${"c".repeat(64)}`, note: "<script>alert(1)</script>" };
  const { row } = await enqueue(db, {
    repoId: repo.repoId,
    jobType: "mpack.index",
    payload,
    maxAttempts: 3,
  });
  const claim = () =>
    claimJobs(db, { worker: "w1", jobTypes: ["mpack.index"], leaseMs: 1, limit: 1, perRepo: 9 });
  await claim();
  await new Promise((resolve) => setTimeout(resolve, 50));
  // Its lease has expired: the first attempt is lost.
  const [second] = await claim();
  await failJob(db, second, {
    error: {
      code: "truncated",
      message: "Cannot accept the pack: it ends",
      retryable: false,
      offset_bytes: 17,
    },
    retry: false,
    baseDelayMs: 0,
    maxDelayMs: 0,
  });
  const visitor = await signedIn(api, api.admin.token);
  const { text } = await visitor.get(`/ui/jobs/${row.jobId}`);
  assert.match(text, />lost<.*>failed</s);
  assert.match(text, /<strong>truncated<\/strong> at byte 17/);
  assert.match(text, /The client must upload it again/);
  assert.ok(!text.includes("<script>alert"), "values are escaped");
  assert.match((await visitor.get("/ui")).text, /code=truncated/);
  const found = await visitor.get("/ui/jobs?code=truncated&search=sha256:ccc");
  assert.match(found.text, new RegExp(row.jobId));
  assert.equal((await visitor.get("/ui/jobs?status=x")).status, 400);
  assert.equal((await visitor.get("/ui/jobs?after=2026-01-01T00:00:00Z~%00")).status, 400);
  const gone = await visitor.post("/ui/jobs/act", { action: "purge", job: row.jobId });
  assert.equal(gone.location, "/ui/jobs?action=purge&done=1&asked=1");
  assert.equal(await getJob(db, row.jobId), undefined);
  const [{ left }] = await db.sql`select count(*)::int as left from mpackd_attempts`;
  assert.equal(left, 0);
});

Deno.test("the owner sees the webhooks, tests one, sends again, and has a pack audited", async () => {
  await using api = await startApi({ worker: false });
  const { db, repo, ...fixture } = api.fixture, { repoId } = repo;
  const mpackKey = await fixture.put(
    buildMpack({ objects: [object({ content: new Uint8Array(3) })] }),
  );
  const { job_id: jobId } = await indexMpack(fixture.options(mpackKey));
  const events = ["branch.moved"], url = "https://hooks.test/<b>";
  const { webhookId, secret } = await addWebhook(db, { repoId, url, host: "hooks.test", events });
  const me = await api.identity("me"), friend = await api.identity("friend");
  await grantAccess(db, { repoId, identityId: friend.identity!.identityId });
  const owner = await signedIn(api, (await api.token(me)).text);
  const reader = await signedIn(api, (await api.token(me, { scopes: ["read"] })).text);
  const other = await signedIn(api, (await api.token(friend)).text);
  const path = "/ui/repos/me/repo/webhooks", form = { repo: "me/repo" };

  for (const page of [`/ui/jobs/${jobId}`, `/ui/repos/me/repo/packs/${mpackKey}`]) {
    assert.match((await owner.get(page)).text, /Warning: no manifest names the objects/);
  }
  assert.match((await owner.get("/ui/repos/me/repo")).text, /repo\/webhooks/);
  const { text } = await owner.get(path);
  assert.match(text, /https:\/\/hooks\.test\/&lt;b&gt;/);
  assert.ok(!text.includes(secret));
  const tested = await owner.post("/ui/webhooks", { ...form, action: "test", id: webhookId });
  assert.equal(tested.location, `${path}?done=test`);
  const [{ delivery_id: id }] = await db.sql`update mpackd_deliveries set status = 'dead'
    returning delivery_id`;
  assert.match((await owner.get(path)).text, /dead/);
  const again = await owner.post("/ui/webhooks", { ...form, action: "resend", id });
  assert.equal(again.location, `${path}?done=resend`);
  const audit = { ...form, mpack: mpackKey };
  const audited = await owner.post("/ui/packs/audit", audit);
  assert.match(audited.location!, /^\/ui\/jobs\/sha256/);
  assert.match((await owner.get(audited.location!)).text, /mpack\.audit/);

  assert.equal((await other.get(path)).status, 404, "a collaborator");
  const seen = await reader.get(path);
  assert.equal(seen.status, 200);
  assert.ok(!/Rotate|Remove|Add a webhook/.test(seen.text), "it may only read");
  for (const visitor of [other, reader]) {
    assert.equal((await visitor.get(`${path}/new`)).status, 404);
    for (const action of ["test", "add", "rotate", "remove"]) {
      const asked = { ...form, action, id: webhookId, sure: "yes", url, event: "pack.failed" };
      assert.equal((await visitor.post("/ui/webhooks", asked)).status, 403, action);
    }
  }
  assert.equal((await reader.post("/ui/packs/audit", audit)).status, 403);
  for (const wrong of [{ action: "test", id: "wh_x" }, { action: "x", id }, { repo: "a/b" }]) {
    const refused = await owner.post("/ui/webhooks", { ...form, ...wrong } as typeof form);
    assert.equal(refused.status, 404);
  }
});

Deno.test("the owner adds a webhook, rotates its secret and removes it, each after a word", async () => {
  await using api = await startApi({ worker: false });
  const { db } = api.fixture;
  const owner = await signedIn(api, (await api.token(await api.identity("me"))).text);
  const path = "/ui/repos/me/repo/webhooks", url = "https://hooks.test/<i>";
  const send = (form: Record<string, string>, headers?: Record<string, string>) =>
    owner.post("/ui/webhooks", { repo: "me/repo", ...form }, headers);
  const stored = async () =>
    await db.sql`select webhook_id as id, secret, array_to_string(events, ',') as events
      from mpackd_webhooks`;

  assert.match((await owner.get(path)).text, /href="\/ui\/repos\/me\/repo\/webhooks\/new"/);
  assert.match((await owner.get(`${path}/new`)).text, /name="url"/);
  const add = { action: "add", url, event: "pack.failed" };
  assert.equal((await send(add, { origin: "https://evil.example" })).status, 403);
  for (
    const [wrong, why] of [
      [
        { url: "http://10.0.0.1/<b>" },
        /role="alert">Cannot send a webhook to that URL: it is http:/,
      ],
      [{ event: "none" }, /choose what it is told/],
    ] as const
  ) {
    const again = await send({ ...add, ...wrong });
    assert.equal(again.status, 422);
    assert.match(again.text, why);
    assert.match(again.text, /value="http[^"]+&lt;/, "what was typed is still there");
  }
  assert.equal((await stored()).length, 0);
  const added = await send(add), [{ id, ...made }] = await stored();
  assert.equal(made.events, "pack.failed");
  assert.ok(added.text.includes(made.secret) && !added.text.includes("data-live"));

  const asked = await send({ action: "rotate", id });
  assert.match(asked.text, /Rotate the secret of this webhook\?[^]*hooks\.test\/%3Ci%3E/);
  assert.equal((await stored())[0].secret, made.secret, "it only asked");
  const rotated = await send({ action: "rotate", id, sure: "yes" });
  const [{ secret }] = await stored();
  assert.ok(secret !== made.secret && rotated.text.includes(secret));
  const { text } = await owner.get(path);
  assert.ok(!text.includes(secret) && !text.includes(made.secret));

  assert.match((await send({ action: "remove", id })).text, /Remove this webhook\?/);
  assert.equal((await stored()).length, 1, "it only asked");
  const removed = await send({ action: "remove", id, sure: "yes" });
  assert.equal(removed.location, `${path}?done=remove`);
  assert.equal((await stored()).length, 0);
  assert.equal((await send({ action: "remove", id, sure: "yes" })).status, 404);
});

Deno.test("serve --ui-only answers with the console and the probes alone", async () => {
  await using api = await startApi({ worker: false, isConsoleOnly: true });
  const visitor = await signedIn(api, api.admin.token);
  assert.equal((await visitor.get("/ui")).status, 200);
  assert.equal((await visitor.get("/healthz")).status, 200);
  const headers = { authorization: `Bearer ${api.admin.token}` };
  for (const [method, path] of [["POST", "/api/repos"], ["GET", "/me/repo/refs"]]) {
    const answer = await fetch(api.url + path, { method, headers });
    assert.equal(answer.status, 404);
    assert.match((await answer.json()).detail, /only the console, at \/ui, is served/);
  }
});

Deno.test("tenants at their limits are on the overview, and a repo's quotas on its page", async (t) => {
  await using api = await startApi({ worker: false, env: { MPACK_OWNER_QUOTA: "packs=1" } });
  const { db, repo, put, options } = api.fixture;
  const config = api.fixture.config({ MPACK_OWNER_QUOTA: "packs=1" });
  await indexMpack({ ...options(await put(buildMpack({ objects: [] }))), config });
  await setQuota(db, { kind: "repo", name: repo.repoId }, { bytes: 1_000_000 });
  const visitorOf = async (handle: string, isAdmin = false) => {
    const client = await api.identity(handle, { isAdmin });
    const scopes = isAdmin ? ["read", "admin"] : ["read"];
    return await signedIn(api, (await api.token(client, { scopes })).text);
  };
  const full = /<td>me<\/td><td class="number"><span class="status failed">100%<\/span>/;
  for (const [who, isAdmin] of [["root", true], ["me", false]] as const) {
    await t.step(who, async () => {
      const visitor = await visitorOf(who, isAdmin);
      const overview = (await visitor.get("/ui")).text;
      assert.match(overview, full);
      assert.match(overview, /1 of 1/);
      const page = (await visitor.get("/ui/repos/me/repo")).text;
      assert.match(page, full);
      assert.match(page, /B of 1.00 MB/);
    });
  }
  await t.step("another tenant", async () => {
    const { text } = await (await visitorOf("other")).get("/ui");
    assert.ok(!text.includes("at their limits"));
  });
});
