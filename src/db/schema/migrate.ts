import { ConfigError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import { execute } from "../client/execute.ts";
import { migrations } from "./migrations/mod.ts";
import { tables } from "./migrations/0001_tables.ts";
import { findObstacles, type FoundColumn } from "./table_shape.ts";

const OLDEST_SERVER = 150_000;

/** Any number that no other program is likely to lock: "mpackd" in hex. */
const LOCK_KEY = 0x6d7061636b64;

/** Building an index over somebody's large table takes a while. */
const DEADLINE_MS = 30 * 60_000;

/** What `migrate` did. */
export interface MigrateResult {
  /** Names of the migrations this call applied, in order; empty when all were there. */
  readonly applied: string[];
}

/**
 * Creates the tables of mpackd, or adds what is missing to those that are already there.
 *
 * Each migration is one message to the server, hence one transaction: it happens whole or not at
 * all. Any number of processes may call this at once.
 *
 * @throws {ConfigError} If the server is older than PostgreSQL 15, or a table that is there cannot
 * be used, naming table and column; nothing is changed then.
 */
export async function migrate(database: Database): Promise<MigrateResult> {
  const done = await readDone(database);
  const missing = migrations.filter(({ name }) => !done.has(name));
  if (missing.some(({ name }) => name === migrations[0].name)) await checkTables(database);
  const applied: string[] = [];
  for (const { name, sql } of missing) {
    const results = await execute(
      database,
      database.sql.unsafe(message(name, sql)).simple(),
      { action: `apply migration ${name}`, deadlineMs: DEADLINE_MS },
    ) as unknown as { name: string }[][];
    applied.push(...results[results.length - 1].map((row) => row.name));
  }
  return { applied };
}

/** Names of the migrations that the database has not seen, in order. */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const done = await readDone(database);
  return migrations.map(({ name }) => name).filter((name) => !done.has(name));
}

async function readDone(database: Database): Promise<Set<string>> {
  const { sql } = database;
  const action = "read the applied migrations";
  const [{ version, exists }] = await execute(
    database,
    sql<{ version: number; exists: boolean }[]>`
      select current_setting('server_version_num')::int as version,
        to_regclass('mpackd_migrations') is not null as exists`,
    { action },
  );
  if (version < OLDEST_SERVER) {
    throw new ConfigError(
      `Cannot use ${database.label}: it runs PostgreSQL ${Math.floor(version / 10_000)}, ` +
        "15 or newer is needed",
    );
  }
  if (!exists) return new Set();
  const rows = await execute(
    database,
    sql<{ name: string }[]>`select name from mpackd_migrations`,
    { action },
  );
  return new Set(rows.map(({ name }) => name));
}

async function checkTables(database: Database): Promise<void> {
  const names = tables.map(({ table }) => table);
  const found = await execute(
    database,
    database.sql<FoundColumn[]>`
      select table_name::text, column_name::text, data_type::text,
        character_maximum_length::int as max_length,
        is_nullable = 'NO' and column_default is null and is_identity = 'NO'
          and is_generated = 'NEVER' as is_demanded
      from information_schema.columns
      where table_schema = current_schema() and table_name = any(${literal(names)}::text[])
      order by table_name, ordinal_position`,
    { action: "look at the tables" },
  );
  const obstacles = findObstacles(tables, found);
  if (obstacles.length > 0) {
    throw new ConfigError(`Cannot migrate ${database.label}: ${obstacles.join("; ")}`);
  }
}

function literal(names: readonly string[]): string {
  return `{${names.join(",")}}`;
}

// The last statement answers with the name if it was this very transaction that put it there.
function message(name: string, sql: string): string {
  return `
set local client_min_messages = warning;
select pg_advisory_xact_lock(${LOCK_KEY});
create table if not exists mpackd_migrations (
  name text collate "C" primary key,
  applied_at timestamptz not null default now()
);
do $migration$
begin
  if exists (select from mpackd_migrations where name = '${name}') then
    return;
  end if;
  ${sql}
  insert into mpackd_migrations (name) values ('${name}');
end
$migration$;
select name from mpackd_migrations
where name = '${name}' and xmin = pg_current_xact_id()::xid`;
}
