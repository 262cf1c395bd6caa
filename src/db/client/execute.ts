import type postgres from "postgres";
import { DatabaseError } from "../../errors.ts";
import type { Database } from "./database.ts";
import { translateError } from "./translate_error.ts";

/** How long the server gets to obey a cancel before its connection is given up. */
const CANCEL_GRACE_MS = 2_000;

/** What to call a statement and how long it may take. */
export interface ExecuteOptions {
  /** The verb phrase after "Cannot" in errors: "claim jobs". */
  readonly action: string;
  /** Milliseconds until the statement is cancelled. Default: `Database.statementTimeoutMs`. */
  readonly deadlineMs?: number;
}

/** The part of a query that postgres.js keeps to itself: which server process runs it. */
interface Running {
  readonly state?: { readonly pid: number | null } | null;
  cancelled?: unknown;
  cancel(): void;
}

/**
 * Runs one statement to its end or to its deadline; every statement of mpackd goes through here.
 *
 * After the deadline the statement is cancelled on the server, and when that has no effect either,
 * its connection is destroyed, so that a hung server costs time but no pool slot. A write may have
 * taken effect all the same.
 *
 * @throws {DatabaseError} If the server is unreachable, refuses, or does not answer in time.
 * @throws {ConfigError} If the database or a table is not there.
 */
export async function execute<T extends readonly (object | undefined)[]>(
  database: Database,
  query: postgres.PendingQuery<T>,
  { action, deadlineMs = database.statementTimeoutMs }: ExecuteOptions,
): Promise<postgres.RowList<T>> {
  const startedAt = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isLate = false;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      giveUp(database, query as Running, startedAt, (next) => timer = next, reject);
    }, deadlineMs);
  });
  try {
    const rows = await Promise.race([database.intercept?.(query, action) ?? query, late]);
    return withoutHoles(rows);
  } catch (error) {
    if (isLate) {
      throw new DatabaseError(
        `Cannot ${action} on ${database.label}: no answer in ${deadlineMs} ms; ` +
          "the same statement may succeed later",
        { cause: error },
      );
    }
    throw translateError(error, { action, label: database.label });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The rows, from the first one on.
 *
 * postgres.js 3.4.9 counts rows per connection and starts anew only when a statement completes. One
 * that dies after its first row leaves the count behind, and the first result of the connection
 * that takes its place begins with so many holes. "No first row" would pass for a lost lease.
 */
function withoutHoles<Rows extends readonly unknown[]>(rows: Rows): Rows {
  if (rows.length > 0 && !(0 in rows)) {
    (rows as unknown as unknown[]).splice(0, Number(Object.keys(rows)[0]));
  }
  return rows;
}

function giveUp(
  database: Database,
  query: Running,
  startedAt: number,
  rearm: (timer: ReturnType<typeof setTimeout>) => void,
  reject: (reason: Error) => void,
): void {
  const pid = query.state?.pid;
  // A query still waiting for a connection is only taken off the list. For a running one
  // postgres.js opens a socket, whose failure would be an unhandled rejection; so ask the pool.
  if (pid === undefined) {
    query.cancel();
    // The statement that a connection was opened for is on no list. Found cancelled when the
    // connection is there, it would be passed over, and postgres.js 3.4.9 forget the connection:
    // open, idle, never used again. So it is sent; nobody waits for it any more.
    query.cancelled = null;
  } else if (pid !== null && database.isDirect) {
    database.sql`select pg_cancel_backend(${pid}::int)`.catch(() => {});
  }
  rearm(setTimeout(() => {
    database.sockets.dropSilent(startedAt);
    reject(new Error("the server did not obey a cancel either"));
  }, CANCEL_GRACE_MS));
}
