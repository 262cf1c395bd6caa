/**
 * Tombstones: how `gc` and publishes avoid each other without locks that outlive a statement.
 *
 * First gc writes a tombstone for a name: every publish that starts later refuses to point at it.
 * Then gc waits until all publishes that started earlier have ended, since they may not have seen the
 * tombstone. Only then it looks whether anything names the blob, and the answer cannot change any
 * more.
 *
 * @module
 */

import type { Database } from "./client/database.ts";

/** Writes tombstones; returns the names that had none before, so that no other gc deletes them. */
export async function writeTombstones(
  db: Database,
  names: readonly string[],
): Promise<string[]> {
  const rows = await db.query<{ name: string }>("write tombstones")`
    insert into mpackd_tombstones (name)
    select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb) as name order by 1
    on conflict do nothing
    returning name`;
  return rows.map(({ name }) => name);
}

/** Deletes the tombstones of these names. */
export async function removeTombstones(
  db: Database,
  names: readonly string[],
): Promise<void> {
  await db.query<object>("remove tombstones")`
    delete from mpackd_tombstones
    where name in (select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb))`;
}

/** Deletes the tombstones that a killed gc has left behind. */
export async function removeStaleTombstones(
  db: Database,
  { olderThanMs }: { readonly olderThanMs: number },
): Promise<void> {
  await db.query<object>("remove stale tombstones")`
    delete from mpackd_tombstones
    where created_at < now() - ${olderThanMs}::float8 * interval '1 ms'`;
}

/** When publishes ignore a tombstone, because the gc that wrote it was killed: publish_2.sql. */
const LAPSE_MS = 60 * 60_000;

/**
 * Milliseconds until publishes ignore the tombstones of these names, if no gc removes them first; 0
 * if there are none.
 */
export async function tombstonesLapseMs(db: Database, names: readonly string[]): Promise<number> {
  const [{ left }] = await db.query<{ left: number }>("look for tombstones")`
    select greatest(0, coalesce(max(${LAPSE_MS}::float8
      - 1000 * extract(epoch from now() - created_at)), 0))::float8 as left
    from mpackd_tombstones
    where name in (select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb))`;
  return left;
}

/** The server's time: statements that start later see all that was committed before. */
export async function serverTime(db: Database): Promise<string> {
  // As text: a Date would lose the microseconds.
  const [row] = await db.query<{ now: string }>("read the server's clock")`
    select clock_timestamp()::text as now`;
  return row.now;
}

/**
 * Whether a publish that started before `time` is still running. Sees only publishes of the same
 * database role.
 */
export async function isPublishRunning(db: Database, time: string): Promise<boolean> {
  const rows = await db.query<object>("look for running publishes")`
    select from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
      and xact_start <= ${time}::timestamptz and query like '%mpackd publish%'`;
  return rows.length > 0;
}
