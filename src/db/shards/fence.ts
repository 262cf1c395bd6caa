/**
 * The fence around a schema that moves: after it no process, however stale, writes there.
 *
 * It is a trigger on each table, for statements, so it costs readers nothing. To make it, PostgreSQL
 * waits for the writers that run; writers that come meanwhile wait behind it. So it waits in short
 * turns, and lets them pass in between.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { SHARD_MOVED } from "../client/translate_error.ts";
import { DURABLY, quoteName, quoteText, runText, tablesThere } from "./move_sql.ts";

const TRIGGER = "mpackd_moved";
/** How long writers may have to wait behind one turn. */
const TURN_MS = 300;

/** The pause of claims that a move sets. `jobs resume` does not end it. */
function pauseOf(moveId: string): string {
  return `shard move ${moveId}`;
}

/** Pauses the claims of a shard. Twice changes nothing. */
export async function pauseClaims(source: Database, moveId: string): Promise<void> {
  await source.query("pause the claims of a shard")`
    insert into mpackd_pauses (kind, value) values ('all', ${pauseOf(moveId)})
    on conflict do nothing`;
}

/** Ends the pause, where it was copied to, or where it was set. */
export async function resumeClaims(db: Database, moveId: string): Promise<void> {
  await db.query("resume the claims of a shard")`
    delete from mpackd_pauses where kind = 'all' and value = ${pauseOf(moveId)}`;
}

/** How many jobs are running under a lease. */
export async function countRunning(source: Database): Promise<number> {
  const [{ running }] = await source.query<{ running: number }>("count running jobs")`
    select count(*)::int as running from musehub_background_jobs
    where status = 'running' and isfinite(lease_expires_at) and lease_expires_at > now()`;
  return running;
}

/** Makes the function that the fence calls, if the move still pauses the shard. */
export async function prepareFence(source: Database, moveId: string): Promise<void> {
  await runText(
    source,
    "prepare the fence of a shard",
    guarded(
      moveId,
      `create or replace function mpackd_moved() returns trigger language plpgsql as $moved$
      begin
        raise exception using errcode = '${SHARD_MOVED}',
          message = 'this shard moves to another server, or has moved';
      end
      $moved$;`,
    ),
  );
}

/**
 * Fences one table. It is durable when this returns, whatever the server's settings are.
 *
 * @throws {DatabaseError} If writers have not ended within a turn; try again.
 */
export async function fenceTable(source: Database, moveId: string, table: string): Promise<void> {
  const name = quoteName(table);
  await runText(
    source,
    `fence ${table}`,
    guarded(
      moveId,
      `if not exists (select from pg_trigger
        where tgrelid = ${quoteText(name)}::regclass and tgname = '${TRIGGER}' and tgenabled = 'A')
      then
        perform set_config('lock_timeout', '${TURN_MS}ms', true);
        perform ${DURABLY};
        create or replace trigger ${TRIGGER} before insert or update or delete or truncate on ${name}
          for each statement execute function mpackd_moved();
        alter table ${name} enable always trigger ${TRIGGER};
      end if;`,
    ),
  );
}

/**
 * A block that does nothing but fail once the move was aborted: the row of its pause is gone then,
 * and as long as this runs it cannot go.
 */
function guarded(moveId: string, statements: string): string {
  return `do $fence$
    begin
      perform from mpackd_pauses where kind = 'all' and value = ${quoteText(pauseOf(moveId))}
        for share;
      if not found then
        raise exception 'the move was aborted';
      end if;
      ${statements}
    end
    $fence$`;
}

/** The tables without a fence. */
export async function unfencedTables(source: Database): Promise<string[]> {
  const rows = await source.query<{ name: string }>("look for tables without a fence")`
    select c.relname::text as name from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
      and not exists (select from pg_trigger t
        where t.tgrelid = c.oid and t.tgname = ${TRIGGER} and t.tgenabled = 'A')
    order by c.relname collate "C"`;
  return rows.map(({ name }) => name);
}

/** Whether the schema has a fence, or a part of one. */
export async function hasFence(source: Database): Promise<boolean> {
  const [{ has }] = await source.query<{ has: boolean }>("look for a fence")`
    select exists (select from pg_proc where pronamespace = current_schema()::regnamespace
      and proname = 'mpackd_moved') as has`;
  return has;
}

/** Opens the fence, at once for all tables. What is left of it does nothing. */
export async function openFence(source: Database): Promise<void> {
  await runText(
    source,
    "open the fence of a shard",
    `do $open$
    begin
      if exists (select from pg_proc
        where pronamespace = current_schema()::regnamespace and proname = 'mpackd_moved')
      then
        create or replace function mpackd_moved() returns trigger language plpgsql
          as $moved$ begin return null; end $moved$;
      end if;
    end
    $open$`,
  );
}

/**
 * Removes an open fence from a table: readers and writers wait behind it for a turn at most.
 *
 * @throws {DatabaseError} If they have not ended within a turn; try again.
 */
export async function unfenceTable(source: Database, table: string): Promise<void> {
  await runText(
    source,
    `remove the fence of ${table}`,
    `do $unfence$
    begin
      perform set_config('lock_timeout', '${TURN_MS}ms', true);
      drop trigger if exists ${TRIGGER} on ${quoteName(table)};
    end
    $unfence$`,
  );
}

/** Removes what is left of the fence once no table has it. */
export async function dropFence(source: Database): Promise<void> {
  await runText(source, "remove a fence", "drop function if exists mpackd_moved()");
}

/** The tables that have a fence. */
export async function fencedTables(source: Database): Promise<string[]> {
  const without = new Set(await unfencedTables(source));
  return (await tablesThere(source)).map(({ name }) => name).filter((name) => !without.has(name));
}
