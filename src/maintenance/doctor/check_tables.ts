/**
 * Checks of the tables: schema version, rights, dead rows, bloated indexes, and the queue.
 *
 * @module
 */

import { listFinished } from "../../db/audits.ts";
import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { pendingMigrations } from "../../db/schema/migrate.ts";
import { migrations } from "../../db/schema/migrations/mod.ts";
import { TABLES } from "../../db/schema/tables.ts";
import { counted, grouped } from "../../lib/numbers.ts";
import { type Check, failure, ok, warning } from "./check.ts";
import { checkFunctions, checkTriggers, checkWebhooks } from "./check_triggers.ts";

const MIB = 1024 * 1024;
/** Fewer dead rows are not worth a word: autovacuum itself waits for a fifth of the table. */
const DEAD_ROWS = 50_000;
const DEAD_PERCENT = 30;
/** A B-tree of random ids settles at about 1.5 times its least size; three times is bloat. */
const BLOAT_FACTOR = 3;
const BLOAT_BYTES = 64 * MIB;
const DAY_MS = 24 * 60 * 60_000;
const AUDIT_DAYS = 30;
const NAMES = Object.keys(TABLES);

/** Looks at the tables. Changes nothing. */
export async function* checkTables(db: Database): AsyncGenerator<Check, void, undefined> {
  const schema = await checkSchema(db);
  yield schema;
  // Rights are told of the tables that are there, so that nobody finds both faults one by one.
  const rights = await checkRights(db);
  yield rights;
  if (schema.status === "failure") return;
  yield await checkTriggers(db);
  yield await checkFunctions(db);
  yield await checkDeadRows(db);
  yield await checkBloat(db);
  yield* await checkQueue(db);
  yield await checkAudits(db);
  // A reader's role cannot read the secrets beside them.
  if (rights.status === "ok") yield* checkWebhooks(db);
}

async function checkSchema(db: Database): Promise<Check> {
  const pending = await pendingMigrations(db);
  if (pending.length > 0) {
    return failure("schema", `${pending.join(", ")} missing`, 'run "mpackd migrate"');
  }
  const known = arrayLiteral(migrations.map(({ name }) => name));
  const newer = await db.query<{ name: string }>("read the applied migrations")`
    select name from mpackd_migrations where name <> all(${known}::text[]) order by name`;
  if (newer.length === 0) return ok("schema", migrations[migrations.length - 1].name);
  return warning(
    "schema",
    `${newer.map(({ name }) => name).join(", ")} is of a newer mpackd`,
    "upgrade this one soon",
  );
}

async function checkRights(db: Database): Promise<Check> {
  const rows = await db.query<{ name: string; missing: string }>("look at the rights")`
    select name, string_agg(right_name, ', ') as missing
    from unnest(${arrayLiteral(NAMES)}::text[]) as name,
      unnest(array['select', 'insert', 'update', 'delete']) as right_name
    where to_regclass(name) is not null
      and not has_table_privilege(to_regclass(name), right_name)
    group by name order by name`;
  if (rows.length === 0) {
    const [{ tables }] = await db.query<{ tables: number }>("count the tables")`
      select count(*) as tables from unnest(${arrayLiteral(NAMES)}::text[]) as name
      where to_regclass(name) is not null`;
    return ok("rights", `read and write on ${counted(tables, "table")}`);
  }
  const found = rows.length > 3
    ? `something is missing on ${counted(rows.length, "table")}`
    : rows.map(({ name, missing }) => `no ${missing} on ${name}`).join("; ");
  return warning(
    "rights",
    found,
    "enough for some commands; docs/operations.md lists the grants of each role",
  );
}

async function checkDeadRows(db: Database): Promise<Check> {
  const rows = await db.query<{ name: string; dead: number; live: number }>("look at dead rows")`
    select relname::text as name, n_dead_tup as dead, n_live_tup as live
    from pg_stat_user_tables
    where relname = any(${arrayLiteral(NAMES)}::text[]) and n_dead_tup >= ${DEAD_ROWS}::bigint
      and 100 * n_dead_tup >= ${DEAD_PERCENT}::bigint * (n_dead_tup + n_live_tup)
    order by n_dead_tup desc`;
  if (rows.length === 0) return ok("dead rows", "few");
  const found = rows.map(({ name, dead, live }) =>
    `${name} has ${grouped(dead)} beside ${grouped(live)}`
  );
  const next = `vacuum ${rows.map(({ name }) => name).join(", ")}; look for long transactions`;
  return warning("dead rows", found.join("; "), next);
}

async function checkBloat(db: Database): Promise<Check> {
  // The least size: each entry's columns, 16 bytes of its own, pages nine tenths full.
  const rows = await db.query<{ name: string; bytes: number; factor: number }>("look at indexes")`
    select name, bytes, bytes / least_bytes as factor from (
      select i.oid::regclass::text as name, pg_relation_size(i.oid) as bytes,
        i.reltuples * (16 + (
          select sum(s.avg_width) from pg_attribute a
          join pg_stats s on s.schemaname = current_schema() and s.tablename = t.relname
            and s.attname = a.attname
          where a.attrelid = i.oid
        )) / 0.9 as least_bytes
      from pg_index x
      join pg_class i on i.oid = x.indexrelid
      join pg_class t on t.oid = x.indrelid and t.relnamespace = current_schema()::regnamespace
      where t.relname = any(${arrayLiteral(NAMES)}::text[]) and i.reltuples > 0
        and pg_relation_size(i.oid) >= ${BLOAT_BYTES}::bigint
    ) as indexes
    where bytes > ${BLOAT_FACTOR}::float8 * least_bytes order by bytes desc`;
  if (rows.length === 0) return ok("index bloat", "none");
  const found = rows.map(({ name, bytes, factor }) =>
    `${name} has ${grouped(Math.round(bytes / MIB))} MiB, ${factor.toFixed(1)} times what it needs`
  );
  return warning("index bloat", found.join("; "), `reindex index concurrently ${rows[0].name}`);
}

/** Disks and stores rot without a word. */
async function checkAudits(db: Database): Promise<Check> {
  const name = "last audit", next = 'run "mpackd audit --sample 5%", or schedule it';
  const [last] = await listFinished(db, { limit: 1 });
  const [{ packs }] = await db.query<{ packs: boolean }>("look for mpacks")`
    select exists (select from musehub_mpacks) as packs`;
  if (!packs) return ok(name, "there is nothing to audit");
  if (last === undefined) return warning(name, "there was none", next);
  const days = Math.floor((Date.now() - last.finishedAt.getTime()) / DAY_MS);
  const found = `${counted(days, "day")} ago, ${counted(last.mpacks, "mpack")}, ${
    grouped(last.damaged)
  } damaged`;
  if (last.damaged > 0) return warning(name, found, 'run "mpackd audit": it names what to repair');
  return days > AUDIT_DAYS ? warning(name, found, next) : ok(name, found);
}

interface Queue {
  readonly pending: number;
  readonly waiting_seconds: number;
  readonly failed: number;
  readonly without_lease: number;
}

async function checkQueue(db: Database): Promise<Check[]> {
  const [queue] = await db.query<Queue>("look at the queue")`
    select
      (select count(*) from musehub_background_jobs where status = 'pending') as pending,
      coalesce((
        select extract(epoch from now() - min(greatest(created_at, coalesce(run_at, created_at))))
        from musehub_background_jobs
        where status = 'pending' and isfinite(created_at) and coalesce(run_at <= now(), true)
      ), 0)::float8 as waiting_seconds,
      (
        select count(*) from musehub_background_jobs
        where status = 'failed' and finished_at > now() - interval '1 day'
      ) as failed,
      (
        select count(*) from musehub_background_jobs
        where status = 'running' and lease_expires_at is null
      ) as without_lease`;
  const checks: Check[] = [];
  const waiting = Math.round(Math.max(0, queue.waiting_seconds));
  const found = `${grouped(queue.pending)} pending, the oldest for ${grouped(waiting)} s`;
  checks.push(
    waiting > 600
      ? warning("queue", found, 'run more workers; "mpackd jobs list" shows what waits')
      : ok("queue", found),
  );
  if (queue.failed > 0) {
    const next = 'run "mpackd jobs list --status failed"';
    checks.push(warning("failed jobs", `${grouped(queue.failed)} in the last day`, next));
  }
  if (queue.without_lease > 0) {
    checks.push(warning(
      "jobs without a lease",
      `${grouped(queue.without_lease)} are running by another program's word`,
      "mpackd leaves them alone; set them to pending if nobody runs them",
    ));
  }
  return checks;
}
