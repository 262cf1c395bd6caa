/**
 * The session settings that mpackd's statements rely on.
 *
 * An administrator can set them for a role, a database or the server. mpackd sends its own values at
 * the start of each session, and checks them when it opens a database: a pooler may not pass them on,
 * and a server older than a setting would refuse it.
 *
 * Not here: settings that are the administrator's to choose, such as search_path, work_mem,
 * synchronous_commit, and default_transaction_read_only, by which providers stop writes.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";

/** Sent at the start of each session, and checked; values as SHOW prints them. */
const PINNED: Readonly<Record<string, string>> = {
  // Deadlines are the client's: each statement has its own.
  statement_timeout: "0",
  lock_timeout: "0",
  idle_session_timeout: "0",
  idle_in_transaction_session_timeout: "0",
  // Texts that the driver reads, and that statements compare.
  client_encoding: "UTF8",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  extra_float_digits: "1",
  bytea_output: "hex",
  standard_conforming_strings: "on",
  array_nulls: "on",
  transform_null_equals: "off",
  // Claims skip locked rows, and a statement resolves its own unique conflicts. Under a stricter level
  // both become serialisation failures.
  default_transaction_isolation: "read committed",
  "plpgsql.extra_errors": "none",
};

/** Sent only: their defaults are others, and mpackd gives the same results with those. */
const PREFERRED: Readonly<Record<string, string>> = {
  TimeZone: "UTC",
  // With a policy on a table, statements fail instead of seeing some of its rows. `gc` would take the
  // blobs of the others for garbage.
  row_security: "off",
  // Every statement looks rows up by an index, or reads one in order. Where a table's statistics are
  // older than its rows, a bitmap scan and a sort look cheaper: a claim then read the whole queue.
  jit: "off",
  enable_bitmapscan: "off",
};

/** PostgreSQL 15 does not know transaction_timeout, and would refuse the connection. */
const CHECKED: Readonly<Record<string, string>> = { transaction_timeout: "0", ...PINNED };

/** What PgBouncer knows. It refuses other start-up parameters. */
const POOLED = ["client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings"];

/** The names that a URL may not set, in lower case. */
const OURS: ReadonlySet<string> = new Set(
  Object.keys({ ...CHECKED, ...PREFERRED }).map((name) => name.toLowerCase()),
);

/** The names of all settings that `checkSession()` wants to see. */
export const SESSION_SETTINGS: readonly string[] = Object.keys(CHECKED);

/**
 * Start-up parameters for a session.
 *
 * @param isDirect False behind a pooler.
 * @throws {ConfigError} If the URL sets what mpackd sets.
 */
export function sessionParameters(
  given: Readonly<Record<string, string>>,
  { isDirect }: { readonly isDirect: boolean },
): Record<string, string> {
  for (const word of Object.keys(given)) {
    if (OURS.has(word.toLowerCase())) {
      throw new ConfigError(
        `Cannot use "${word}" in DATABASE_URL: mpackd sets it for each session`,
      );
    }
  }
  const ours = Object.entries({ ...PREFERRED, ...PINNED })
    .filter(([name]) => isDirect || POOLED.includes(name));
  return { ...Object.fromEntries(ours), ...given };
}

/**
 * Refuses a session whose settings are not the pinned ones.
 *
 * @param settings By name, as SHOW prints them; null where the server does not know one.
 * @throws {ConfigError} That names each of them, and the statement that sets it.
 */
export function checkSession(
  settings: Readonly<Record<string, string | null>>,
  label: string,
): void {
  const wrong = Object.entries(CHECKED).filter(([name, value]) =>
    typeof settings[name] === "string" && settings[name] !== value
  );
  if (wrong.length === 0) return;
  const found = wrong.map(([name]) => `${name} is ${settings[name]}`).join(", ");
  const statements = wrong.map(([name, value]) =>
    `alter role current_user set ${name} = '${value}'`
  );
  throw new ConfigError(
    `Cannot use ${label}: ${found}; a pooler does not pass on what mpackd sets, or the server knows ` +
      `a setting that older ones do not. Run: ${statements.join("; ")}`,
  );
}
