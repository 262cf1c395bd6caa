import { ConfigError } from "../../errors.ts";
import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { execute } from "../client/execute.ts";
import { checkSession, SESSION_SETTINGS } from "../client/session.ts";
import { isWrongServer } from "../client/translate_error.ts";
import { MIGRATION_NAMES } from "./migration_names.ts";
import type { FoundColumn, TableShape } from "./table_shape.ts";

const OLDEST_SERVER = 150_000;

/** Key of an advisory lock; "mpackd" in hex, so that no other program uses it. */
const LOCK_KEY = 0x6d7061636b64;

/** Building an index over a large table takes minutes. */
const DEADLINE_MS = 30 * 60_000;

/** What `migrate()` has done. */
export interface MigrateResult {
  /** Names of the migrations that this call applied, in order. */
  readonly applied: string[];
}

/**
 * Creates the tables of mpackd, or adds what is missing to existing tables.
 *
 * Each migration is one message to the server, and so one transaction: it is applied whole or not at
 * all. Many processes may call this at once.
 *
 * @throws {ConfigError} If the server is older than PostgreSQL 15, or an existing table cannot be
 * used: the message names table and column, and nothing was changed.
 */
export async function migrate(db: Database): Promise<MigrateResult> {
  const done = await readDone(db);
  if (MIGRATION_NAMES.every((name) => done.has(name))) return { applied: [] };
  const { migrations } = await import("./migrations/mod.ts");
  const missing = migrations.filter(({ name }) => !done.has(name));
  const shapes = missing.flatMap(({ tables = [] }) => tables);
  if (shapes.length > 0) await checkTables(db, shapes);
  const applied: string[] = [];
  for (const { name, sql, batch } of missing) {
    if (batch !== undefined) await repeat(db, `prepare migration ${name}`, batch);
    const results = await execute(
      db,
      db.sql.unsafe(message(name, sql)).simple(),
      { action: `apply migration ${name}`, deadlineMs: DEADLINE_MS },
    ) as unknown as { name: string }[][];
    applied.push(...results[results.length - 1].map((row) => row.name));
  }
  return { applied };
}

/** Names of the migrations that were not applied yet, in order. */
export async function pendingMigrations(db: Database): Promise<string[]> {
  const done = await readDone(db);
  return MIGRATION_NAMES.filter((name) => !done.has(name));
}

async function readDone(db: Database): Promise<Set<string>> {
  const action = "read the applied migrations";
  interface Found {
    readonly version: number;
    readonly exists: boolean;
    readonly settings: Record<string, string | null>;
  }
  const look = db.query<Found>(action);
  const [{ version, exists, settings }] = await look`
    select current_setting('server_version_num')::int as version,
      to_regclass('mpackd_migrations') is not null as exists,
      (select json_object_agg(name, current_setting(name, true))
        from unnest(${arrayLiteral(SESSION_SETTINGS)}::text[]) as name) as settings`
    .catch((error) => {
      // It is the URL that is wrong, as long as nothing worked with it.
      throw isWrongServer(error) ? new ConfigError(error.message, { cause: error }) : error;
    });
  if (version < OLDEST_SERVER) {
    throw new ConfigError(
      `Cannot use ${db.label}: it runs PostgreSQL ${Math.floor(version / 10_000)}, ` +
        "15 or newer is needed",
    );
  }
  checkSession(settings, db.label);
  if (!exists) return new Set();
  const rows = await db.query<{ name: string }>(action)`select name from mpackd_migrations`;
  return new Set(rows.map(({ name }) => name));
}

/** Sends a statement, each time as a transaction of its own, until it returns no row. */
async function repeat(db: Database, action: string, statement: string): Promise<void> {
  for (let isDone = false; !isDone;) {
    const changed = await execute(db, db.sql.unsafe(statement), {
      action,
      deadlineMs: DEADLINE_MS,
    });
    isDone = changed.length === 0;
  }
}

/** Refuses existing tables that mpackd cannot use. */
async function checkTables(db: Database, shapes: readonly TableShape[]): Promise<void> {
  const names = arrayLiteral(shapes.map(({ table }) => table));
  const found = await db.query<FoundColumn>("look at the tables")`
    select table_name::text, column_name::text, data_type::text,
      character_maximum_length::int as max_length,
      is_nullable = 'NO' and column_default is null and is_identity = 'NO'
        and is_generated = 'NEVER' as is_demanded
    from information_schema.columns
    where table_schema = current_schema() and table_name = any(${names}::text[])
    order by table_name, ordinal_position`;
  const { findObstacles } = await import("./table_shape.ts");
  const obstacles = findObstacles(shapes, found);
  if (obstacles.length > 0) {
    throw new ConfigError(`Cannot migrate ${db.label}: ${obstacles.join("; ")}`);
  }
}

/** The SQL of one migration. Its last statement returns the name if this transaction applied it. */
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
