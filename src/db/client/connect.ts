import postgres from "postgres";
import { ConfigError } from "../../errors.ts";
import type { BuildStatement, Database, RunSql, StatementOptions } from "./database.ts";
import { execute } from "./execute.ts";
import { SocketPool } from "./sockets.ts";

const DEFAULT_PORT = 5432;
const CLOSE_TIMEOUT_SECONDS = 5;
const KEEP_ALIVE_SECONDS = 15;
const MAX_BACKOFF_SECONDS = 2;

/** How to connect. */
export interface ConnectOptions {
  /** Most connections open at once, 1 or more. */
  readonly maxConnections: number;
  /** Milliseconds a statement may take unless its caller says otherwise. Default 30,000. */
  readonly statementTimeoutMs?: number;
  /** The name shown in `pg_stat_activity`. Default `mpackd`. */
  readonly applicationName?: string;
  /** Milliseconds to reach the server and log in. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Close a connection unused for so many milliseconds. Default: keep it. */
  readonly idleTimeoutMs?: number;
  /** Called for every NOTIFY on a channel that one of the connections listens to. */
  readonly onNotify?: (channel: string) => void;
  /** Called whenever a connection was closed, by whomever. */
  readonly onClose?: () => void;
}

/**
 * Opens a pool for a `postgres://` URL; the first statement connects.
 *
 * In the URL's query, `sslmode` chooses TLS, `prepare=false` suits a transaction pooler (PgBouncer
 * before 1.21), and anything else is sent to the server as a run-time parameter.
 *
 * @throws {ConfigError} If the URL is not one, or names no host, user or database.
 */
export function connectDatabase(url: string, options: ConnectOptions): Database {
  const {
    maxConnections,
    statementTimeoutMs = 30_000,
    applicationName = "mpackd",
    connectTimeoutMs = 10_000,
    idleTimeoutMs,
    onNotify,
    onClose,
  } = options;
  const { hosts, ports, path, user, password, name, query } = parseUrl(url);
  const { prepare, sslmode, ssl = sslmode, sslnegotiation, ...parameters } = query;
  const isDirect = prepare !== "false";
  const sockets = new SocketPool({ hosts, ports, path });
  const sql = postgres({
    host: hosts,
    port: ports,
    path,
    user,
    pass: password,
    database: name,
    // Each option is given, because postgres.js asks the environment for every one that is not.
    max: maxConnections,
    ssl: ssl === undefined || ssl === "disable" ? false : ssl,
    sslnegotiation: sslnegotiation ?? null,
    idle_timeout: idleTimeoutMs === undefined ? null : idleTimeoutMs / 1000,
    connect_timeout: connectTimeoutMs / 1000,
    max_lifetime: null,
    // No pipelining: a heartbeat must not queue behind a publish on the same connection.
    max_pipeline: 0,
    backoff: (retries: number) =>
      (0.5 + Math.random() / 2) * Math.min(3 ** retries / 100, MAX_BACKOFF_SECONDS),
    keep_alive: KEEP_ALIVE_SECONDS,
    prepare: isDirect,
    debug: false,
    fetch_types: false,
    publications: "alltables",
    target_session_attrs: null,
    onnotice: () => {},
    onnotify: onNotify,
    onclose: onClose,
    socket: () => sockets.open(),
    types: {
      // Counts, sizes and fences, all far below 2^53.
      int8: { to: 20, from: [20], parse: Number, serialize: String },
    },
    connection: {
      application_name: applicationName,
      // A pooler refuses start-up parameters that it does not know.
      // Every statement looks rows up by an index, or reads one in order. Where a table's statistics
      // are older than its rows, a bitmap scan and a sort look cheaper: a claim then read the queue
      // from end to end.
      ...(isDirect ? { jit: "off", enable_bitmapscan: "off" } : {}),
      TimeZone: "UTC",
      ...parameters,
    },
  } as unknown as postgres.Options<Record<string, postgres.PostgresType>>) as postgres.Sql;

  let closing: Promise<void> | undefined;
  return {
    sql,
    label: `${name} at ${path ?? hosts.map((host, i) => `${host}:${ports[i]}`).join(",")}`,
    statementTimeoutMs,
    isDirect,
    sockets,
    // `this`: a copy of the pool with an `intercept` of its own sends its statements through that.
    query<Row>(this: Database, action: string, options?: StatementOptions): RunSql<Row> {
      return async (text, ...values) => {
        const query = this.sql<(Row & object)[]>(text, ...values as never[]);
        return Array.from(await execute(this, query, { ...options, action }));
      };
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
    close: () => closing ??= sql.end({ timeout: CLOSE_TIMEOUT_SECONDS }),
  };
}

function parseUrl(url: string) {
  // Several hosts are fine for Postgres but not for the URL class: lend it the first one.
  const [, scheme, auth = "", authority = "", rest = ""] =
    /^(\w+):\/\/([^@/?#]*@)?([^/?#]*)(.*)$/s.exec(url) ?? [];
  if (scheme !== "postgres" && scheme !== "postgresql") {
    throw new ConfigError("Cannot use DATABASE_URL: it does not begin with postgres://");
  }
  let parsed: URL;
  try {
    parsed = new URL(`${scheme}://${auth}${authority.split(",")[0]}${rest}`);
  } catch {
    // The URL stays out of the message: it holds a password.
    throw new ConfigError("Cannot use DATABASE_URL: it is not a URL; percent-encode its password");
  }
  const query: Record<string, string> = Object.fromEntries(parsed.searchParams);
  const { host: socketFolder, ...others } = query;
  const places = authority.split(",").map((place) => {
    const [, host, port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(place) ?? [];
    return { host: (host ?? "").replace(/^\[|\]$/g, ""), port: Number(port ?? DEFAULT_PORT) };
  });
  const user = decodeURIComponent(parsed.username);
  const name = decodeURIComponent(parsed.pathname.slice(1));
  if ((places[0].host === "" && !socketFolder?.startsWith("/")) || user === "" || name === "") {
    throw new ConfigError(
      "Cannot use DATABASE_URL: it needs a host, a user and a database, " +
        "as in postgres://user:password@host:5432/database",
    );
  }
  return {
    hosts: places.map(({ host }) => host),
    ports: places.map(({ port }) => port),
    path: socketFolder?.startsWith("/") ? `${socketFolder}/.s.PGSQL.${places[0].port}` : undefined,
    user,
    password: decodeURIComponent(parsed.password),
    name,
    query: others,
  };
}
