import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { migrate, pendingMigrations } from "../../src/db/schema/migrate.ts";
import { migrations } from "../../src/db/schema/migrations/mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { createTestDatabase } from "../support/postgres/postgres.ts";

const NAMES = migrations.map(({ name }) => name);

async function withDatabase(run: (db: ReturnType<typeof connectDatabase>) => Promise<void>) {
  await using created = await createTestDatabase();
  const db = connectDatabase(created.url, { maxConnections: 8 });
  try {
    await run(db);
  } finally {
    await db.close();
  }
}

async function columnsOf(db: ReturnType<typeof connectDatabase>): Promise<string[]> {
  const rows = await db.sql<{ name: string }[]>`
    select table_name || '.' || column_name as name from information_schema.columns
    where table_schema = 'public' order by 1`;
  return rows.map(({ name }) => name);
}

Deno.test("migrate() creates every table in an empty database, once", () =>
  withDatabase(async (db) => {
    assert.deepEqual(await pendingMigrations(db), NAMES);
    assert.deepEqual(await migrate(db), { applied: NAMES });
    assert.deepEqual(await migrate(db), { applied: [] });
    assert.deepEqual(await pendingMigrations(db), []);
  }));

Deno.test("migrate() may run in many processes at once: each migration is applied by one", () =>
  withDatabase(async (db) => {
    const runs = await Promise.all(Array.from({ length: 8 }, () => migrate(db)));
    assert.deepEqual(runs.flatMap(({ applied }) => applied).sort(), NAMES);
  }));

Deno.test("migrate() adds what is missing to the tables of a MuseHub database", () =>
  withDatabase(async (db) => {
    await db.sql.unsafe(`
      create table musehub_repos (
        repo_id varchar(128) collate "en-x-icu" primary key, owner varchar(64) not null,
        slug varchar(64) not null, name text not null, visibility text not null default 'public',
        created_at timestamptz not null);
      create table musehub_objects (
        object_id varchar(128) collate "en-x-icu" not null unique, storage_uri text not null,
        size_bytes bigint not null default 0, created_at timestamptz not null default now());
      create table musehub_background_jobs (
        job_id varchar(128) primary key, repo_id varchar(128) not null, job_type varchar(64) not null,
        payload json not null, status varchar(16) not null, created_at timestamptz not null,
        attempt integer not null);
      insert into musehub_objects values ('sha256:ab', 's3://elsewhere', 3);
      insert into musehub_background_jobs values
        ('old', 'r', 'mpack.index', '{"nul": "\\u0000"}', 'pending', now(), 0);
    `).simple();
    assert.deepEqual((await migrate(db)).applied, NAMES);
    const columns = await columnsOf(db);
    for (const name of ["musehub_objects.content_offset", "musehub_background_jobs.checkpoint"]) {
      assert(columns.includes(name), name);
    }
    const [old] = await db.sql`select storage_uri, content_offset from musehub_objects`;
    assert.deepEqual(old, { storage_uri: "s3://elsewhere", content_offset: null });
    // Inserts of a producer that knows only the base columns go on working.
    await db.sql`insert into musehub_background_jobs values
      ('new', 'r', 'mpack.index', '{}', 'pending', now(), 0)`;
  }));

Deno.test("migrate() refuses a table it cannot use by name, and changes nothing", async (t) => {
  const cases: [string, string, RegExp][] = [
    [
      "a demanded column",
      "create table musehub_objects (object_id text primary key, disk_path text not null)",
      /musehub_objects\.disk_path is NOT NULL without a default/,
    ],
    [
      "another type",
      "create table musehub_objects (object_id uuid primary key)",
      /musehub_objects\.object_id is uuid where text is needed/,
    ],
    [
      "a number too small",
      "create table musehub_objects (object_id text primary key, size_bytes integer)",
      /musehub_objects\.size_bytes is integer where bigint is needed/,
    ],
    [
      "a text too short",
      "create table musehub_background_jobs (job_id varchar(36) primary key)",
      /musehub_background_jobs\.job_id holds 36 characters where 71 are needed/,
    ],
  ];
  for (const [title, sql, expected] of cases) {
    await t.step(title, () =>
      withDatabase(async (db) => {
        await db.sql.unsafe(sql);
        const before = await columnsOf(db);
        await assert.rejects(migrate(db), (error) => {
          assert(error instanceof ConfigError);
          assert.match(error.message, expected);
          return true;
        });
        assert.deepEqual(await columnsOf(db), before);
      }));
  }
});

Deno.test("migrate() leaves a migration that fails wholly undone", () =>
  withDatabase(async (db) => {
    // Two rows with one id: the unique index that ON CONFLICT needs cannot be built.
    await db.sql.unsafe(`create table musehub_objects (object_id text);
      insert into musehub_objects values ('a'), ('a')`).simple();
    const before = await columnsOf(db);
    await assert.rejects(migrate(db), /0001_tables.*could not create unique index/);
    assert.deepEqual(await columnsOf(db), before);
  }));
