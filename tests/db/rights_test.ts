import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { createRepo } from "../../src/db/repos.ts";
import { migrate, pendingMigrations } from "../../src/db/schema/migrate.ts";
import { ConfigError } from "../../src/errors.ts";
import { claimJobs, enqueue } from "../../src/jobs/queue/mod.ts";
import { addRepos, openTestDatabase } from "../support/postgres/database.ts";
import { PGBOUNCER, startPgBouncer } from "../support/postgres/pgbouncer.ts";
import { createTestDatabase } from "../support/postgres/postgres.ts";

const hasPgBouncer = await Deno.stat(PGBOUNCER).then(() => true, () => false);

/** Connects as a new role, which is dropped afterwards. */
async function withRole(
  url: string,
  run: (db: Database, role: string, admin: Database) => Promise<void>,
): Promise<void> {
  const admin = connectDatabase(url, { maxConnections: 1 });
  const role = `plain_${crypto.randomUUID().slice(0, 8)}`;
  await admin.sql.unsafe(`create role ${role} login password 'pw'`);
  const asRole = new URL(url);
  asRole.username = role;
  asRole.password = "pw";
  const db = connectDatabase(asRole.href, { maxConnections: 1 });
  try {
    await run(db, role, admin);
  } finally {
    await db.close();
    await admin.sql.unsafe(`drop owned by ${role}`);
    await admin.sql.unsafe(`drop role ${role}`);
    await admin.close();
  }
}

/** Asserts that the error is exit 2 and gives this command, and returns the command. */
async function commandOf(work: Promise<unknown>, pattern: RegExp): Promise<string> {
  let command = "";
  await assert.rejects(work, (error) => {
    assert(error instanceof ConfigError, String(error));
    const [found] = pattern.exec(error.message) ?? [];
    assert(found, error.message);
    command = found;
    return true;
  });
  return command;
}

Deno.test("a role that may not create tables is told the grant, and the grant works", async () => {
  await using created = await createTestDatabase();
  await withRole(created.url, async (db, role, admin) => {
    const command = await commandOf(migrate(db), /grant create on schema public to "[^"]*"/);
    assert(command.includes(role));
    await admin.sql.unsafe(command);
    assert((await migrate(db)).applied.length > 0);
  });
});

Deno.test("a role that may not use a table is told the grant, and the grant works", async () => {
  await using test = await openTestDatabase();
  await withRole(test.url, async (db, _role, admin) => {
    const all = /grant [a-z, ]+ on all [a-z]+ in schema public to "[^"]*"/;
    await admin.sql.unsafe(await commandOf(pendingMigrations(db), all));
    await createRepo(db, { owner: "o", slug: "s" });
  });
});

Deno.test("a role is told the grant on the schema of its search_path", async () => {
  await using created = await createTestDatabase();
  const at = new URL(created.url);
  at.searchParams.set("search_path", "shard_7");
  await withRole(at.href, async (db, _role, admin) => {
    const make =
      /create schema if not exists shard_7; grant usage, create on schema shard_7 to "[^"]*"/;
    await admin.sql.unsafe(await commandOf(migrate(db), make));
    assert((await migrate(db)).applied.length > 0);
  });
  const admin = connectDatabase(at.href, { maxConnections: 1 });
  await migrate(admin);
  await admin.close();
  await withRole(at.href, async (db, role, admin) => {
    await admin.sql.unsafe(`grant usage on schema shard_7 to ${role}`);
    const all = /grant [a-z, ]+ on all [a-z]+ in schema shard_7 to "[^"]*"/;
    await admin.sql.unsafe(await commandOf(pendingMigrations(db), all));
    await createRepo(db, { owner: "o", slug: "s" });
  });
});

Deno.test("a run-time parameter that the server does not know is named", async () => {
  await using created = await createTestDatabase();
  for (const word of ["no_such_word=1", "work_mem=much"]) {
    const db = connectDatabase(`${created.url}?${word}`, { maxConnections: 1 });
    const name = word.split("=")[0];
    await commandOf(
      pendingMigrations(db).finally(() => db.close()),
      new RegExp(`"${name}".*correct it in DATABASE_URL`),
    );
  }
});

Deno.test({
  name: "behind PgBouncer the refused start-up parameter is named, and prepare=false works",
  ignore: !hasPgBouncer,
  fn: async () => {
    await using test = await openTestDatabase();
    await addRepos(test.db, "repo-1");
    await using pooler = await startPgBouncer(test.url);
    const refused = connectDatabase(pooler.url, { maxConnections: 1 });
    await commandOf(
      pendingMigrations(refused).finally(() => refused.close()),
      /add prepare=false to DATABASE_URL/,
    );
    const db = connectDatabase(`${pooler.url}?prepare=false`, { maxConnections: 4 });
    try {
      assert.deepEqual(await pendingMigrations(db), []);
      const job = { repoId: "repo-1", jobType: "mpack.index", payload: { mpack_key: "k" } };
      await enqueue(db, job);
      const claim = {
        worker: "w",
        jobTypes: ["mpack.index"],
        leaseMs: 9_000,
        limit: 2,
        perRepo: 9,
      };
      assert.equal((await claimJobs(db, claim)).length, 1);
    } finally {
      await db.close();
    }
  },
});
