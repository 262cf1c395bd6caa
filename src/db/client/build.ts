import { Kysely, sql } from "kysely";
import { PostgresJSDialect } from "kysely-postgres-js";
import type { Tables } from "../schema/tables.ts";
import type { BuildStatement, Database } from "./database.ts";
import { execute, type ExecuteOptions } from "./execute.ts";

/**
 * Runs one statement that Kysely builds, with the deadline and the errors of every other statement.
 *
 * Kysely's driver reserves a connection for each query, and postgres.js 3.4.9 ends the process with
 * an uncaught TypeError when a reserved connection dies. So the driver gets a "reserved" connection
 * that sends each query to the pool. Transactions cannot work on it, and `BuildStatement` does not
 * offer them.
 *
 * @see {@link https://github.com/porsager/postgres/issues/1208 | the issue}
 */
export function runBuilt<Row>(
  db: Database,
  build: BuildStatement<Row>,
  options: ExecuteOptions,
): Promise<Row[]> {
  const connection = {
    unsafe: (text: string, parameters: never[], how: object) =>
      execute(db, () => db.sql.unsafe(text, parameters, how), options),
    release: () => {},
  };
  const pool = { reserve: () => Promise.resolve(connection), end: async () => {}, options: {} };
  // A new instance takes 4 µs, and is what carries the action to `execute()`.
  const kysely = new Kysely<Tables>({
    dialect: new PostgresJSDialect({ postgres: () => pool as never }),
  });
  return build(kysely, sql).execute();
}
