import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { DatabaseError } from "../../../src/errors.ts";
import { Listener } from "../../../src/jobs/worker/listener.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";
import { startTcpProxy } from "../../support/tcp_proxy.ts";

/** Waits for the next event. */
function counter() {
  let waiting: { at: number; resolve: () => void } | undefined;
  const self = {
    count: 0,
    hit() {
      self.count++;
      if (waiting && self.count >= waiting.at) waiting.resolve();
    },
    reach(at: number): Promise<void> {
      if (self.count >= at) return Promise.resolve();
      return new Promise((resolve) => waiting = { at, resolve });
    },
  };
  return self;
}

Deno.test("Listener wakes once after LISTEN, then for every notification", async () => {
  await using test = await openTestDatabase();
  const wakes = counter();
  await using _listener = new Listener({
    connect: (options) => connectDatabase(test.url, options),
    onWake: () => wakes.hit(),
  });
  await wakes.reach(1);
  await test.db.sql`select mpackd_notify_1('')`;
  await wakes.reach(2);
  await test.db.sql`select pg_notify('other', ''), mpackd_notify_1('')`;
  await wakes.reach(3);
  assert.equal(wakes.count, 3);
});

Deno.test("Listener wakes only the workers of the schema that was written, however long its name", async () => {
  await using test = await openTestDatabase();
  const schemas = ["shard_7", "Shard.2 ä", "s".repeat(51), "t".repeat(52), "u".repeat(63)];
  await using pools = new AsyncDisposableStack();
  const opened: { db: Database; channel: string; woken: ReturnType<typeof counter> }[] = [];
  for (const schema of schemas) {
    await test.db.sql`create schema ${test.db.sql.unsafe(`"${schema}"`)}`;
    const url = new URL(test.url);
    url.searchParams.set("search_path", `"${schema}"`);
    const db = pools.adopt(
      connectDatabase(url.href, { maxConnections: 1 }),
      (pool) => pool.close(),
    );
    await migrate(db);
    const [{ channel }] = await db.sql`select mpackd_channel_1() as channel`;
    opened.push({ db, channel, woken: counter() });
  }
  assert.equal(new Set(opened.map(({ channel }) => channel)).size, schemas.length);
  const wakes = counter();
  await using listener = new Listener({
    connect: (options) => connectDatabase(test.url, options),
    onWake: () => wakes.hit(),
  });
  for (const { channel, woken } of opened) listener.add({ channel, onWake: () => woken.hit() });
  await Promise.all([wakes, ...opened.map(({ woken }) => woken)].map((each) => each.reach(1)));
  for (const { db, woken } of opened) {
    await db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at, attempt)
      values ('theirs', 'repo', 'mpack.index', '{}', 'pending', now(), 0)`;
    await woken.reach(2);
  }
  // A program whose search_path is another one names the table's schema itself.
  await test.db.sql.unsafe(
    `set search_path = pg_catalog; insert into "shard_7".musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    values ('also theirs', 'repo', 'mpack.index', '{}', 'pending', now(), 0); reset search_path`,
  );
  await opened[0].woken.reach(3);
  await test.db.sql`select mpackd_notify_1('')`;
  await wakes.reach(2);
  assert.deepEqual(opened.map(({ woken }) => woken.count), [3, 2, 2, 2, 2]);
  assert.equal(wakes.count, 2);
});

Deno.test("Listener listens again after its backend was terminated", async () => {
  await using test = await openTestDatabase();
  const wakes = counter();
  await using _listener = new Listener({
    connect: (options) => connectDatabase(test.url, options),
    onWake: () => wakes.hit(),
    probeMs: 3_600_000,
  });
  await wakes.reach(1);
  for (let round = 1; round <= 5; round++) {
    const before = wakes.count;
    await test.db.sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'mpackd-listener' and datname = current_database()`;
    await wakes.reach(before + 1);
    await test.db.sql`select mpackd_notify_1('')`;
    await wakes.reach(before + 2);
  }
});

Deno.test("Listener notices a silent connection, and one that no longer listens", async () => {
  await using test = await openTestDatabase();
  await using proxy = await startTcpProxy(test.url);
  const wakes = counter(), troubles = counter();
  await using _listener = new Listener({
    connect: (options) => connectDatabase(proxy.url, options),
    onWake: () => wakes.hit(),
    onChange: (error) => error && troubles.hit(),
    probeMs: 20,
    probeDeadlineMs: 100,
  });
  await wakes.reach(1);
  proxy.isSilent = true;
  await troubles.reach(1);
  proxy.isSilent = false;
  await wakes.reach(2);
  await test.db.sql`select mpackd_notify_1('')`;
  await wakes.reach(3);
});

Deno.test("a listener whose server is away waits between two tries, whenever its connection closes", async () => {
  let tries = 0;
  const listener = new Listener({
    onWake() {},
    connect({ onClose }) {
      const query = () => () => {
        tries++;
        // A connection that was refused says that it has closed after its statement has failed.
        setTimeout(() => onClose!(), 5);
        return Promise.reject(new DatabaseError("Cannot connect"));
      };
      return { query, close: () => Promise.resolve() } as unknown as Database;
    },
  });
  await sleep(1_000);
  await listener[Symbol.asyncDispose]();
  assert(tries > 0 && tries < 12, `${tries} tries`);
});
