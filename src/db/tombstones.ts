/**
 * How `gc` and a publish keep out of each other's way without locks that outlive a statement.
 *
 * First gc dooms a name: a publish that starts from then on refuses to point at it. Then it waits
 * until every publish has ended that may have started before and not seen it. Only then it looks
 * whether anything names the blob, and what it sees cannot change any more.
 *
 * @module
 */

import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** Dooms names; answers those that no other gc has doomed already. */
export async function writeTombstones(
  database: Database,
  names: readonly string[],
): Promise<string[]> {
  const rows = await execute(
    database,
    database.sql<{ name: string }[]>`
      insert into mpackd_doomed (name)
      select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb) as name order by 1
      on conflict do nothing
      returning name`,
    { action: "write tombstones" },
  );
  return rows.map(({ name }) => name);
}

/** Takes names off the list again. */
export async function removeTombstones(
  database: Database,
  names: readonly string[],
): Promise<void> {
  await execute(
    database,
    database.sql`
      delete from mpackd_doomed
      where name in (select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb))`,
    { action: "remove tombstones" },
  );
}

/** Takes off what a gc that was killed has left on the list. */
export async function removeStaleTombstones(
  database: Database,
  { olderThanMs }: { readonly olderThanMs: number },
): Promise<void> {
  await execute(
    database,
    database.sql`
      delete from mpackd_doomed
      where doomed_at < now() - ${olderThanMs}::float8 * interval '1 ms'`,
    { action: "remove stale tombstones" },
  );
}

/** The server's time: statements that start from now on see whatever was written before. */
export async function serverTime(database: Database): Promise<string> {
  const [row] = await execute(
    database,
    // As text: a Date would lose the microseconds.
    database.sql<{ now: string }[]>`select clock_timestamp()::text as now`,
    { action: "read the server's clock" },
  );
  return row.now;
}

/** Whether a publish that started before `time` is still running. Its role must be ours. */
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
