import type postgres from "postgres";
import type { SocketPool } from "./sockets.ts";

/**
 * Sends a statement, or not, and settles as whoever sent it shall believe that it went.
 *
 * A query is sent when it is first awaited.
 */
export type Intercept = <T>(query: PromiseLike<T>, action: string) => PromiseLike<T>;

/** An open pool of connections to one database. */
export interface Database {
  /**
   * The pool. Plain statements only: a pinned connection that dies would end the process.
   *
   * @ignore
   */
  readonly sql: postgres.Sql;
  /** What is connected to, for messages: database, host and port, never the password. */
  readonly label: string;
  /** How long a statement may take in milliseconds unless the caller says otherwise. */
  readonly statementTimeoutMs: number;
  /** False behind a transaction pooler: no named statements, no server process of our own. */
  readonly isDirect: boolean;
  /**
   * The sockets under the pool, so that a hung one can be given up.
   *
   * @ignore
   */
  readonly sockets: SocketPool;
  /**
   * Stands between each statement and the server; tests make statements fail with it.
   *
   * @ignore
   */
  readonly intercept?: Intercept;
  /** Waits up to 5 s for running statements, then closes every connection. May be called twice. */
  close(): Promise<void>;
}
