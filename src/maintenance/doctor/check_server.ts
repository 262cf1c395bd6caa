/**
 * Checks of the database server: version, role, settings that hurt, connections, clock.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { grouped } from "../../lib/numbers.ts";
import { type Check, failure, ok, warning } from "./check.ts";
import { checkClock } from "./check_clock.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** A connection that began this long before the process is one that a pooler kept. */
const POOLED_MS = 2_000;

interface Server {
  readonly version: string;
  readonly role: string;
  readonly at: number;
  readonly begun_at: number;
  readonly is_standby: boolean;
  readonly is_read_only: boolean;
  readonly fsync: string;
  readonly full_page_writes: string;
  readonly autovacuum: string;
  readonly wal_bytes: number;
  readonly buffer_bytes: number;
  readonly max_connections: number;
  readonly connections: number;
  readonly has_statements: boolean;
}

/** What a check of the server needs. */
export interface ServerOptions {
  readonly db: Database;
  /** The most connections that this configuration's worker and server open together. */
  readonly connections: number;
}

/** Looks at the server. Changes nothing. */
export async function* checkServer(
  { db, connections }: ServerOptions,
): AsyncGenerator<Check, void, undefined> {
  const sentAt = Date.now();
  const [server] = await db.query<Server>("look at the server")`
    select current_setting('server_version') as version, current_user::text as role,
      extract(epoch from clock_timestamp())::float8 * 1000 as at,
      coalesce((select extract(epoch from backend_start) from pg_stat_activity
        where pid = pg_backend_pid()), 0)::float8 * 1000 as begun_at,
      pg_is_in_recovery() as is_standby,
      current_setting('transaction_read_only') = 'on' as is_read_only,
      current_setting('fsync') as fsync,
      current_setting('full_page_writes') as full_page_writes,
      current_setting('autovacuum') as autovacuum,
      pg_size_bytes(current_setting('max_wal_size')) as wal_bytes,
      pg_size_bytes(current_setting('shared_buffers')) as buffer_bytes,
      current_setting('max_connections')::int as max_connections,
      (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
      exists (select from pg_extension where extname = 'pg_stat_statements') as has_statements`;
  const answeredAt = Date.now();
  yield ok("database", `PostgreSQL ${server.version}, ${db.label}, role ${server.role}`);
  yield checkClock("database clock", { sentAt, answeredAt, otherAt: server.at });
  yield checkWritable(server);
  yield checkPooler(server, db);
  yield* checkSettings(server);
  yield checkConnections(server, connections);
  yield ok(
    "database extensions",
    `none is needed; pg_stat_statements is ${server.has_statements ? "" : "not "}installed`,
  );
}

function checkWritable({ is_standby, is_read_only }: Server): Check {
  const name = "database writes";
  if (is_standby) {
    return failure(
      name,
      "the server is a standby",
      "name the primary in DATABASE_URL, or all hosts",
    );
  }
  if (!is_read_only) return ok(name, "accepted");
  return failure(
    name,
    "default_transaction_read_only is on",
    "find out who set it, then: alter database … reset default_transaction_read_only",
  );
}

function checkPooler({ begun_at }: Server, { isDirect }: Database): Check {
  const name = "database pooler";
  if (!isDirect) {
    return ok(name, "DATABASE_URL says that there is one; new jobs are found by polling");
  }
  if (begun_at === 0 || begun_at > performance.timeOrigin - POOLED_MS) return ok(name, "none");
  return warning(
    name,
    "the connection is older than this process, so a pooler keeps it",
    "add prepare=false to DATABASE_URL if the pooler is in transaction mode",
  );
}

function* checkSettings(server: Server): Generator<Check> {
  const settings: { setting: string; found: string; isBad: boolean; why: string; set: string }[] = [
    {
      setting: "fsync",
      found: server.fsync,
      isBad: server.fsync === "off",
      why: "a crash of the machine may destroy the database",
      set: "fsync = on",
    },
    {
      setting: "full_page_writes",
      found: server.full_page_writes,
      isBad: server.full_page_writes === "off",
      why: "a crash of the machine may destroy pages",
      set: "full_page_writes = on",
    },
    {
      setting: "autovacuum",
      found: server.autovacuum,
      isBad: server.autovacuum === "off",
      why: "the queue's table grows with every job",
      set: "autovacuum = on",
    },
    {
      setting: "max_wal_size",
      found: `${server.wal_bytes / MIB} MiB`,
      isBad: server.wal_bytes < GIB,
      why: "a publish of a million objects forces checkpoints",
      set: "max_wal_size = '4GB'",
    },
    {
      setting: "shared_buffers",
      found: `${server.buffer_bytes / MIB} MiB`,
      isBad: server.buffer_bytes < 128 * MIB,
      why: "index pages are read from disk again and again",
      set: "shared_buffers to a quarter of the server's memory",
    },
  ];
  const bad = settings.filter(({ isBad }) => isBad);
  for (const { setting, found, why, set } of bad) {
    const next = `set ${set} in postgresql.conf`;
    yield warning("database settings", `${setting} is ${found}: ${why}`, next);
  }
  if (bad.length > 0) return;
  const shown = settings.map(({ setting, found }) => `${setting} ${found}`).join(", ");
  yield ok("database settings", shown);
}

function checkConnections({ max_connections: most, connections }: Server, wanted: number): Check {
  const found = `${grouped(connections)} of ${grouped(most)} in use; serve --worker wants ` +
    grouped(wanted);
  if (connections + wanted <= most) return ok("database connections", found);
  return warning(
    "database connections",
    found,
    "raise max_connections, or lower MPACK_CONCURRENCY and MPACK_HTTP_PUSH_CONNECTIONS",
  );
}
