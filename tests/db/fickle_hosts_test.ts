/**
 * Pools whose servers fail in every way and come back: no statement hangs, and no pool stays lost.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase, type ConnectOptions } from "../../src/db/client/connect.ts";
import { ConnectionBudget } from "../../src/db/client/connection_budget.ts";
import type { Database } from "../../src/db/client/database.ts";
import { DatabaseError } from "../../src/errors.ts";
import { sleep } from "../../src/lib/sleep.ts";
import { Random } from "../fuzz/random.ts";
import { openTestDatabase } from "../support/postgres/database.ts";
import { type Behaviour, FAULTS, FickleHost } from "../support/postgres/fickle_host.ts";
import { until } from "../support/until.ts";

const CLIENTS = 5;
const FAULTS_EACH = 6;
const SEEDS = 6;

let asked = 0;

/** Asks for a number that nobody else asks for. */
async function ask(db: Database): Promise<string> {
  const number = ++asked;
  try {
    const rows = await db.query<{ number: number }>("ask")`select ${number}::int as number`;
    assert.deepEqual(rows, [{ number }]);
    return "answered";
  } catch (error) {
    if (!(error instanceof DatabaseError && error.retryable)) throw error;
    return error.message;
  }
}

/** Fails both hosts in turn while clients ask; then one is up, and all are answered again. */
async function fail(url: string, seed: number): Promise<void> {
  const random = new Random(seed);
  await using stack = new AsyncDisposableStack();
  const hosts = [stack.use(await FickleHost.open(url)), stack.use(await FickleHost.open(url))];
  const budget = new ConnectionBudget(3), { host } = new URL(url);
  const open = (hosts: string, options: Partial<ConnectOptions>) => {
    const db = connectDatabase(url.replace(host, hosts), { maxConnections: 4, budget, ...options });
    stack.defer(() => db.close());
    return db;
  };
  const soon = { statementTimeoutMs: 2_000, connectTimeoutMs: 1_000 };
  const failing = open(hosts.map(({ host }) => host).join(), soon), steady = open(host, {});
  const said: Behaviour[][] = [], last = new Map<number, string>();
  let isOver = false;
  const clients = Array.from({ length: CLIENTS }, async (_, i) => {
    while (!isOver) {
      last.set(i, await ask(failing));
      await sleep(random.below(20));
    }
  });
  for (let n = 0; n < FAULTS_EACH; n++) {
    const states = hosts.map(() => random.once(3) ? "up" : random.pick(FAULTS));
    said.push(states);
    await Promise.all(hosts.map((host, i) => host.become(states[i])));
    await sleep(random.below(400));
  }
  const up = random.below(2), other = random.pick(FAULTS);
  said.push(up === 0 ? ["up", other] : [other, "up"]);
  await hosts[1 - up].become(other);
  await hosts[up].become("up");
  const found = () => ({ seed, said, last: [...last.values()] });
  last.clear();
  await until("each client is answered", () => {
    return last.size === CLIENTS && [...last.values()].every((answer) => answer === "answered");
  }, { withinMs: 30_000, found });
  assert.equal(await ask(steady), "answered");
  isOver = true;
  await Promise.all(clients);
}

Deno.test("a pool of two hosts that fail in every way goes on when one is up", async () => {
  await using test = await openTestDatabase();
  for (let seed = 1; seed <= SEEDS; seed++) await fail(test.url, seed);
});

Deno.test("a pool goes to the next host while one lets nobody log in", async (t) => {
  await using test = await openTestDatabase();
  for (const fault of ["hung-up", "starting", "cut"] as const) {
    await t.step(fault, async () => {
      await using host = await FickleHost.open(test.url);
      await host.become(fault);
      const { host: next } = new URL(test.url);
      await using stack = new AsyncDisposableStack();
      const db = connectDatabase(test.url.replace(next, `${host.host},${next}`), {
        maxConnections: 2,
      });
      stack.defer(() => db.close());
      assert.equal(await ask(db), "answered");
    });
  }
});

Deno.test("a statement that meets a connection as it breaks is sent again", async () => {
  await using test = await openTestDatabase();
  await using host = await FickleHost.open(test.url);
  const db = connectDatabase(test.url.replace(new URL(test.url).host, host.host), {
    maxConnections: 3,
    statementTimeoutMs: 10_000,
  });
  try {
    const sleepFor = (seconds: number) =>
      db.query("sleep")`select pg_sleep(${seconds}::float8)`.then(() => "slept", () => "failed");
    for (let round = 0; round < 10; round++) {
      await Promise.all(Array.from({ length: 3 }, () => sleepFor(0.01)));
      // One connection is busy, and tells that it broke; the others are idle.
      const busy = sleepFor(2);
      await sleep(20);
      host.reset();
      assert.equal(await busy, "failed");
      const answers = Array.from({ length: 4 }, () => ask(db));
      assert.deepEqual(await Promise.all(answers), Array(4).fill("answered"));
    }
  } finally {
    await db.close();
  }
});
