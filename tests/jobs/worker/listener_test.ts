import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { Listener } from "../../../src/jobs/worker/listener.ts";
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
  await test.db.sql`select pg_notify('mpackd_jobs', '')`;
  await wakes.reach(2);
  await test.db.sql`select pg_notify('other', ''), pg_notify('mpackd_jobs', '')`;
  await wakes.reach(3);
  assert.equal(wakes.count, 3);
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
    await test.db.sql`select pg_notify('mpackd_jobs', '')`;
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
  await test.db.sql`select pg_notify('mpackd_jobs', '')`;
  await wakes.reach(3);
});
