/**
 * Checks what a move needs, before anything is made.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { parseUrl } from "../../db/client/parse_url.ts";
import { pendingMigrations } from "../../db/schema/migrate.ts";
import { TABLES } from "../../db/schema/tables.ts";
import {
  readSourceServer,
  readTargetServer,
  type SourceServer,
  type TargetServer,
} from "../../db/shards/move_check.ts";
import { isMoved, isOurs, tablesThere, type TableThere } from "../../db/shards/move_sql.ts";
import { probeSource } from "../../db/shards/move_target.ts";
import { ConfigError, DatabaseError } from "../../errors.ts";
import { conninfoOf } from "./conninfo.ts";

/** The move's own slot, and one for each of the two tables that a subscription copies at once. */
const SLOTS = 3;

/** What the move works with. */
export interface CheckedMove {
  readonly schema: string;
  readonly bytes: number;
  /** Which servers these are, and since which failovers. */
  readonly oldTimeline: string | null;
  readonly newTimeline: string | null;
  /** Those whose rows move. */
  readonly tables: readonly TableThere[];
}

/**
 * Looks at both servers.
 *
 * @param conninfo.sourceUrl The source as the target sees it.
 * @throws {ConfigError} That names all that is missing, each with the next step.
 */
export async function checkMove(
  { source, target, shard, sourceUrl, isBegun }: {
    readonly source: Database;
    readonly target: Database;
    readonly shard: string;
    readonly sourceUrl: string;
    /** Whether the target's schema is what a move has made so far. */
    readonly isBegun: boolean;
  },
): Promise<CheckedMove> {
  const pending = await pendingMigrations(source);
  if (pending.length > 0) {
    throw new ConfigError(
      `Cannot move shard ${shard}: it lacks ${pending.join(", ")}; run "mpackd migrate" first`,
    );
  }
  const { user } = parseUrl(sourceUrl);
  const from = await readSourceServer(source, user), schema = from.schema!;
  const to = await readTargetServer(target, schema), tables = await tablesThere(source);
  const problems = [
    ...problemsOfSource(from, { user, isBegun }),
    ...problemsOfTables(tables),
    ...problemsOfTarget(to, { schema, isBegun }),
  ];
  if (from.started_at === to.started_at && from.database === to.database) {
    problems.push(
      `it is in this database already; a move needs another database, on this server or another`,
    );
  }
  if (problems.length > 0) {
    throw new ConfigError(`Cannot move shard ${shard}: ${problems.join(". ")}`);
  }
  if (!isBegun) await probeSource(target, conninfoOf(sourceUrl)).catch(explainProbe);
  return {
    schema,
    bytes: from.bytes,
    oldTimeline: from.timeline,
    newTimeline: to.timeline,
    tables: tables.filter(isMoved),
  };
}

function problemsOfSource(
  from: SourceServer,
  { user, isBegun }: { readonly user: string; readonly isBegun: boolean },
): string[] {
  const problems: string[] = [];
  if (from.is_standby) problems.push("its server is a standby; use the primary's URL");
  if (from.wal_level !== "logical") {
    problems.push(
      `its server has wal_level=${from.wal_level}; run there "alter system set wal_level = logical" ` +
        "and restart it",
    );
  }
  const free = from.max_slots - from.used_slots;
  if (!isBegun && free < SLOTS) {
    problems.push(
      `its server has ${free} of ${from.max_slots} replication slots free and ${SLOTS} are needed; ` +
        "raise max_replication_slots and restart it",
    );
  }
  const senders = from.max_senders - from.used_senders;
  if (!isBegun && senders < SLOTS) {
    problems.push(
      `its server has ${senders} of ${from.max_senders} WAL senders free and ${SLOTS} are needed; ` +
        "raise max_wal_senders and restart it",
    );
  }
  if (from.may_replicate !== true) {
    problems.push(
      `the role "${user}" may not replicate; run there: alter role "${user}" replication`,
    );
  }
  if (!from.may_publish) {
    problems.push(
      "our role may not publish; run there: grant create on database " +
        `"${from.database}" to the role of the shard's URL`,
    );
  }
  if (from.not_owned > 0) {
    problems.push(
      `our role does not own ${from.not_owned} of its tables; move it as the role that ran "mpackd ` +
        'migrate"',
    );
  }
  return problems;
}

function problemsOfTables(tables: readonly TableThere[]): string[] {
  const problems: string[] = [];
  const others = tables.filter((table) => !isOurs(table)).map(({ name }) => name);
  if (others.length > 0) {
    problems.push(
      `its schema has tables that are not mpackd's: ${
        others.join(", ")
      }; they would stay behind; ` +
        "move them to another schema first",
    );
  }
  for (const { name } of tables.filter((table) => isMoved(table) && !table.has_identity)) {
    problems.push(
      `${name} has no primary key, so updates cannot be replicated; run there: ` +
        `alter table ${name} replica identity full`,
    );
  }
  for (const { name, columns } of tables.filter(isMoved)) {
    const known = TABLES[name as keyof typeof TABLES];
    const extra = columns.filter((column) => !Object.hasOwn(known, column));
    if (extra.length > 0) {
      problems.push(
        `${name} has columns that are not mpackd's: ${
          extra.join(", ")
        }; the target would lack them`,
      );
    }
  }
  return problems;
}

function problemsOfTarget(
  to: TargetServer,
  { schema, isBegun }: { readonly schema: string; readonly isBegun: boolean },
): string[] {
  const problems: string[] = [];
  if (to.is_standby) problems.push("the target is a standby; use the primary's URL");
  if (!to.may_subscribe) {
    problems.push(
      "our role on the target may not subscribe; it has to be a superuser there, or from " +
        "PostgreSQL 16 on a member of pg_create_subscription",
    );
  }
  if (to.max_workers < 2) {
    problems.push(
      `the target has max_logical_replication_workers=${to.max_workers}; set it to 4 and restart it`,
    );
  }
  const free = to.max_origins - to.used_origins;
  if (!isBegun && free < SLOTS) {
    problems.push(
      `the target has ${free} of ${to.max_origins} replication origins free and ${SLOTS} are needed; ` +
        "raise max_replication_slots (from PostgreSQL 18 on max_active_replication_origins) and " +
        "restart it",
    );
  }
  if (!isBegun && to.relations > 0) {
    problems.push(
      `the target has a schema ${schema} that is not empty; a shard keeps its schema's name, so use ` +
        "another database, or remove what is there",
    );
  }
  if ((!to.has_schema || to.may_subscribe) && !to.may_create) {
    problems.push(
      `our role may not create schemas and subscriptions in the target; run there: grant create on ` +
        `database "${to.database}" to the role of the URL`,
    );
  }
  return problems;
}

function explainProbe(error: unknown): never {
  if (!(error instanceof DatabaseError)) throw error;
  throw new ConfigError(
    `${error.message}. The target's server connects to the source's: if it sees it under another ` +
      "address, or as another role, name that with --source-url",
    { cause: error },
  );
}
