import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { setQuota } from "../../../src/db/quotas/quotas.ts";
import { QuotaError } from "../../../src/errors.ts";
import { PushStarter, type PushToBegin } from "../../../src/jobs/index/begin_push.ts";
import { pushMpack } from "../../../src/jobs/index/push_mpack.ts";
import { MadeHistory, type MadePack } from "../../support/history/make_history.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";

const KEY = `sha256:${"a".repeat(64)}`;

function asked(repoId: string, changes: Partial<PushToBegin> = {}): PushToBegin {
  return {
    repoId,
    mpackKey: KEY,
    sizeBytes: 5,
    branch: undefined,
    payload: { mpack_key: KEY },
    worker: "test",
    leaseMs: 60_000,
    defaults: { owner: {}, repo: {} },
    ...changes,
  };
}

async function open(maxConnections = 4) {
  const test = await openTestDatabase({ maxConnections });
  await addRepos(test.db, "one", "two");
  const sent: string[] = [];
  const db: Database = { ...test.db, intercept: (query, action) => (sent.push(action), query) };
  const running = async (repoId: string) => {
    const [{ jobs }] = await test.db.sql<{ jobs: number }[]>`
      select count(*)::int as jobs from musehub_background_jobs
      where repo_id = ${repoId} and status = 'running' and fence = 1 and attempt = 1
        and max_attempts = 1 and lease_expires_at > now()`;
    return jobs;
  };
  return Object.assign(test, { starter: new PushStarter(db), sent, running });
}

Deno.test("PushStarter begins the pushes of one repo that come together by two statements", async () => {
  await using test = await open();
  const { starter, sent, running } = test;
  const repos = [...Array(8).fill("one"), "two"];
  const begun = await Promise.all(repos.map((repoId) => starter.begin(asked(repoId))));
  assert.equal(
    sent.length,
    3,
    "one for the first, one for the others of its repo, one for repo two",
  );
  assert.equal(new Set(begun.map(({ job }) => job.jobId)).size, repos.length);
  assert.deepEqual([await running("one"), await running("two")], [8, 1]);
});

Deno.test("PushStarter lets as many of a group begin as the quota allows; the others have no job", async () => {
  await using test = await open();
  const { db, starter, running } = test;
  await setQuota(db, { kind: "repo", name: "one" }, { pushes: 3 });
  const settled = await Promise.allSettled(
    Array.from({ length: 8 }, () => starter.begin(asked("one"))),
  );
  const refused = settled.filter((one) => one.status === "rejected");
  assert.equal(refused.length, 5);
  for (const { reason } of refused) assert(reason instanceof QuotaError, String(reason));
  assert.equal(await running("one"), 3);
});

Deno.test("PushStarter fails the push whose values the server refuses, and no other", async () => {
  await using test = await open();
  const { starter, running } = test;
  const settled = await Promise.allSettled([
    starter.begin(asked("one")),
    starter.begin(asked("one")),
    starter.begin(asked("one", { sizeBytes: 2 ** 70 })),
    starter.begin(asked("one", { branch: "a\0b", payload: { mpack_key: KEY, branch: "a\0b" } })),
    starter.begin(asked("none")),
  ]);
  const statuses = ["fulfilled", "fulfilled", "rejected", "fulfilled", "rejected"];
  assert.deepEqual(settled.map(({ status }) => status), statuses);
  const last = settled[4] as PromiseRejectedResult;
  assert.equal((last.reason as { code?: string }).code, "repo-not-found");
  assert.equal(await running("one"), 3);
});

Deno.test("PushStarter leaves the session as it was", async () => {
  await using test = await open(1);
  const { db, starter } = test;
  await db.sql`set synchronous_commit = 'on'`;
  await starter.begin(asked("one"));
  const [row] = await db.sql`show synchronous_commit`;
  assert.equal(row.synchronous_commit, "on");
});

function push(
  { db, store, config, repo }: TestFixture,
  { bytes, mpackKey }: MadePack,
  { whileSent = () => Promise.resolve(), force = false, onSent = (_: string) => {} } = {},
) {
  return pushMpack({
    db: { ...db, intercept: (query, action) => (onSent(action), query) },
    store,
    config: config(),
    repoId: repo.repoId,
    mpackKey,
    body: (async function* () {
      await whileSent();
      yield bytes;
    })(),
    worker: "test",
    payload: { branch: "main", strict: true, force },
  });
}

Deno.test("a push that builds upon its branch's head asks nothing between its start and its publish", async () => {
  await using fixture = await createFixture();
  const history = new MadeHistory(), sent: string[] = [];
  const onSent = (action: string) => sent.push(action);
  for (let n = 0; n < 3; n++) {
    sent.length = 0;
    const head = history.commit({ files: { a: String(n) } });
    const { branch } = await push(fixture, history.pack({ commits: [head] }), { onSent });
    assert.deepEqual(branch, { name: "main", head, moved: true });
    assert.deepEqual(sent, ["begin a push", "publish a pack"]);
  }
});

Deno.test("a push whose branch moves while its bytes come is judged by where the branch is then", async (t) => {
  await using fixture = await createFixture();
  const history = new MadeHistory();
  const [root, base, left] = ["r", "b", "l"].map((a) => history.commit({ files: { a } }));
  const right = history.commit({ parents: [base], files: { a: "right" } });
  const ahead = history.commit({ parents: [left], files: { a: "ahead" } });
  const one = (commit: string) => history.pack({ commits: [commit] });
  await push(fixture, history.pack({ commits: [root, base] }));
  const moving = async () => void await push(fixture, one(left));
  await t.step("to elsewhere: it has diverged", async () => {
    const pushed = push(fixture, one(right), { whileSent: moving });
    await assert.rejects(pushed, { code: "diverged" });
  });
  await t.step("back: what was its head is new again", async () => {
    const whileSent = async () => void await push(fixture, one(right), { force: true });
    const { branch } = await push(fixture, one(left), { whileSent, force: true });
    assert.deepEqual(branch, { name: "main", head: left, moved: true });
  });
  await t.step("to its parent: it goes forward", async () => {
    await push(fixture, one(right), { force: true });
    const whileSent = async () => void await push(fixture, one(left), { force: true });
    const { branch } = await push(fixture, one(ahead), { whileSent });
    assert.deepEqual(branch, { name: "main", head: ahead, moved: true });
  });
});
