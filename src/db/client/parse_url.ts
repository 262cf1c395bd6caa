import { ConfigError } from "../../errors.ts";

/**
 * How to use TLS, as libpq means it. `prefer`: if the server has it. `require`: always. `verify-ca`:
 * check the certificate's chain. `verify-full`: check its name, too. libpq's `allow` is `prefer`.
 *
 * @see {@link https://www.postgresql.org/docs/current/libpq-ssl.html | SSL Support}
 */
export type SslMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full";

/** Which servers of several hosts to use. */
export type SessionTarget = "any" | "read-write" | "read-only" | "primary" | "standby";

/** One host to try. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** The Unix socket, instead of the network. */
  readonly path?: string;
}

/** A database URL in parts. */
export interface ParsedUrl {
  readonly places: readonly Place[];
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly ssl: {
    readonly mode: SslMode;
    /** Whether TLS begins at once, without asking the server in clear text. */
    readonly isDirect: boolean;
    /** File of the CA certificates to trust, or `system`. */
    readonly rootCert?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly minVersion?: string;
    readonly maxVersion?: string;
  };
  readonly sessionTarget: SessionTarget;
  /** False behind a pooler that cannot keep prepared statements. */
  readonly isPreparing: boolean;
  readonly connectTimeoutMs?: number;
  /** Seconds of silence before TCP probes the peer; 0: never. */
  readonly keepAliveSeconds: number;
  readonly applicationName?: string;
  /** Run-time parameters for the server, such as `search_path`. */
  readonly parameters: Readonly<Record<string, string>>;
}

const DEFAULT_PORT = 5432;
const KEEP_ALIVE_SECONDS = 15;
const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;
const SESSION_TARGETS = ["any", "read-write", "read-only", "primary", "standby"] as const;
const TLS_VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

/**
 * Words of libpq and of other clients that have one meaning here: what mpackd does anyway. Another
 * value is refused. Where there is no list, mpackd's deadlines do what the word is for.
 */
const ACCEPTED: Readonly<Record<string, readonly string[] | undefined>> = {
  gssencmode: ["disable", "prefer"],
  sslcompression: ["0"],
  sslsni: ["1"],
  sslcertmode: ["allow"],
  client_encoding: ["UTF8", "utf8", "UTF-8", "utf-8", "auto"],
  load_balance_hosts: ["disable"],
  min_protocol_version: ["3.0"],
  max_protocol_version: undefined,
  tcp_user_timeout: undefined,
  keepalives_interval: undefined,
  keepalives_count: undefined,
  fallback_application_name: undefined,
  // node-postgres and Supabase's console.
  uselibpqcompat: undefined,
  supa: undefined,
  workaround: undefined,
};

/** Words that mpackd cannot obey, and what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  hostaddr: "write the address as the host",
  passfile: "write the password into the URL",
  service: "write host, user and database into the URL",
  servicefile: "write host, user and database into the URL",
  replication: "mpackd needs an ordinary connection",
  require_auth: "leave it out; sslmode=verify-full proves the server",
  requirepeer: "leave it out",
  krbsrvname: "mpackd logs in with a password or a client certificate",
  gsslib: "mpackd logs in with a password or a client certificate",
  gssdelegation: "mpackd logs in with a password or a client certificate",
  scram_client_key: "write the password into the URL",
  scram_server_key: "write the password into the URL",
  oauth_issuer: "mpackd logs in with a password or a client certificate",
  oauth_client_id: "mpackd logs in with a password or a client certificate",
  oauth_client_secret: "mpackd logs in with a password or a client certificate",
  oauth_scope: "mpackd logs in with a password or a client certificate",
  sslpassword: "store the client's key without a password, and name it with sslkey",
  sslcrl: "mpackd reads no revocation lists",
  sslcrldir: "mpackd reads no revocation lists",
  sslkeylogfile: "leave it out",
  // Prisma, JDBC, asyncpg.
  sslaccept: "use sslmode=require or sslmode=verify-full",
  sslidentity: "use sslcert and sslkey",
  sslfactory: "use sslmode and sslrootcert",
  currentSchema: "use search_path",
  connection_limit: "set MPACK_DB_CONNECTIONS",
  pool_timeout: "leave it out",
  socket_timeout: "set MPACK_DB_TIMEOUT_MS",
  statement_cache_size: "leave it out, or use prepare=false",
  prepared_statement_cache_size: "leave it out, or use prepare=false",
};

/**
 * Parses a database URL. It understands libpq's words, or refuses them by name: no word of a client
 * is sent to the server as a run-time parameter.
 *
 * @throws {ConfigError} If it is not such a URL, names no host, user or database, or has a word that
 * mpackd cannot obey. The message never shows the URL, which holds a password.
 * @see {@link https://www.postgresql.org/docs/current/libpq-connect.html | libpq's words}
 */
export function parseUrl(url: string): ParsedUrl {
  const { authority, parsed } = splitUrl(url);
  const words: Record<string, string> = Object.fromEntries(parsed.searchParams);
  const {
    host = authority,
    port,
    user = decode(parsed.username),
    password = decode(parsed.password),
    dbname: database = decode(parsed.pathname.slice(1)),
    sslmode,
    ssl,
    sslrootcert: rootCert,
    sslcert: cert,
    sslkey: key,
    sslnegotiation,
    ssl_min_protocol_version,
    ssl_max_protocol_version,
    channel_binding,
    target_session_attrs,
    prepare,
    pgbouncer,
    connect_timeout,
    keepalives,
    keepalives_idle,
    application_name: applicationName,
    schema,
    ...others
  } = words;
  // A NUL would end the value, and begin a parameter of the sender's choice.
  for (const text of [user, password, database, ...Object.values(words)]) {
    if (text.includes("\0")) throw new ConfigError("Cannot use DATABASE_URL: it holds a NUL");
  }
  const places = parsePlaces(host, port);
  if (places.some((place) => place.host === "") || user === "" || database === "") {
    throw new ConfigError(
      "Cannot use DATABASE_URL: it needs a host, a user and a database, " +
        "as in postgres://user:password@host:5432/database",
    );
  }
  return {
    places,
    user,
    password,
    database,
    ssl: {
      mode: parseSslMode({ sslmode, ssl, rootCert, channel_binding }),
      isDirect: oneOf(["postgres", "direct"], "sslnegotiation", sslnegotiation) === "direct",
      rootCert,
      cert,
      key,
      minVersion: oneOf(TLS_VERSIONS, "ssl_min_protocol_version", ssl_min_protocol_version),
      maxVersion: oneOf(TLS_VERSIONS, "ssl_max_protocol_version", ssl_max_protocol_version),
    },
    sessionTarget: oneOf(SESSION_TARGETS, "target_session_attrs", target_session_attrs) ??
      "read-write",
    isPreparing: oneOf(["true", "false"], "prepare", prepare) !== "false" &&
      oneOf(["true", "false"], "pgbouncer", pgbouncer) !== "true",
    connectTimeoutMs: (wholeNumber("connect_timeout", connect_timeout) || 0) * 1_000 || undefined,
    keepAliveSeconds: oneOf(["0", "1"], "keepalives", keepalives) === "0"
      ? 0
      : wholeNumber("keepalives_idle", keepalives_idle) || KEEP_ALIVE_SECONDS,
    applicationName,
    parameters: parseParameters(schema === undefined ? others : { search_path: schema, ...others }),
  };
}

/** Splits off the hosts, of which the URL class takes only one, and checks the rest. */
function splitUrl(url: string): { authority: string; parsed: URL } {
  const [, scheme, auth = "", authority = "", rest = ""] =
    /^(\w+):\/\/(?:([^/?#]*)@)?([^/?#]*)(.*)$/s.exec(url) ?? [];
  if (scheme !== "postgres" && scheme !== "postgresql") {
    throw new ConfigError("Cannot use DATABASE_URL: it does not begin with postgres://");
  }
  try {
    if (auth.includes("@")) throw new TypeError();
    return { authority, parsed: new URL(`${scheme}://${auth}${auth && "@"}host${rest}`) };
  } catch {
    throw new ConfigError(
      "Cannot use DATABASE_URL: it is not a URL; percent-encode its password (@ is %40, / is %2F)",
    );
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ConfigError("Cannot use DATABASE_URL: a % in it is not followed by two hex digits");
  }
}

/** Parses the hosts: HOST:PORT as in the authority of a URL, or names and folders of `?host=`. */
function parsePlaces(hosts: string, ports: string | undefined): Place[] {
  const portList = ports?.split(",") ?? [];
  return hosts.split(",").map((text, i) => {
    const isFolder = text.startsWith("/");
    const [, name, ownPort] = isFolder
      ? [text, text]
      : /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(text) ?? [];
    if (name === undefined) {
      throw new ConfigError(
        "Cannot use DATABASE_URL: its host is not HOST or HOST:PORT; percent-encode its password",
      );
    }
    const host = isFolder ? name : decode(name.replace(/^\[|\]$/g, ""));
    const port = parsePort(ownPort ?? portList[i] ?? portList[0]);
    return host.startsWith("/") ? { host, port, path: `${host}/.s.PGSQL.${port}` } : { host, port };
  });
}

function parsePort(text = String(DEFAULT_PORT)): number {
  const port = wholeNumber("port", text || String(DEFAULT_PORT))!;
  if (port < 1 || port > 65_535) throw refuse("port", "it is not a number from 1 to 65535");
  return port;
}

/** The mode that the words ask for together. */
function parseSslMode(
  words: Record<"sslmode" | "ssl" | "rootCert" | "channel_binding", string | undefined>,
): SslMode {
  // JDBC and Heroku write ssl=true; node-postgres knows no-verify.
  const bySsl = oneOf(["true", "false"], "ssl", words.ssl);
  const synonyms: Record<string, SslMode> = { allow: "prefer", "no-verify": "require" };
  const { sslmode = "" } = words;
  const given = Object.hasOwn(synonyms, sslmode)
    ? synonyms[sslmode]
    : oneOf(SSL_MODES, "sslmode", words.sslmode);
  let mode: SslMode = given ??
    (bySsl === undefined ? "prefer" : bySsl === "true" ? "require" : "disable");
  const isSystem = words.rootCert === "system";
  if (isSystem && given === undefined) mode = "verify-full";
  if (isSystem && mode !== "verify-full") {
    throw refuse("sslrootcert", "sslrootcert=system needs sslmode=verify-full");
  }
  // As libpq does: a CA is named to be checked.
  if (words.rootCert !== undefined && mode === "require") mode = "verify-ca";
  // The driver cannot bind the login to the TLS channel. A server whose certificate and name are
  // checked gives what the binding is for: no other server is logged in to.
  const binding = oneOf(
    ["disable", "prefer", "require"],
    "channel_binding",
    words.channel_binding,
  );
  if (binding !== "require") return mode;
  if (mode === "disable") {
    throw refuse("channel_binding", "channel_binding=require needs TLS, and sslmode is disable");
  }
  return "verify-full";
}

/** The words that are not the client's: run-time parameters for the server. */
function parseParameters(words: Readonly<Record<string, string>>): Record<string, string> {
  const parameters: Record<string, string> = {};
  for (const [word, value] of Object.entries(words)) {
    if (Object.hasOwn(REFUSED, word)) throw refuse(word, REFUSED[word]);
    if (!Object.hasOwn(ACCEPTED, word)) parameters[word] = value;
    else oneOf(ACCEPTED[word] ?? [value], word, value);
  }
  return parameters;
}

function oneOf<Value extends string>(
  values: readonly Value[],
  word: string,
  value: string | undefined,
): Value | undefined {
  if (value === undefined || values.includes(value as Value)) return value as Value | undefined;
  throw refuse(word, `mpackd knows ${word}=${values.join(`, ${word}=`)}`);
}

function wholeNumber(word: string, value: string | undefined): number | undefined {
  if (value === undefined || /^\d{1,9}$/.test(value)) return value && Number(value) || 0;
  throw refuse(word, "it is not a whole number");
}

function refuse(word: string, why: string): ConfigError {
  return new ConfigError(`Cannot use "${word}" in DATABASE_URL: ${why}`);
}
