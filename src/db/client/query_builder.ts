import { Kysely } from "kysely";
import type { Database } from "./database.ts";
import { execute } from "./execute.ts";
import { PlainDialect } from "./plain_dialect.ts";
import type { Tables } from "../schema/tables.ts";

/**
 * The same pool behind the query builder; transactions are refused.
 *
 * It stands apart from `connectDatabase()`, so that who writes SQL does not wait for it to load.
 */
export function queryBuilder(database: Database): Kysely<Tables> {
  return new Kysely<Tables>({
    dialect: new PlainDialect(
      database.sql,
      (query) => execute(database, query, { action: "query" }),
    ),
  });
}
