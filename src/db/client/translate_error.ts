import { ConfigError, DatabaseError, MpackdError, ShardMovedError } from "../../errors.ts";
import { codeOf, WRONG_SERVER } from "./error_code.ts";
import { TlsError } from "./tls.ts";

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const TEMPORARY_CLASSES = new Set([
  "08", // connection exception
  "40", // rolled back: serialisation failure, deadlock
  "53", // out of disk, memory or connections
  "57", // operator intervention: shutting down, starting up, cancelled, idle too long
  "58", // the system under the server failed
]);
const TEMPORARY = new Set(["25006", "55P03", "55006", "25P03"]);

// postgres.js's own words, and those of node:net.
const UNREACHABLE = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);

/** The fence around what `mpackd shard move` has moved raises it: see src/db/shards/fence.ts. */
export const SHARD_MOVED = "MPS01";

/** What was being done, and to which database. */
export interface FailedStatement {
  /** The verb phrase after "Cannot": "claim jobs". */
  readonly action: string;
  /** `Database.label`. */
  readonly label: string;
  /** The role that the URL names. */
  readonly user: string;
  /** `search_path` of the URL. */
  readonly searchPath?: string;
}

/**
 * Turns what postgres.js or the socket threw into an error that says what to do next.
 *
 * @returns The error itself if it is mpackd's or nothing that a database says.
 */
export function translateError(
  error: unknown,
  { action, label, user, searchPath }: FailedStatement,
): unknown {
  if (error instanceof MpackdError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const cannot = `Cannot ${action} on ${label}: `;
  const options = { cause: error };
  const temporary = (next: string) =>
    new DatabaseError(`${cannot}${error.message} (${code}); ${next}`, options);
  const permanent = (next: string) =>
    new DatabaseError(`${cannot}${error.message} (${code}); ${next}`, {
      ...options,
      retryable: false,
    });

  if (error instanceof TlsError) return new ConfigError(cannot + error.message, options);
  if (error.name === "NotCapable") {
    return new ConfigError(`${cannot}${error.message}`, options);
  }
  // While a standby is promoted, all servers are standbys for a moment.
  if (code === WRONG_SERVER) return new DatabaseError(cannot + error.message, options);
  if (UNREACHABLE.has(code)) return temporary("check that the server runs and can be reached");
  if (!/^[0-9A-Z]{5}$/.test(code)) return error;
  if (code === SHARD_MOVED) {
    return new ShardMovedError(
      `${cannot}${error.message}; do the same where the catalog says that it is now`,
      options,
    );
  }
  if (code === "53300") return temporary("lower the pool size or raise max_connections");
  if (code === "53100") return temporary("free disk space on the server");
  // PgBouncer's code for it is the one of a protocol violation.
  if (code === "08P01" && /startup parameter/.test(error.message)) {
    return new ConfigError(
      `${cannot}${error.message}; add prepare=false to DATABASE_URL if the pooler is in transaction ` +
        "mode, or else name the parameter in ignore_startup_parameters of pgbouncer.ini",
      options,
    );
  }
  if (TEMPORARY_CLASSES.has(code.slice(0, 2)) || TEMPORARY.has(code)) {
    return temporary("the same statement may succeed later");
  }
  if (code.startsWith("28")) return permanent("check user and password in DATABASE_URL");
  const config = (next: string) => new ConfigError(`${cannot}${error.message}; ${next}`, options);
  if (code === "42501") {
    return config(grantFor(error.message, { role: user, schema: schemaOf(searchPath) }));
  }
  if (code === "3D000") return config("create it or correct DATABASE_URL");
  // A schema that the role may not use is passed over like one that is not there.
  if (code === "3F000") {
    const schema = schemaOf(searchPath);
    return config(
      `run as the database's owner: create schema if not exists ${schema}; grant usage, create on ` +
        `schema ${schema} to "${user}"`,
    );
  }
  // mpackd's statements set nothing: only the start of a session does.
  if (code === "42704" || code === "22023") {
    if (/parameter "/.test(error.message)) return config("correct it in DATABASE_URL");
  }
  if (["42P01", "42703", "42883", "42P10"].includes(code)) {
    return config('run "mpackd migrate" first');
  }
  return permanent("this statement cannot succeed as it is");
}

/** The schema in which tables are made and found. */
function schemaOf(searchPath = "public"): string {
  return searchPath.split(",")[0].trim();
}

/** The one command that gives a role the right it lacks. */
function grantFor(
  message: string,
  { role, schema }: { readonly role: string; readonly schema: string },
): string {
  const to = `to "${role}"`;
  const [, kind, name] = /permission denied for (\w+) "?([^"]+)"?/.exec(message) ?? [];
  switch (kind) {
    case "schema":
      return `run as the schema's owner: grant create on schema ${name} ${to}`;
    case "table":
      return "run as the tables' owner: grant select, insert, update, delete " +
        `on all tables in schema ${schema} ${to}`;
    case "sequence":
      return `run as its owner: grant usage on sequence ${name} ${to}`;
    case "database":
      return `run as its owner: grant connect on database ${name} ${to}`;
    default:
      return `grant the role "${role}" the rights that docs/operations.md lists`;
  }
}

/** Whether a statement failed because no server was one that `target_session_attrs` asks for. */
export function isWrongServer(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && codeOf(error.cause) === WRONG_SERVER;
}
