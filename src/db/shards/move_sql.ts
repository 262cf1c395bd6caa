/**
 * Texts of statements that take no parameters: those about the schema itself.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { TABLES } from "../schema/tables.ts";

/** Writes a name as SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Writes a text as SQL. Sessions have standard_conforming_strings on. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * Makes the transaction durable, and all before it on its server, where an administrator has set
 * synchronous_commit to off: a crash must not undo one step of a move and keep the next.
 */
export const DURABLY = "set_config('synchronous_commit', " +
  "replace(current_setting('synchronous_commit'), 'off', 'on'), true)";

/** Runs one statement that is a text. */
export async function runText<Row>(
  db: Database,
  action: string,
  text: string,
  options: { readonly deadlineMs?: number } = {},
): Promise<Row[]> {
  return await db.query<Row>(action, options)`${db.sql.unsafe(text)}`;
}

/** A table in the schema of a database's URL. */
export interface TableThere {
  readonly name: string;
  readonly is_logged: boolean;
  /** Whether updates and deletes can be replicated. */
  readonly has_identity: boolean;
  /** By name, as SQL has them. */
  readonly columns: readonly string[];
}

/** Lists the tables, views and others in the schema, by name. */
export async function tablesThere(db: Database): Promise<TableThere[]> {
  const rows = await db.query<Omit<TableThere, "columns"> & { columns: string | null }>(
    "list the tables of a shard",
  )`
    select c.relname::text as name, c.relpersistence = 'p' as is_logged,
      c.relreplident in ('f', 'i') or exists (
        select from pg_index i where i.indrelid = c.oid and i.indisprimary) as has_identity,
      (select json_agg(a.attname order by a.attname collate "C")::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
    from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'f', 'm')
    order by c.relname collate "C"`;
  return rows.map((row) => ({ ...row, columns: JSON.parse(row.columns ?? "[]") as string[] }));
}

/** The target has rows of its own here: they are `migrate()`'s. */
const OWN_ROWS = "mpackd_migrations";

/** Whether a table's rows move. Staged rows and others that are not logged start empty. */
export function isMoved({ name, is_logged }: TableThere): boolean {
  return Object.hasOwn(TABLES, name) && is_logged && name !== OWN_ROWS;
}

/** Whether mpackd has made the table. */
export function isOurs({ name }: TableThere): boolean {
  return Object.hasOwn(TABLES, name);
}
