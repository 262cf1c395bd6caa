import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { execute } from "../../src/db/client/execute.ts";
import { ConfigError, DatabaseError } from "../../src/errors.ts";
import { openTestDatabase } from "../support/postgres/database.ts";
import { until } from "../support/until.ts";

const action = "test";

Deno.test("connectDatabase() refuses what is not a database URL, and never shows it", async (t) => {
  for (
    const url of [
      "mysql://u:hunter2@h/d",
      "postgres://u:hunter2@/d",
      "postgres://h/d",
      "postgres://u:hunter2@h",
      "postgres://u:hunter2@h:port/d",
      "hunter2",
    ]
  ) {
    await t.step(url, () => {
      assert.throws(() => connectDatabase(url, { maxConnections: 1 }), (error) => {
        assert(error instanceof ConfigError);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      });
    });
  }
});

Deno.test("execute() reads counts as numbers and sees its name on the server", async () => {
  await using test = await openTestDatabase({ applicationName: "mpackd-test" });
  const [row] = await execute(
    test.db,
    test.db.sql`select 5000000000::bigint as n, current_setting('application_name') as name`,
    { action },
  );
  assert.deepEqual(row, { n: 5_000_000_000, name: "mpackd-test" });
});

Deno.test("a worker's pool claims over one connection, and has no more than it may have", async () => {
  await using test = await openTestDatabase();
  const db = connectDatabase(test.url, { maxConnections: 3, isForWorker: true });
  const pids = async (isClaim: boolean) => {
    const asked = Array.from({ length: 12 }, () =>
      db.query<{ pid: number }>(action, { isClaim })`
        select pg_backend_pid() as pid, pg_sleep(0.01)::text`);
    return new Set((await Promise.all(asked)).flat().map(({ pid }) => pid));
  };
  const claims = await pids(true), others = await pids(false);
  await db.close();
  assert.equal(claims.size, 1);
  assert.equal(others.size, 2);
  assert.equal(others.union(claims).size, 3);
});

Deno.test("execute() names action, host and next step when there is no server", async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  const db = connectDatabase(`postgres://u:hunter2@127.0.0.1:${port}/d`, { maxConnections: 1 });
  await assert.rejects(execute(db, db.sql`select 1`, { action: "claim jobs" }), (error) => {
    assert(error instanceof DatabaseError && error.retryable);
    assert.match(error.message, new RegExp(`Cannot claim jobs on d at 127.0.0.1:${port}: .*run`));
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
  await db.close();
});

Deno.test("execute() tells a wrong database, a missing table and a bad statement apart", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  const wrong = new URL(test.url);
  wrong.pathname = "/there-is-no-such-database";
  const other = connectDatabase(wrong.href, { maxConnections: 1 });
  await assert.rejects(execute(other, other.sql`select 1`, { action }), ConfigError);
  await other.close();
  await assert.rejects(execute(db, db.sql`select from nowhere`, { action }), /migrate/);
  await assert.rejects(execute(db, db.sql`select 1/0`, { action }), (error) => {
    assert(error instanceof DatabaseError && !error.retryable);
    return true;
  });
});

Deno.test("execute() cancels a statement after its deadline and keeps the connection", async () => {
  await using test = await openTestDatabase({ maxConnections: 2 });
  const { db } = test;
  await assert.rejects(
    execute(db, db.sql`select pg_sleep(60)`, { action, deadlineMs: 50 }),
    (error) => {
      assert(error instanceof DatabaseError && error.retryable);
      assert.match(error.message, /no answer in 50 ms/);
      return true;
    },
  );
  const [{ n }] = await db.sql`select count(*)::int as n from pg_stat_activity
    where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()`;
  assert.equal(n, 0);
});

Deno.test("execute() takes a statement that waits for a connection off the list", async () => {
  await using test = await openTestDatabase({ maxConnections: 1 });
  const { db } = test;
  const long = execute(db, db.sql`select pg_sleep(0.5)`, { action });
  await assert.rejects(execute(db, db.sql`select 1`, { action, deadlineMs: 50 }), /no answer/);
  await long;
  assert.equal((await db.sql`select 1 as one`)[0].one, 1);
});

Deno.test("execute() at its deadline before the connection is there leaves the connection usable", async () => {
  await using test = await openTestDatabase();
  const { hostname, port } = new URL(test.url);
  const { promise: opening, resolve: open } = Promise.withResolvers<void>();
  // A server that takes its time to let anybody in.
  const slow = createServer(async (client) => {
    await opening;
    client.pipe(connect(Number(port), hostname)).pipe(client);
  });
  await new Promise<void>((done) => slow.listen(0, "127.0.0.1", done));
  const via = new URL(test.url);
  via.port = String((slow.address() as AddressInfo).port);
  const db = connectDatabase(via.href, { maxConnections: 1 });
  await assert.rejects(execute(db, db.sql`select 1`, { action, deadlineMs: 50 }), DatabaseError);
  open();
  const next = execute(db, db.sql`select 2 as n`, { action, deadlineMs: 5_000 });
  const rows = await next.finally(() => db.close());
  assert.equal(rows[0].n, 2);
  await new Promise((done) => slow.close(done));
});

Deno.test("execute() gives up a connection whose server says nothing any more", async () => {
  await using test = await openTestDatabase();
  const target = new URL(test.url);
  const sockets: Socket[] = [];
  let isSilent = false;
  const proxy = createServer((from) => {
    const to = connect(Number(target.port), target.hostname);
    sockets.push(from, to);
    from.on("data", (chunk) => isSilent || to.write(chunk));
    to.on("data", (chunk) => isSilent || from.write(chunk));
    for (const socket of [from, to]) {
      socket.on("error", () => {});
      socket.on("close", () => (from.destroy(), to.destroy()));
    }
  });
  await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
  const via = new URL(test.url);
  via.hostname = "127.0.0.1";
  via.port = String((proxy.address() as AddressInfo).port);
  const db = connectDatabase(via.href, { maxConnections: 1 });
  await execute(db, db.sql`select 1`, { action });
  isSilent = true;
  await assert.rejects(execute(db, db.sql`select 2`, { action, deadlineMs: 50 }), DatabaseError);
  isSilent = false;
  assert.equal((await execute(db, db.sql`select 3 as n`, { action }))[0].n, 3);
  await db.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((done) => proxy.close(done));
});

Deno.test("execute() fails at its deadline when a peer accepts and hangs up at once", async () => {
  const server = createServer((socket) => socket.resume().end());
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const db = connectDatabase(`postgres://u@127.0.0.1:${port}/d`, { maxConnections: 1 });
  await assert.rejects(execute(db, db.sql`select 1`, { action, deadlineMs: 2_000 }), DatabaseError);
  await db.close();
  await new Promise((done) => server.close(done));
});

Deno.test("build() runs what Kysely builds, with the deadline and the errors of query()", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  const [made] = await db.build("create a repo", (kysely) =>
    kysely.insertInto("musehub_repos")
      .values({ repo_id: "r", owner: "o", slug: "s", created_at: new Date(0) })
      .returning(["slug", "created_at", "deleted_at"]));
  assert.deepEqual(made, { slug: "s", created_at: new Date(0), deleted_at: null });
  await assert.rejects(
    db.build(
      "divide",
      (kysely, sql) => kysely.selectFrom("musehub_repos").select(sql<number>`1 / 0`.as("n")),
    ),
    (error) => {
      assert(error instanceof DatabaseError && !error.retryable);
      assert.match(error.message, /^Cannot divide on .*division by zero/);
      return true;
    },
  );
  await assert.rejects(
    db.build(
      "wait",
      (kysely, sql) => kysely.selectFrom("musehub_repos").select(sql`pg_sleep(60)`.as("n")),
      { deadlineMs: 50 },
    ),
    /^DatabaseError: Cannot wait on .*no answer in 50 ms/,
  );
  // @ts-expect-error A transaction would pin a connection, so the builder does not offer it.
  await assert.rejects(db.build("begin", (kysely) => kysely.transaction()), /UNSAFE_TRANSACTION/);
});

Deno.test("build() reserves no connection: postgres.js would end the process when it dies", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  let reserved = 0;
  const sql = Object.assign(db.sql, { reserve: () => (reserved++, Promise.reject(new Error())) });
  await { ...db, sql }.build(
    "list repos",
    (kysely) => kysely.selectFrom("musehub_repos").selectAll(),
  );
  assert.equal(reserved, 0);
});

Deno.test("a backend that is terminated costs a statement, never the process", async () => {
  await using test = await openTestDatabase({ maxConnections: 3 });
  const { db } = test;
  await using killer = await openTestDatabase({ maxConnections: 1 });
  const name = new URL(test.url).pathname.slice(1);
  let isOver = false;
  let failed = 0;
  let succeeded = 0;
  const loop = async () => {
    while (!isOver) {
      try {
        await execute(db, db.sql`select count(*) from musehub_objects, pg_sleep(0.002)`, {
          action,
        });
        succeeded++;
      } catch (error) {
        assert(error instanceof DatabaseError && error.retryable, String(error));
        failed++;
      }
    }
  };
  const loops = [loop(), loop(), loop(), loop()];
  for (let i = 0; i < 40; i++) {
    await killer.db.sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${name} order by random() limit 1`;
    await killer.db.sql`select pg_sleep(0.02)`;
  }
  isOver = true;
  await Promise.all(loops);
  assert(failed > 0 && succeeded > 0, `${failed} failed, ${succeeded} succeeded`);
  assert.equal((await execute(db, db.sql`select 1 as one`, { action }))[0].one, 1);
});

Deno.test("execute() gives the first row after a connection that died between two", async () => {
  await using test = await openTestDatabase();
  await using other = await openTestDatabase({ maxConnections: 1 });
  const { db } = other;
  const name = new URL(other.url).pathname.slice(1);
  // Wide enough that the server sends the first row before it sleeps over the second.
  const broken = execute(
    db,
    db.sql`select repeat('x', 100000), pg_sleep(case when i = 2 then 60 else 0 end)
      from generate_series(1, 2) i`,
    { action },
  );
  // The statement may fail before the answer to pg_terminate_backend comes.
  const ended = assert.rejects(broken, DatabaseError);
  const isSleeping = async () => {
    const rows = await test.db.sql`select from pg_stat_activity
      where datname = ${name} and wait_event = 'PgSleep'`;
    return rows.length > 0;
  };
  await until("the statement runs", isSleeping);
  await test.db.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`;
  await ended;
  const ask = () => execute(db, db.sql`select 7 as answer`, { action });
  // The driver blames the first statement of the new connection for the end of the old one, too.
  const rows = await ask().catch(ask);
  assert.deepEqual([...rows].map((row) => row?.answer), [7]);
});
