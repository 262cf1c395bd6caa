import assert from "node:assert/strict";
import { Webhook as Verifier } from "standardwebhooks";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { createRepo, deleteRepo } from "../../../src/db/repos.ts";
import {
  claimDeliveries,
  type Delivery,
  failDelivery,
  finishDelivery,
  listDeliveries,
  resendDelivery,
  testWebhook,
} from "../../../src/db/webhooks/deliveries.ts";
import {
  addWebhook,
  listWebhooks,
  removeWebhook,
  rotateSecret,
  WEBHOOK_EVENTS,
} from "../../../src/db/webhooks/webhooks.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { mpackdHandlers } from "../../../src/jobs/handlers.ts";
import { failJob } from "../../../src/jobs/queue/fail_job.ts";
import { getJob } from "../../../src/jobs/queue/get_job.ts";
import { Worker } from "../../../src/jobs/worker/worker.ts";
import { claimJobs } from "../../../src/jobs/queue/claim_jobs.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { Deliverer, type DelivererOptions } from "../../../src/jobs/webhooks/deliverer.ts";
import { parseAddresses } from "../../../src/lib/addresses.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { indexHistory } from "../../support/history/record_history.ts";
import { buildMpack, object } from "../../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";
import { sampleBytes } from "../../support/store/blobs.ts";
import { type Received, type Receiver, startReceiver } from "../../support/webhooks/receiver.ts";
import { until } from "../../support/until.ts";

const LOOPBACK = parseAddresses("127.0.0.0/8");

async function hook(
  { db, repo }: TestFixture,
  url: string,
  { repoId = repo.repoId, host = "127.0.0.1", events = [...WEBHOOK_EVENTS] } = {},
): Promise<{ webhookId: string; secret: string }> {
  return await addWebhook(db, { repoId, url, host, events });
}

/** Delivers all that is due. */
async function deliver(
  { db }: TestFixture,
  options: Partial<DelivererOptions> = {},
): Promise<void> {
  const signal = new AbortController().signal, onError = (error: Error) => assert.fail(error);
  await new Deliverer({
    ...{ db, allowed: LOOPBACK, pollMs: 20, signal, untilEmpty: true, onError },
    ...options,
  }).run();
}

async function deliveriesOf(
  { db, repo }: TestFixture,
  webhookId: string,
): Promise<Delivery[]> {
  return await listDeliveries(db, { repoId: repo.repoId, webhookId, limit: 100 });
}

/** The bodies by type; each with what it was about. */
function told({ received }: Receiver): [type: string, data: Record<string, unknown>][] {
  return received.map(({ body }) => JSON.parse(body)).map(({ type, data }) => [type, data]);
}

function verified(secret: string, { body, headers }: Received): unknown {
  return new Verifier(secret).verify(body, headers);
}

/** Makes what waits for its next attempt due. */
async function makeDue({ db }: TestFixture): Promise<void> {
  await db.sql`update mpackd_deliveries set run_at = now() where status = 'pending'`;
}

Deno.test("a webhook is told of what is published, what failed, and how branches move", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture, { repoId } = repo;
  const { webhookId, secret } = await hook(fixture, `${receiver.url}/hook`);
  const history = new MadeHistory();
  const first = history.commit({ files: { a: "1" } });
  const pack = history.pack();
  const { mpack_key: mpackKey } = await indexHistory(fixture, pack, { branch: "main" });
  const bad = await fixture.put(new Uint8Array([0xc1]));
  await assert.rejects(indexMpack(fixture.options(bad)));
  await db.sql`delete from musehub_branches where name = 'main'`;
  await deliver(fixture);
  const common = { repo_id: repoId, owner: "me", slug: "repo" };
  const shown = told(receiver).map(([type, { job_id: _id, ...data }]) => [type, data] as const)
    .sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  assert.deepEqual(shown.slice(0, 2), [
    ["branch.moved", { ...common, branch: "main", from: null, to: first }],
    ["branch.moved", { ...common, branch: "main", from: first, to: null }],
  ]);
  assert.deepEqual([shown[2][0], shown[2][1].mpack_key, shown[2][1].code], [
    "pack.failed",
    bad,
    "unexpected-shape",
  ]);
  const { branch, ...published } = shown[3][1];
  assert.deepEqual([shown[3][0], branch], [
    "pack.published",
    { name: "main", head: first, moved: true },
  ]);
  assert.deepEqual(published, {
    ...{ ...common, mpack_key: mpackKey, size_bytes: pack.bytes.length },
    ...{ objects: 1, commits: 1, snapshots: 1, tags: 0 },
  });
  for (const request of receiver.received) verified(secret, request);
  const listed = await deliveriesOf(fixture, webhookId);
  assert.deepEqual(
    listed.map(({ status, attempts }) => [status, attempts]),
    Array(4).fill([
      "delivered",
      1,
    ]),
  );
  const [{ log: [entry] }] = listed;
  assert.deepEqual([entry.status, entry.answer, entry.error], [200, "thanks", null]);
});

Deno.test("a webhook gets only the events that it wants, of its own repo, until it is removed", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture, { repoId } = repo;
  const { repo: other } = await createRepo(db, { owner: "me", slug: "other" });
  const wanted = await hook(fixture, "https://a.test/", { events: ["branch.moved"] });
  await hook(fixture, "https://b.test/", { repoId: other.repoId });
  const history = new MadeHistory();
  history.commit({ files: { a: "1" } });
  await indexHistory(fixture, history.pack(), { branch: "main" });
  const rows = await db.sql`select event, webhook_id from mpackd_deliveries`;
  assert.deepEqual([...rows], [{ event: "branch.moved", webhook_id: wanted.webhookId }]);
  assert.equal(await removeWebhook(db, other.repoId, wanted.webhookId), false, "not its webhook");
  assert.equal(await removeWebhook(db, repoId, wanted.webhookId), true);
  assert.equal((await db.sql`select from mpackd_deliveries`).length, 0);
  await deleteRepo(db, other);
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${other.repoId}, 'b', 'c')`;
  assert.equal((await db.sql`select from mpackd_deliveries`).length, 0, "the repo is deleted");
});

Deno.test("a program that may only write the base tables ends jobs and moves branches", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture, { repoId } = repo;
  await hook(fixture, "https://a.test/");
  const { row: { jobId } } = await enqueue(db, {
    ...{ repoId, jobType: "mpack.index", payload: { mpack_key: `sha256:${"a".repeat(64)}` } },
  });
  // Claimed by a worker, and queued before jobs said whether webhooks are told.
  const { row: { jobId: claimed } } = await enqueue(db, {
    ...{ repoId, jobType: "mpack.index", payload: { mpack_key: `sha256:${"b".repeat(64)}` } },
  });
  const which = { worker: "w", jobTypes: ["mpack.index"], leaseMs: 60_000, limit: 1, perRepo: 1 };
  assert.equal((await claimJobs(db, { ...which, jobId: claimed })).length, 1);
  await db.sql`update musehub_background_jobs set is_told = null where job_id = ${claimed}`;
  const name = `foreign_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`create role ${name} login password 'x'`);
  const [{ schema }] = await db.sql`select current_schema() as schema`;
  await db.sql.unsafe(`grant usage on schema ${schema} to ${name}`);
  await db.sql.unsafe(`grant select, insert, update, delete on musehub_branches,
    musehub_background_jobs to ${name}`);
  const url = Object.assign(new URL(fixture.databaseUrl), { username: name, password: "x" });
  const foreign = connectDatabase(url.href, { maxConnections: 1 });
  try {
    // What jsonb cannot hold fails no statement.
    await foreign.sql`update musehub_background_jobs set status = 'failed',
      last_error = '{"code": "a\\u0000b"}' where job_id = ${jobId}`;
    await foreign.sql`update musehub_background_jobs set status = 'done' where job_id = ${claimed}`;
    await foreign.sql`insert into musehub_branches (repo_id, name, head_commit_id)
      values (${repoId}, 'main', 'c')`;
  } finally {
    await foreign.close();
    await db.sql.unsafe(`drop owned by ${name}`);
    await db.sql.unsafe(`drop role ${name}`);
  }
  const rows = await db.sql`select event from mpackd_deliveries order by event`;
  assert.deepEqual(rows.map(({ event }) => event), [
    "branch.moved",
    "pack.failed",
    "pack.published",
  ]);
});

Deno.test("a delivery that fails is tried again under its id, and its webhook disabled after the last time", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture, { repoId } = repo;
  const { webhookId, secret } = await hook(fixture, receiver.url);
  receiver.answer = () => new Response(`no\0${"x".repeat(1000)}`, { status: 500 });
  const id = await testWebhook(db, repoId, webhookId);
  await deliver(fixture);
  const [once] = await deliveriesOf(fixture, webhookId);
  assert.deepEqual([once.status, once.attempts], ["pending", 1]);
  assert.ok(once.runAt > new Date());
  assert.deepEqual(
    [once.log[0].status, once.log[0].answer?.length, once.log[0].answer?.slice(0, 4)],
    [500, 500, "no�x"],
  );
  for (let attempt = 2; attempt <= 9; attempt++) {
    await makeDue(fixture);
    await deliver(fixture);
  }
  const [dead] = await deliveriesOf(fixture, webhookId);
  assert.deepEqual([dead.status, dead.attempts, dead.log.length], ["dead", 9, 9]);
  const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
  assert.deepEqual(ids, Array(9).fill(id));
  for (const request of receiver.received) verified(secret, request);
  const [disabled] = await listWebhooks(db, repoId);
  assert.match(disabled.note!, /^no delivery has succeeded since /);
  // It is told nothing more, until something that was asked for succeeds.
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', 'c')`;
  assert.equal((await deliveriesOf(fixture, webhookId)).length, 1);
  receiver.answer = () => new Response();
  assert.equal(await resendDelivery(db, repoId, id!), true);
  await deliver(fixture);
  const [sent] = await deliveriesOf(fixture, webhookId);
  assert.deepEqual([sent.status, sent.log.length], ["delivered", 10]);
  const [enabled] = await listWebhooks(db, repoId);
  assert.deepEqual([enabled.disabledAt, enabled.failingSince, enabled.note], [null, null, null]);
});

Deno.test("410 Gone disables a webhook; what it was still to be told ends", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture, { repoId } = repo;
  const { webhookId } = await hook(fixture, receiver.url);
  receiver.answer = () => new Response(null, { status: 410 });
  for (let n = 0; n < 5; n++) {
    await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
      values (${repoId}, ${`b${n}`}, 'c')`;
  }
  await deliver(fixture);
  await deliver(fixture);
  assert.ok(receiver.received.length <= 2, `${receiver.received.length} requests`);
  const [{ note }] = await listWebhooks(db, repoId);
  assert.equal(note, "the receiver answered 410 Gone");
  const listed = await deliveriesOf(fixture, webhookId);
  assert.deepEqual(listed.map(({ status }) => status), Array(5).fill("dead"));
});

Deno.test("a rotated secret signs beside the new one for a day", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture, { repoId } = repo;
  const { webhookId, secret } = await hook(fixture, receiver.url);
  const rotated = await rotateSecret(db, repoId, webhookId);
  await testWebhook(db, repoId, webhookId);
  await deliver(fixture);
  await db.sql`update mpackd_webhooks set old_secret_until = now()`;
  await testWebhook(db, repoId, webhookId);
  await deliver(fixture);
  const [both, one] = receiver.received;
  verified(secret, both);
  verified(rotated!, both);
  verified(rotated!, one);
  assert.throws(() => verified(secret, one));
  assert.equal(await rotateSecret(db, "another repo", webhookId), undefined);
});

Deno.test("a receiver that hangs takes two places, and an owner's receivers four", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db } = fixture;
  let most = 0, running = 0;
  const held = Promise.withResolvers<void>();
  receiver.answer = async ({ path }) => {
    if (path === "/good") return new Response();
    most = Math.max(most, ++running);
    await held.promise;
    running--;
    return new Response();
  };
  // Six hosts of one owner, each with three deliveries; and one delivery of another owner.
  for (let n = 0; n < 6; n++) {
    const url = `http://host${n}.test:${receiver.port}/bad`;
    const { webhookId } = await hook(fixture, url, { host: `host${n}.test` });
    for (let i = 0; i < 3; i++) await testWebhook(db, fixture.repo.repoId, webhookId);
  }
  const { repo: other } = await createRepo(db, { owner: "you", slug: "repo" });
  const good = await hook(fixture, `http://good.test:${receiver.port}/good`, {
    ...{ repoId: other.repoId, host: "good.test" },
  });
  await testWebhook(db, other.repoId, good.webhookId);
  const delivering = deliver(fixture, {
    resolve: () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]),
  });
  await receiver.until(5);
  const paths = receiver.received.map(({ path }) => path);
  assert.deepEqual(paths.filter((path) => path === "/good"), ["/good"]);
  // Another worker gets none of the owner's places either.
  await deliver(fixture, { untilEmpty: true });
  assert.equal(running, 4);
  // A worker's jobs have places of their own.
  const config = fixture.config(), { store } = fixture;
  const mpackKey = await fixture.put(buildMpack({ objects: [] }));
  const { row } = await enqueue(db, {
    ...{ repoId: fixture.repo.repoId, jobType: "mpack.index", payload: { mpack_key: mpackKey } },
  });
  await new Worker({
    ...{ db, handlers: mpackdHandlers({ db, store, config }), worker: "w", leaseMs: 30_000 },
    ...{ concurrency: 1, perRepo: 1, pollMs: 50, drainMs: 0, untilEmpty: true },
    signal: new AbortController().signal,
  }).run();
  assert.equal((await getJob(db, row.jobId))?.status, "done");
  // Six more events, which find no free place either.
  assert.equal(running, 4);
  held.resolve();
  await delivering;
  assert.equal(most, 4);
  assert.equal(receiver.received.length, 25);
});

Deno.test("what waits for a place is sent, however the last of its host end", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture, held = Promise.withResolvers<void>();
  const { webhookId } = await hook(fixture, receiver.url);
  receiver.answer = async () => {
    await held.promise;
    return new Response();
  };
  for (let i = 0; i < 3; i++) await testWebhook(db, repo.repoId, webhookId);
  let looks = 0, ended = 0;
  const query = (action: string) => async (text: TemplateStringsArray, ...values: unknown[]) => {
    const rows = await db.query(action)(text, ...values);
    if (action === "claim deliveries" && ++looks === 2) {
      // Both places are taken while it looks, and free before it has the answer.
      assert.deepEqual(rows, []);
      held.resolve();
      await until("two deliveries are recorded", () => ended >= 2, { everyMs: 1 });
      await sleep(10);
    }
    if (action === "record a delivery") ended++;
    return rows;
  };
  await deliver(fixture, { db: { ...db, query: query as typeof db.query } });
  assert.equal(receiver.received.length, 3);
});

Deno.test("what a killed worker had claimed is sent again once its lease has ended", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture;
  const { webhookId } = await hook(fixture, receiver.url);
  const pack = buildMpack({ objects: [object({ content: sampleBytes(10) })] });
  await indexMpack(fixture.options(await fixture.put(pack)));
  // The worker ends before it can record anything.
  const gone = new AbortController();
  const dying = deliver(fixture, {
    db: {
      ...db,
      query: ((action: string) =>
        action === "record a delivery"
          ? () =>
            Promise.reject(new Error("killed"))
          : db.query(action)) as typeof db.query,
    },
    onError: () => gone.abort(),
    signal: gone.signal,
    untilEmpty: false,
  });
  await dying;
  assert.equal(receiver.received.length, 1);
  await deliver(fixture);
  assert.equal(receiver.received.length, 1, "its lease has not ended");
  await db.sql`update mpackd_deliveries set run_at = now(), leased_until = now()`;
  await deliver(fixture);
  const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
  const [{ status }] = await listDeliveries(db, {
    ...{ repoId: repo.repoId, webhookId, limit: 1 },
  });
  assert.equal(status, "delivered");
});

Deno.test("a worker whose lease of a delivery has ended records nothing", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  const { webhookId } = await hook(fixture, "https://a.test/");
  await testWebhook(db, repo.repoId, webhookId);
  const claim = async () => {
    const [claimed] = await claimDeliveries(db, { limit: 1, leaseMs: 60_000 });
    await db.sql`update mpackd_deliveries set run_at = now()`;
    return claimed;
  };
  const late = await claim();
  await db.sql`update mpackd_deliveries set leased_until = now()`;
  const last = await claim();
  const entry = { status: 500, duration_ms: 1, answer: "", error: "it answered 500" };
  assert.equal(await failDelivery(db, late, entry, { delayMs: null }), false);
  await finishDelivery(db, late, { ...entry, status: 200, error: null });
  assert.deepEqual((await deliveriesOf(fixture, webhookId))[0].status, "pending");
  await finishDelivery(db, last, { ...entry, status: 200, error: null });
  const [{ status, log }] = await deliveriesOf(fixture, webhookId);
  assert.deepEqual([status, log.map(({ attempt }) => attempt)], ["delivered", [2]]);
});

Deno.test("nobody is told of an attempt that is tried again, or of a job that is cancelled", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  await hook(fixture, "https://a.test/");
  const start = async () =>
    (await enqueue(db, {
      ...{ repoId, jobType: "mpack.index", payload: { mpack_key: crypto.randomUUID() } },
      claimAs: { worker: "w", leaseMs: 60_000 },
    })).claimed!;
  const error = { code: "store-unavailable", message: "away", retryable: true };
  const fail = { error, retry: true, baseDelayMs: 1, maxDelayMs: 1 };
  assert.equal((await failJob(db, await start(), fail)).status, "pending");
  const { jobId } = await start();
  await db.sql`update musehub_background_jobs set status = 'cancelled' where job_id = ${jobId}`;
  assert.equal((await db.sql`select from mpackd_deliveries`).length, 0);
  await failJob(db, await start(), { ...fail, retry: false });
  const rows = await db.sql`select event from mpackd_deliveries`;
  assert.deepEqual([...rows], [{ event: "pack.failed" }]);
});

Deno.test("a worker that stops gives back what is on its way; the attempt is not counted", async () => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo } = fixture, { repoId } = repo;
  const { webhookId } = await hook(fixture, receiver.url);
  const held = Promise.withResolvers<Response>();
  receiver.answer = () => held.promise;
  await testWebhook(db, repoId, webhookId);
  const stop = new AbortController();
  const delivering = deliver(fixture, {
    ...{ signal: stop.signal, force: stop.signal, untilEmpty: false },
  });
  await receiver.until(1);
  stop.abort();
  await delivering;
  held.resolve(new Response());
  const [{ status, attempts, log }] = await deliveriesOf(fixture, webhookId);
  assert.deepEqual([status, attempts, log.length], ["pending", 0, 0]);
});
