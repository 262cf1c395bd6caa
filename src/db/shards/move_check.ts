/**
 * What a move of a shard needs from both servers.
 *
 * @module
 */

import type { Database } from "../client/database.ts";

/**
 * Which server this is, and since which failover; null: a standby. A standby that is promoted begins
 * a new timeline.
 */
const TIMELINE = `case when not pg_is_in_recovery() then
    (select system_identifier::text from pg_control_system()) || '/' ||
      left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
  end`;

/** Reads which server this is, and since which failover; null: it is a standby. */
export async function readTimeline(db: Database): Promise<string | null> {
  const [{ timeline }] = await db.query<{ timeline: string | null }>("look for a failover")`
    select ${db.sql.unsafe(TIMELINE)} as timeline`;
  return timeline;
}

/** The server that a shard leaves. */
export interface SourceServer {
  readonly schema: string | null;
  readonly database: string;
  readonly server_version: number;
  /** When the server was started: two servers do so at different moments. */
  readonly started_at: string;
  readonly wal_level: string;
  readonly max_slots: number;
  readonly used_slots: number;
  readonly max_senders: number;
  readonly used_senders: number;
  /** Whether the role that the target connects as may replicate; null: there is no such role. */
  readonly may_replicate: boolean | null;
  /** Whether ours may publish. */
  readonly may_publish: boolean;
  /** Tables of mpackd that our role does not own, and so cannot publish. */
  readonly not_owned: number;
  /** Bytes of all tables and indexes of the schema. */
  readonly bytes: number;
  readonly is_standby: boolean;
  readonly timeline: string | null;
}

/** Looks at the source. `role` is the one that the target connects as. */
export async function readSourceServer(source: Database, role: string): Promise<SourceServer> {
  const [row] = await source.query<SourceServer>("look at the source")`
    select current_schema()::text as schema, current_database()::text as database,
      current_setting('server_version_num')::int as server_version,
      pg_postmaster_start_time()::text as started_at,
      current_setting('wal_level') as wal_level,
      current_setting('max_replication_slots')::int as max_slots,
      (select count(*)::int from pg_replication_slots) as used_slots,
      current_setting('max_wal_senders')::int as max_senders,
      (select count(*)::int from pg_stat_replication) as used_senders,
      (select rolsuper or rolreplication from pg_roles where rolname = ${role}) as may_replicate,
      has_database_privilege(current_database(), 'create') as may_publish,
      (select count(*)::int from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
          and not pg_has_role(c.relowner, 'usage')) as not_owned,
      (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r') as bytes,
      pg_is_in_recovery() as is_standby, ${source.sql.unsafe(TIMELINE)} as timeline`;
  return row;
}

/** The server that gets a shard. */
export interface TargetServer {
  readonly database: string;
  readonly server_version: number;
  readonly started_at: string;
  readonly has_schema: boolean;
  /** Tables, views and sequences in the schema. */
  readonly relations: number;
  readonly max_workers: number;
  /** Of replication origins: one for the subscription, and for each table that is being copied. */
  readonly max_origins: number;
  readonly used_origins: number;
  readonly may_subscribe: boolean;
  readonly may_create: boolean;
  readonly is_standby: boolean;
  readonly timeline: string | null;
}

/** Looks at the target. */
export async function readTargetServer(target: Database, schema: string): Promise<TargetServer> {
  const [row] = await target.query<TargetServer>("look at the target")`
    select current_database()::text as database,
      current_setting('server_version_num')::int as server_version,
      pg_postmaster_start_time()::text as started_at,
      to_regnamespace(quote_ident(${schema})) is not null as has_schema,
      (select count(*)::int from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = ${schema} and c.relkind in ('r', 'p', 'f', 'm', 'v', 'S')) as relations,
      current_setting('max_logical_replication_workers')::int as max_workers,
      coalesce(current_setting('max_active_replication_origins', true),
        current_setting('max_replication_slots'))::int as max_origins,
      (select count(*)::int from pg_replication_origin) as used_origins,
      (select rolsuper from pg_roles where rolname = current_user) or coalesce((
        select pg_has_role(oid, 'member') from pg_roles
        where rolname = 'pg_create_subscription'), false) as may_subscribe,
      has_database_privilege(current_database(), 'create') as may_create,
      pg_is_in_recovery() as is_standby, ${target.sql.unsafe(TIMELINE)} as timeline`;
  return row;
}
