/**
 * Webhooks among faults: packs are published and refused, branches move, workers and deliverers die,
 * the database fails, and receivers hang, redirect, close and answer 500. Each event is in the outbox
 * of each webhook by the transaction that made it, and nothing else is; each delivery arrives.
 *
 * @module
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook as Verifier } from "standardwebhooks";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { createRepo } from "../../src/db/repos.ts";
import { resendDelivery, testWebhook } from "../../src/db/webhooks/deliveries.ts";
import {
  addWebhook,
  removeWebhook,
  rotateSecret,
  WEBHOOK_EVENTS,
} from "../../src/db/webhooks/webhooks.ts";
import { MPACK_INDEX } from "../../src/jobs/index/payload.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { Deliverer } from "../../src/jobs/webhooks/deliverer.ts";
import { parseAddresses } from "../../src/lib/addresses.ts";
import { Random } from "../fuzz/random.ts";
import { createFixture } from "../support/process/fixture.ts";
import { ServerFaults } from "./faults/server_faults.ts";
import { reset, StatementFaults } from "./faults/statement_faults.ts";
import { Workers } from "./faults/worker_faults.ts";
import { settled } from "./oracles/endings.ts";
import { installOutboxLog, wrongOutbox } from "./oracles/outbox.ts";
import { PackMaker } from "./packs.ts";
import type { ProfileOptions } from "./report.ts";
import { STATEMENT_TIMEOUT_MS } from "./settings.ts";
import type { Tally } from "./tally.ts";
import { insist, pause } from "./waits.ts";
import { startSimulatedWorker } from "./workers/worker_here.ts";

const WORKERS = 2, DELIVERERS = 2;
const MANY_ATTEMPTS = 1_000_000;
/** Of an attempt; a receiver that hangs holds a place for so long. */
const DEADLINE_MS = 250;
/** Rounds in which all that is pending is made due. A delivery has nine attempts. */
const MOST_ROUNDS = 40;
/** How receivers fail. */
const FAILURES = ["hang", "500", "redirect", "close", "retry-after"] as const;

/** How a receiver behaves: `flaky` fails often, until the faults stop; `dead` and `gone` always. */
const KINDS = ["good", "flaky", "slow", "dead", "gone"] as const;
type Kind = typeof KINDS[number];

interface Hook {
  readonly webhookId: string;
  readonly repoId: string;
  readonly kind: Kind;
  /** All it ever had. */
  readonly secrets: string[];
  readonly events: readonly string[];
}

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Drives one run. */
export async function webhooks(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, tally, share, server } = options;
  await using fixture = await createFixture({ server: server.url });
  const { db, store, databaseUrl } = fixture;
  await installOutboxLog(db);
  await using receivers = await startReceivers(new Random(random.below(2 ** 31)), tally);
  const statements = new StatementFaults(tally);
  const faults = new ServerFaults({ server, admin: db, tally });
  const repoIds = [fixture.repo.repoId];
  repoIds.push((await createRepo(db, { owner: "you", slug: "repo" })).repo.repoId);
  const hooks: Hook[] = [];
  const addHook = async (repoId: string, kind: Kind) => {
    const name = `${kind}${hooks.length}`;
    const events = random.once(4) ? ["branch.moved"] : [...WEBHOOK_EVENTS];
    const url = `${receivers.url}/${name}`;
    const { webhookId, secret } = await insist(() =>
      addWebhook(db, { repoId, url, host: name, events })
    );
    const hook = { webhookId, repoId, kind, secrets: [secret], events };
    hooks.push(hook);
    receivers.kinds.set(`/${name}`, kind);
  };
  for (const repoId of repoIds) for (const kind of KINDS) await addHook(repoId, kind);

  const workers = new Workers(
    WORKERS,
    (name, env) =>
      startSimulatedWorker({ name, env, databaseUrl, tally, statements, openStore: () => store }),
    tally,
  );
  const deliverers = new Deliverers({ databaseUrl, statements, tally });
  const packs = new PackMaker(new Random(random.below(2 ** 31)), true);
  const push = async () => {
    const { repoId, mpackKey, payload, bytes } = packs.make(random.pick(repoIds));
    await store.put(`mpacks/${repoId}/${mpackKey}`, ReadableStream.from([bytes]), {
      sizeBytes: bytes.length,
    });
    await insist(() =>
      enqueue(db, { repoId, jobType: MPACK_INDEX, payload, maxAttempts: MANY_ATTEMPTS })
    );
  };
  const anyDelivery = async () => {
    const rows = await insist(async () =>
      await db.sql<{ id: string; repoId: string }[]>`
        select delivery_id as id, repo_id as "repoId"
        from mpackd_deliveries join mpackd_webhooks using (webhook_id) order by delivery_id`
    );
    return rows.length === 0 ? undefined : random.pick(rows);
  };
  const actions: Record<string, [weight: number, act: () => unknown]> = {
    push: [14, async () => {
      for (let i = random.below(3); i >= 0; i--) await push();
    }],
    hours: [6, () => insist(() => hoursPass(db))],
    minute: [2, () => {
      tally.fault("leases of deliveries ended");
      return insist(() => leasesEnd(db));
    }],
    resend: [2, async () => {
      const delivery = await anyDelivery();
      if (delivery === undefined) return;
      tally.note(`${delivery.id} is sent again`);
      await insist(() => resendDelivery(db, delivery.repoId, delivery.id));
    }],
    test: [1, async () => {
      const { repoId, webhookId } = random.pick(hooks);
      await insist(() => testWebhook(db, repoId, webhookId));
    }],
    rotate: [1, async () => {
      const hook = random.pick(hooks);
      // If the answer is lost, nobody knows the new secret: ask for another one.
      const secret = await insist(() => rotateSecret(db, hook.repoId, hook.webhookId));
      if (secret !== undefined) hook.secrets.push(secret);
    }],
    branch: [2, () =>
      insist(async () =>
        await db.sql`delete from musehub_branches
          where repo_id = ${random.pick(repoIds)} and name = 'dev'`
      )],
    replace: [1, async () => {
      const { repoId, webhookId, kind } = random.pick(hooks);
      if (!await insist(() => removeWebhook(db, repoId, webhookId))) return;
      tally.note(`${webhookId} is removed`);
      await addHook(repoId, kind);
    }],
    statement: [5, () => statements.arm(random)],
    terminate: [2, () => faults.terminate(random)],
    lock: [1, () => faults.lock(random, ["mpackd_deliveries", "mpackd_webhooks"])],
    restart: [random.once(6) ? 1 : 0, () => faults.restart()],
    kill: [2, () => workers.kill(random)],
    "kill deliverer": [4, () => deliverers.kill(random)],
  };
  const lots = Object.entries(actions).flatMap(([name, [weight]]) => Array(weight).fill(name));
  const steps = Math.max(20, Math.round(60 * share)), problems: string[] = [];
  let rounds = 0;
  try {
    for (let step = 0; step < steps && problems.length === 0; step++) {
      await actions[random.pick(lots)][1]();
      problems.push(...workers.problems());
      await pause(random.pick([0, 5, 20, 60]));
    }
    statements.disarm();
    await faults.settled();
    await workers.calmDown();
    await settled(db);
    // Now the receivers are well, but for those that never are. What had died is asked for again.
    receivers.areWell = true;
    await deliverers.end();
    for (; rounds < MOST_ROUNDS; rounds++) {
      // The server may only now have done what a dead deliverer had sent.
      await leasesEnd(db);
      await hoursPass(db);
      await deliverers.runDry();
      const dead = await db.sql<{ id: string; repoId: string }[]>`
        select delivery_id as id, w.repo_id as "repoId"
        from mpackd_deliveries d join mpackd_webhooks w using (webhook_id)
        where d.status = 'dead' and w.host !~ '^(dead|gone)' order by 1`;
      for (const { id, repoId } of dead) await resendDelivery(db, repoId, id);
      const [{ open }] = await db.sql`select count(*)::int as open from mpackd_deliveries
        where status = 'pending'`;
      if (open + dead.length === 0) break;
    }
  } finally {
    await workers.end();
    await deliverers.end();
  }
  assert.deepEqual([...problems, ...workers.problems()], []);
  assert.ok(rounds < MOST_ROUNDS, "some deliveries do not end");
  const { events, deliveries, problems: wrong } = await wrongOutbox(db, hooks);
  assert.deepEqual(wrong, []);
  const came = checkReceived(hooks, receivers.received, deliveries);
  for (const { status, kind, id } of await endsOf(db)) {
    assert.equal(status, /^(dead|gone)/.test(kind) ? "dead" : "delivered", `${id} of ${kind}`);
    assert.ok(status === "dead" || came.has(id), `${id} of ${kind} has not come`);
  }
  const [{ enabled }] = await db.sql`select count(*)::int as enabled from mpackd_webhooks
    where disabled_at is null and failing_since is not null and host !~ '^(dead|gone)'`;
  assert.equal(enabled, 0, "a webhook that is well counts as failing");
  return {
    steps,
    events,
    deliveries: deliveries.size,
    requests: receivers.received.length,
    "rounds to the end": rounds,
  };
}

/** So much time goes by that all that waits is due. */
async function hoursPass(db: Database): Promise<void> {
  await db.sql`update mpackd_deliveries set run_at = now()
    where status = 'pending' and (leased_until is null or leased_until <= now())`;
}

/** So much time goes by that whoever sends has sent for too long. */
async function leasesEnd(db: Database): Promise<void> {
  await db.sql`update mpackd_deliveries set run_at = now(), leased_until = now()
    where leased_until > now()`;
}

async function endsOf(db: Database): Promise<{ id: string; status: string; kind: string }[]> {
  return [
    ...await db.sql<{ id: string; status: string; kind: string }[]>`
      select delivery_id as id, d.status, w.host as kind
      from mpackd_deliveries d join mpackd_webhooks w using (webhook_id)`,
  ];
}

/** Each request is a delivery of its webhook, as it was written, and signed. The ids that came. */
function checkReceived(
  hooks: readonly Hook[],
  received: readonly Received[],
  deliveries: ReadonlyMap<string, { readonly webhookId: string; readonly payload: string }>,
): Set<string> {
  const came = new Set<string>(), byId = new Map(hooks.map((hook) => [hook.webhookId, hook]));
  for (const { headers, body } of received) {
    const id = headers["webhook-id"], delivery = deliveries.get(id);
    assert.ok(delivery, `${id} is in no outbox`);
    assert.equal(body, delivery.payload);
    const isSigned = byId.get(delivery.webhookId)!.secrets.some((secret) => {
      try {
        new Verifier(secret).verify(body, headers);
        return true;
      } catch {
        return false;
      }
    });
    assert.ok(isSigned, `the signature of ${id} is wrong`);
    came.add(id);
  }
  return came;
}

/** The deliverers of one run. */
class Deliverers {
  readonly #options: { databaseUrl: string; statements: StatementFaults; tally: Tally };
  readonly #living: { kill(): Promise<void>; drain(): Promise<void> }[] = [];
  readonly #leaving = new Set<Promise<void>>();

  constructor(options: { databaseUrl: string; statements: StatementFaults; tally: Tally }) {
    this.#options = options;
    for (let i = 0; i < DELIVERERS; i++) this.#living.push(this.#start());
  }

  /** Kills one; another one takes its place. */
  kill(random: Random): void {
    const [one] = this.#living.splice(random.below(this.#living.length), 1);
    this.#options.tally.fault("deliverer killed");
    this.#leave(one.kill());
    this.#living.push(this.#start());
  }

  /** Delivers what is due, and ends. */
  async runDry(): Promise<void> {
    const pool = this.#connect();
    await this.#deliverer(pool, new AbortController(), true).run();
    await pool.close();
  }

  /** Ends all. */
  async end(): Promise<void> {
    for (const one of this.#living.splice(0)) this.#leave(one.drain());
    await Promise.all(this.#leaving);
  }

  #leave(ending: Promise<void>): void {
    const leaving = ending.finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  #connect(): Database {
    return connectDatabase(this.#options.databaseUrl, {
      maxConnections: 3,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      applicationName: "mpackd deliverer",
    });
  }

  #deliverer(db: Database, stop: AbortController, untilEmpty: boolean): Deliverer {
    const { tally } = this.#options;
    return new Deliverer({
      ...{
        db,
        untilEmpty,
        pollMs: 50,
        deadlineMs: DEADLINE_MS,
        allowed: parseAddresses("127.0.0.1"),
      },
      ...{ signal: stop.signal, force: stop.signal },
      onAttempt: ({ deliveryId, attempt }, { status, error }) =>
        tally.note(`${deliveryId} attempt ${attempt}: ${status ?? ""} ${error ?? "delivered"}`),
      onError: (error) => tally.note(`deliverer: ${error.message.slice(0, 160)}`),
    });
  }

  #start() {
    const { statements } = this.#options, pool = this.#connect(), stop = new AbortController();
    let isDead = false;
    const reach = async <T>(call: () => Promise<T>): Promise<T> => {
      if (isDead) throw reset();
      const answer = await call();
      if (isDead) throw reset();
      return answer;
    };
    const db: Database = {
      ...pool,
      intercept: (query, action) => {
        query.then(() => {}, () => {});
        return reach(() => statements.send(pool, query, action));
      },
    };
    const running = this.#deliverer(db, stop, false).run();
    const end = async () => {
      stop.abort();
      await running;
      await pool.close();
    };
    return {
      kill() {
        isDead = true;
        pool.sockets.dropSilent(Infinity);
        return end();
      },
      drain: end,
    };
  }
}

/** Receivers, by path. */
async function startReceivers(random: Random, tally: Tally) {
  const received: Received[] = [], kinds = new Map<string, Kind>();
  const hanging = new Set<ServerResponse>();
  const fail = (response: ServerResponse, how: typeof FAILURES[number]) => {
    tally.fault(`receiver: ${how}`);
    switch (how) {
      case "hang":
        return void hanging.add(response);
      case "close":
        return void response.socket?.destroy();
      case "redirect":
        return void response.writeHead(302, { location: "/elsewhere" }).end();
      case "retry-after":
        return void response.writeHead(503, { "retry-after": "3" }).end();
      default:
        return void response.writeHead(500).end("no");
    }
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const path = request.url!, kind = kinds.get(path);
    received.push({
      headers: request.headers as Record<string, string>,
      body: Buffer.concat(chunks).toString(),
    });
    const isUnwell = !receivers.areWell && (kind === "slow" || kind === "flaky" && !random.once(3));
    if (kind === "gone") return void response.writeHead(410).end();
    if (kind === "dead" || kind === undefined) return fail(response, "500");
    if (isUnwell) return fail(response, kind === "slow" ? "hang" : random.pick(FAILURES));
    response.writeHead(204).end();
  };
  // A deliverer that is killed breaks its request off.
  const server = createServer((request, response) => answer(request, response).catch(() => {}))
    .listen(0, "127.0.0.1");
  await once(server, "listening");
  const receivers = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    kinds,
    /** No more failures, but of those that always fail. */
    areWell: false,
    async [Symbol.asyncDispose]() {
      for (const response of hanging) response.socket?.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receivers;
}
