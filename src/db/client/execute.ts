import type postgres from "postgres";
import { DatabaseError } from "../../errors.ts";
import type { Database, StatementOptions } from "./database.ts";
import { startDeadline } from "../../lib/deadline.ts";
import { CANNOT_CONNECT_NOW, codeOf, isUnsent } from "./error_code.ts";
import { translateError } from "./translate_error.ts";

/** How long the server may take to obey a cancel before its connection is closed. */
const CANCEL_GRACE_MS = 2_000;

/** The server cannot write: it is a standby, or was made read-only. Nothing was executed. */
const READ_ONLY = "25006";
/** The server or the connection to it goes away; the next connection should try another host. */
const LEAVING = /^(57P0[123]|08...|CONNECTION_\w+|ECONNRESET|EPIPE|ETIMEDOUT)$/;

/** The server has answered, if only with an error. */
const SQL_STATE = /^(?!57P|08)[0-9A-Z]{5}$/;

/** What to call a statement, and how long it may take. */
export interface ExecuteOptions extends StatementOptions {
  /** The verb phrase after "Cannot" in errors: "claim jobs". */
  readonly action: string;
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
 * After the deadline the statement is cancelled on the server. If that has no effect either, its
 * connection is closed, so that a server which hangs takes time but no place in the pool. A write
 * may have taken effect all the same.
 *
 * @param query The statement. As a function it is sent again, to the next host, if the server cannot
 * be reached or cannot write: then it was not executed.
 * @throws {DatabaseError} If the server is unreachable, refuses, or does not answer in time.
 * @throws {ConfigError} If the database or a table is not there.
 */
export async function execute<T extends readonly (object | undefined)[]>(
  db: Database,
  query: postgres.PendingQuery<T> | (() => postgres.PendingQuery<T>),
  { action, deadlineMs = db.statementTimeoutMs }: ExecuteOptions,
): Promise<postgres.RowList<T>> {
  const { label, sockets, slots } = db;
  if (slots !== undefined) await slots.take(deadlineMs, `Cannot ${action} on ${label}`);
  let isAnswered = false;
  const next = typeof query === "function" ? query : undefined;
  const startedAt = performance.now();
  let running = next?.() ?? query as postgres.PendingQuery<T>;
  let stop = () => {}, isLate = false;
  const late = new Promise<never>((_, reject) => {
    stop = startDeadline(deadlineMs, () => {
      isLate = true;
      cancel(db, running as Running);
      stop = startDeadline(CANCEL_GRACE_MS, () => {
        sockets.dropSilent(startedAt);
        reject(new Error("the server did not obey a cancel either"));
      });
    });
  });
  try {
    for (let attempt = 1;; attempt++) {
      try {
        const settled = sockets.settled();
        if (settled !== undefined) await Promise.race([settled, late]);
        const rows = await Promise.race([db.intercept?.(running, action) ?? running, late]);
        isAnswered = true;
        return withoutHoles(rows);
      } catch (error) {
        if (isLate) {
          throw new DatabaseError(
            `Cannot ${action} on ${label}: no answer in ${deadlineMs} ms; ` +
              "the same statement may succeed later",
            { cause: error, shard: db.shard },
          );
        }
        const code = codeOf(error), isReadOnly = code === READ_ONLY;
        isAnswered = SQL_STATE.test(code);
        if (isReadOnly || LEAVING.test(code)) {
          const { pid = null } = (running as Running).state ?? {};
          await sockets.leave(pid, { isReadOnly });
        }
        // A read-only server of one name may have been replaced by another one behind it; and one that
        // has closed an idle connection may take another.
        const isClosed = isUnsent(error) && code === "ECONNRESET";
        const attempts = sockets.places.length + (isReadOnly || isClosed ? 1 : 0);
        const isSafe = isUnsent(error) || code === CANNOT_CONNECT_NOW ||
          (isReadOnly && sockets.isWriting);
        if (next === undefined || !isSafe || attempt >= attempts) {
          const { user, connection: { search_path: searchPath } } = db.sql.options as unknown as {
            user: string;
            connection: { search_path?: string };
          };
          const translated = translateError(error, { action, label, user, searchPath });
          throw translated instanceof DatabaseError && db.shard !== undefined
            ? Object.assign(translated, { shard: db.shard })
            : translated;
        }
        running = next();
      }
    }
  } finally {
    stop();
    slots?.give({ isAnswered });
  }
}

/**
 * The rows, from the first one on.
 *
 * postgres.js 3.4.9 counts rows per connection, and starts again only when a statement completes. If
 * a connection dies after a statement's first row, the count stays, and the first result of the
 * connection that replaces it begins with that many holes. A missing first row would pass for a lost
 * lease.
 */
function withoutHoles<Rows extends readonly unknown[]>(rows: Rows): Rows {
  if (rows.length > 0 && !(0 in rows)) {
    (rows as unknown as unknown[]).splice(0, Number(Object.keys(rows)[0]));
  }
  return rows;
}

function cancel(db: Database, query: Running): void {
  const pid = query.state?.pid;
  // A query that waits for a connection is only removed from the queue. For one that runs,
  // postgres.js would open a socket, whose failure is an unhandled rejection. So use the pool.
  if (pid === undefined) {
    query.cancel();
    // A statement for which a connection is being opened is in no queue. If it is cancelled when the
    // connection is there, postgres.js 3.4.9 passes it over and forgets the connection: open, idle,
    // never used again. So let it be sent; its answer is ignored.
    query.cancelled = null;
  } else if (pid !== null && db.isDirect) {
    db.sql`select pg_cancel_backend(${pid}::int)`.catch(() => {});
  }
}
