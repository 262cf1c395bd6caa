import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from "kysely";
import { PostgresJSDialect } from "kysely-postgres-js";
import type postgres from "postgres";
import { ConfigError } from "../../errors.ts";

/** Runs one query with the errors and the deadline that every statement has. */
export type RunQuery = (
  query: postgres.PendingQuery<postgres.Row[]>,
) => Promise<postgres.RowList<postgres.Row[]>>;

/**
 * kysely-postgres-js with another driver under it.
 *
 * Its own driver reserves a connection for each query, and postgres.js 3.4.9 ends the process with
 * an uncaught TypeError when a reserved connection dies.
 *
 * @see {@link https://github.com/porsager/postgres/issues/1208 | the issue}
 */
export class PlainDialect extends PostgresJSDialect {
  readonly #sql: postgres.Sql;
  readonly #run: RunQuery;

  /** Wraps a pool, which stays the caller's to close; every query goes through `run`. */
  constructor(sql: postgres.Sql, run: RunQuery) {
    super({ postgres: sql });
    this.#sql = sql;
    this.#run = run;
  }

  /** Hands Kysely the driver that runs plain statements. */
  // deno-lint-ignore no-explicit-any -- the base class declares its own driver type here
  override createDriver(): any {
    return new PlainDriver(this.#sql, this.#run);
  }
}

class PlainDriver implements Driver {
  readonly #connection: DatabaseConnection;

  constructor(sql: postgres.Sql, run: RunQuery) {
    this.#connection = new PlainConnection(sql, run);
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  acquireConnection(): Promise<DatabaseConnection> {
    return Promise.resolve(this.#connection);
  }

  releaseConnection(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    return Promise.resolve();
  }

  beginTransaction(): Promise<void> {
    return refuse();
  }

  commitTransaction(): Promise<void> {
    return refuse();
  }

  rollbackTransaction(): Promise<void> {
    return refuse();
  }
}

class PlainConnection implements DatabaseConnection {
  readonly #sql: postgres.Sql;
  readonly #run: RunQuery;

  constructor(sql: postgres.Sql, run: RunQuery) {
    this.#sql = sql;
    this.#run = run;
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const rows = await this.#run(
      this.#sql.unsafe(sql, [...parameters] as never[], { prepare: true }),
    );
    return { rows: Array.from(rows) as Row[], numAffectedRows: BigInt(rows.count ?? 0) };
  }

  // deno-lint-ignore require-yield
  async *streamQuery(): AsyncIterableIterator<never> {
    await refuse();
  }
}

function refuse(): Promise<never> {
  return Promise.reject(
    new ConfigError("Cannot pin a connection: every statement of mpackd stands alone"),
  );
}
