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
import { execute } from "./client/execute.ts";

/** Writes tombstones; returns the names that had none before, so that no other gc deletes them. */
export async function writeTombstones(
  database: Database,
  names: readonly string[],
): Promise<string[]> {
  const rows = await execute(
    database,
    database.sql<{ name: string }[]>`
      insert into mpackd_tombstones (name)
      select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb) as name order by 1
      on conflict do nothing
      returning name`,
    { action: "write tombstones" },
  );
  return rows.map(({ name }) => name);
}

/** Deletes the tombstones of these names. */
export async function removeTombstones(
  database: Database,
  names: readonly string[],
): Promise<void> {
  await execute(
    database,
    database.sql`
      delete from mpackd_tombstones
      where name in (select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb))`,
    { action: "remove tombstones" },
  );
}

/** Deletes the tombstones that a killed gc has left behind. */
export async function removeStaleTombstones(
  database: Database,
  { olderThanMs }: { readonly olderThanMs: number },
): Promise<void> {
  await execute(
    database,
    database.sql`
      delete from mpackd_tombstones
      where created_at < now() - ${olderThanMs}::float8 * interval '1 ms'`,
    { action: "remove stale tombstones" },
  );
}

/** The server's time: statements that start later see all that was committed before. */
export async function serverTime(database: Database): Promise<string> {
  const [row] = await execute(
    database,
    // As text: a Date would lose the microseconds.
    database.sql<{ now: string }[]>`select clock_timestamp()::text as now`,
    { action: "read the server's clock" },
  );
  return row.now;
}

/**
 * Whether a publish that started before `time` is still running. Sees only publishes of the same
 * database role.
 */
export async function isPublishRunning(database: Database, time: string): Promise<boolean> {
  const rows = await execute(
    database,
    database.sql`
      select from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
        and xact_start <= ${time}::timestamptz and query like '%mpackd publish%'`,
    { action: "look for running publishes" },
  );
  return rows.length > 0;
}
