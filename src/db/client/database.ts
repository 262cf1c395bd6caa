import type { QueryCreator, Sql } from "kysely";
import type postgres from "postgres";
import type { Tables } from "../schema/tables.ts";
import type { StatementSlots } from "./connection_budget.ts";
import type { SocketPool } from "./sockets.ts";

/**
 * Sends a statement, or does not, and settles as its sender shall believe that it ended.
 *
 * A query is sent when it is first awaited.
 */
export type Intercept = <T>(query: PromiseLike<T>, action: string) => PromiseLike<T>;

/** How long one statement may take. */
export interface StatementOptions {
  /** Milliseconds until the statement is cancelled. Default: `Database.statementTimeoutMs`. */
  readonly deadlineMs?: number;
  /** Whether it is a claim, for which a worker's pool has a connection. Default false. */
  readonly isClaim?: boolean;
}

/** Runs the SQL of a template; values become parameters, fragments of `Database.sql` become text. */
export type RunSql<Row> = (text: TemplateStringsArray, ...values: unknown[]) => Promise<Row[]>;

/** Builds one statement with Kysely, whose `sql` tag says what the builder cannot. */
export type BuildStatement<Row> = (
  kysely: QueryCreator<Tables>,
  sql: Sql,
) => { execute(): Promise<Row[]> };

/** An open pool of connections to one database. */
export interface Database {
  /**
   * The driver's own pool, for fragments of SQL. A statement sent with it has no deadline.
   *
   * Never pin a connection (`begin`, `reserve`): postgres.js ends the process when one dies.
   *
   * @ignore
   */
  readonly sql: postgres.Sql;
  /**
   * The pool that claims are sent with; the same, or one of a single connection.
   *
   * @ignore
   */
  readonly claims: postgres.Sql;
  /** What is connected to, for messages: database, host and port, never the password. */
  readonly label: string;
  /** The shard's name; undefined for a catalog. */
  readonly shard?: string;
  /** How long a statement may take in milliseconds unless the caller says otherwise. */
  readonly statementTimeoutMs: number;
  /** False behind a transaction pooler: no named statements, no server process of our own. */
  readonly isDirect: boolean;
  /**
   * The sockets under the pool, so that a silent one can be closed.
   *
   * @ignore
   */
  readonly sockets: SocketPool;
  /**
   * What statements wait for before they are sent, if the pool shares a cap with others.
   *
   * @ignore
   */
  readonly slots?: StatementSlots;
  /**
   * Stands between each statement and the server; tests make statements fail with it.
   *
   * @ignore
   */
  readonly intercept?: Intercept;
  /**
   * Runs a statement written as SQL: ``db.query<Row>("find a repo")`select …` ``.
   *
   * SQL is for what Kysely cannot say (claim, stage, publish), and for what a command needs before
   * its first output or a server for each request: Kysely takes 40 to 60 ms to load and 50 µs to
   * compile a statement.
   *
   * @param action The verb phrase after "Cannot" in errors: "claim jobs".
   * @throws {DatabaseError} If the server is unreachable, refuses, or does not answer in time.
   * @throws {ConfigError} If the database or a table is not there.
   * @ignore
   */
  query<Row>(action: string, options?: StatementOptions): RunSql<Row>;
  /**
   * Runs a statement whose text is always the same: its parameters are `$1`, `$2`, …
   *
   * For the statement of each request: to put a text together of fragments takes 10 µs.
   *
   * @param action The verb phrase after "Cannot" in errors: "find a token".
   * @throws As {@link query}.
   * @ignore
   */
  run<Row>(action: string, text: string, parameters: readonly string[]): Promise<Row[]>;
  /**
   * Runs a statement that Kysely builds; loads Kysely at the first call.
   *
   * @param action The verb phrase after "Cannot" in errors: "list tokens".
   * @throws As {@link query}.
   * @ignore
   */
  build<Row>(
    action: string,
    build: BuildStatement<Row>,
    options?: StatementOptions,
  ): Promise<Row[]>;
  /** Waits up to 5 s for running statements, then closes every connection. May be called twice. */
  close(): Promise<void>;
}
