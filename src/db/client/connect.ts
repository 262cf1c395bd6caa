import postgres from "postgres";
import type { ConnectionBudget } from "./connection_budget.ts";
import type { BuildStatement, Database, RunSql, StatementOptions } from "./database.ts";
import { execute } from "./execute.ts";
import { parseTime } from "./parse_time.ts";
import { parseUrl } from "./parse_url.ts";
import { sessionParameters } from "./session.ts";
import { SocketPool } from "./sockets.ts";
import { readTlsSettings } from "./tls.ts";

const CLOSE_TIMEOUT_SECONDS = 5;
const CONNECT_TIMEOUT_MS = 10_000;
const MAX_BACKOFF_SECONDS = 2;

/** How to connect. */
export interface ConnectOptions {
  /** Most connections open at once, 1 or more. */
  readonly maxConnections: number;
  /** Milliseconds a statement may take unless its caller says otherwise. Default 30,000. */
  readonly statementTimeoutMs?: number;
  /** The name shown in `pg_stat_activity`. Default: the URL's `application_name`, or `mpackd`. */
  readonly applicationName?: string;
  /** Milliseconds to reach the server and log in. Default: the URL's `connect_timeout`, or 10 s. */
  readonly connectTimeoutMs?: number;
  /** Close a connection unused for so many milliseconds. Default: keep it. */
  readonly idleTimeoutMs?: number;
  /** Close a connection after so many milliseconds, once its statement has ended. Default: keep it. */
  readonly maxLifetimeMs?: number;
  /**
   * The cap that the pool shares with others.
   *
   * @ignore
   */
  readonly budget?: ConnectionBudget;
  /** The shard's name, for messages. */
  readonly shard?: string;
  /** Called for every NOTIFY on a channel that one of the connections listens to. */
  readonly onNotify?: (channel: string, payload: string) => void;
  /** Called whenever a connection was closed, by either side. */
  readonly onClose?: () => void;
  /**
   * Whether one of three or more connections is only for claims: the first claim of a connection takes
   * its server process some 10 ms of planning, and the driver uses all connections in turn.
   */
  readonly isForWorker?: boolean;
  /** Called when nothing listens at the URL; returns the URL of the same database from now on. */
  readonly relocate?: () => Promise<string>;
}

/**
 * Opens a pool for a `postgres://` URL; the first statement connects.
 *
 * The URL's words are libpq's. `prepare=false` suits a transaction pooler (PgBouncer before 1.21),
 * and words that no client knows are sent to the server as run-time parameters.
 *
 * @throws {ConfigError} If it is not a URL, names no host, user or database, has a word that mpackd
 * cannot obey, or names a file that cannot be read.
 */
export function connectDatabase(url: string, options: ConnectOptions): Database {
  const { places, user, password, database, ...target } = parseUrl(url);
  const {
    maxConnections,
    statementTimeoutMs = 30_000,
    applicationName = target.applicationName ?? "mpackd",
    connectTimeoutMs = target.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    idleTimeoutMs,
    maxLifetimeMs,
    budget,
    shard,
    onNotify,
    onClose,
    relocate,
    isForWorker = false,
  } = options;
  const isDirect = target.isPreparing;
  const sockets = new SocketPool({
    places,
    tls: readTlsSettings(target.ssl),
    target: target.sessionTarget,
    connectTimeoutMs,
    relocate: relocate && (async () => parseUrl(await relocate()).places),
  });
  const open = (max: number) =>
    postgres({
      // One host, for messages: given several, postgres.js tries again without a pause until one answers.
      host: [places[0].host],
      port: [places[0].port],
      path: places[0].path,
      socket: () => sockets.open(),
      user,
      pass: password,
      database,
      // Each option is given, because postgres.js asks the environment for every one that is not.
      max,
      ssl: false,
      sslnegotiation: null,
      idle_timeout: idleTimeoutMs === undefined ? null : idleTimeoutMs / 1000,
      connect_timeout: connectTimeoutMs / 1000,
      max_lifetime: maxLifetimeMs === undefined ? null : maxLifetimeMs / 1000,
      // No pipelining: a heartbeat must not queue behind a publish on the same connection.
      max_pipeline: 0,
      backoff: (retries: number) =>
        (0.5 + Math.random() / 2) * Math.min(3 ** retries / 100, MAX_BACKOFF_SECONDS),
      keep_alive: target.keepAliveSeconds,
      prepare: isDirect,
      debug: false,
      fetch_types: false,
      publications: "alltables",
      target_session_attrs: null,
      onnotice: () => {},
      onnotify: onNotify,
      onclose: budget === undefined ? onClose : () => {
        onClose?.();
        budget.wake();
      },
      types: {
        // Counts, sizes and fences, all far below 2^53.
        int8: { to: 20, from: [20], parse: Number, serialize: String },
        date: {
          to: 1184,
          from: [1082, 1114, 1184],
          parse: parseTime,
          serialize: (time: Date | string) => new Date(time).toISOString(),
        },
      },
      connection: {
        application_name: applicationName,
        ...sessionParameters(target.parameters, { isDirect }),
      },
    } as unknown as postgres.Options<Record<string, postgres.PostgresType>>) as postgres.Sql;
  // Pools that share a cap count the connections of one.
  const hasOneForClaims = isForWorker && budget === undefined && maxConnections > 2;
  const sql = open(hasOneForClaims ? maxConnections - 1 : maxConnections);
  const claims = hasOneForClaims ? open(1) : sql;

  const place = `${database} at ${places.map(({ path, host, port }) => path ?? `${host}:${port}`)}`;
  const slots = budget?.open();
  slots?.watch(sockets);
  const close = async () => {
    await Promise.all([sql, claims].map((pool) => pool.end({ timeout: CLOSE_TIMEOUT_SECONDS })));
    sockets.close();
    slots?.close();
  };
  let closing: Promise<void> | undefined;
  return {
    sql,
    claims,
    label: shard === undefined ? place : `shard ${shard} (${place})`,
    ...(shard === undefined ? {} : { shard }),
    statementTimeoutMs,
    isDirect,
    sockets,
    ...(slots === undefined ? {} : { slots }),
    // `this`: a copy of the pool with an `intercept` of its own sends its statements through that.
    query<Row>(this: Database, action: string, options?: StatementOptions): RunSql<Row> {
      return async (text, ...values) => {
        const pool = options?.isClaim ? this.claims : this.sql;
        const query = () => pool<(Row & object)[]>(text, ...values as never[]);
        return Array.from(await execute(this, query, { ...options, action }));
      };
    },
    async run<Row>(this: Database, action: string, text: string, parameters: readonly string[]) {
      const query = () =>
        this.sql.unsafe<(Row & object)[]>(text, [...parameters], { prepare: true });
      return Array.from(await execute(this, query, { action }));
    },
    async build<Row>(
      this: Database,
      action: string,
      build: BuildStatement<Row>,
      options?: StatementOptions,
    ): Promise<Row[]> {
      const { runBuilt } = await import("./build.ts");
      return await runBuilt(this, build, { ...options, action });
    },
    close: () => closing ??= close(),
  };
}
