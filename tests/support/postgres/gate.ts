import { connectDatabase } from "../../../src/db/client/connect.ts";
import { until } from "../until.ts";

/** A gate for statements: those that call `pg_advisory_xact_lock(key)` wait while it is closed. */
export interface Gate extends AsyncDisposable {
  /** Closes it. */
  close(): Promise<void>;
  /** Opens it. */
  open(): Promise<void>;
  /** Resolves when so many statements wait for a lock, of whatever kind. */
  waiting(statements: number): Promise<void>;
}

/** Makes an open gate in this database, with a connection of its own. */
export async function openGate(url: string, key = 1): Promise<Gate> {
  const { sql, close } = connectDatabase(url, { maxConnections: 1 });
  await sql`select 1`;
  return {
    close: async () => void await sql`select pg_advisory_lock(${key}::int)`,
    open: async () => void await sql`select pg_advisory_unlock(${key}::int)`,
    async waiting(statements) {
      let found: number;
      const areWaiting = async () => {
        [{ found }] = await sql<{ found: number }[]>`
          select count(*)::int as found from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`;
        return found === statements;
      };
      await until(`${statements} statements wait`, areWaiting, { everyMs: 5, found: () => found });
    },
    [Symbol.asyncDispose]: close,
  };
}
