import type { Database } from "../../../src/db/client/database.ts";

/** The keys of all indexed packs, sorted. */
export async function keysIn({ sql }: Database): Promise<string[]> {
  const rows = await sql<{ key: string }[]>`select mpack_key as key from musehub_mpacks`;
  return rows.map(({ key }) => key).sort();
}

/** What a move makes besides tables. */
export async function leftOf({ sql }: Database): Promise<string[]> {
  const hasPauses = (await sql`select to_regclass('mpackd_pauses') is not null as has`)[0].has;
  const pauses = hasPauses
    ? sql`union all select 'pause ' || value from mpackd_pauses where kind = 'all'`
    : sql``;
  const rows = await sql<{ what: string }[]>`
    select 'slot ' || slot_name as what from pg_replication_slots
      where database = current_database()
    union all select 'publication ' || pubname from pg_publication
    union all select 'origin ' || roname from pg_replication_origin o where not exists (
      select from pg_subscription s where o.roname like 'pg_' || s.oid || '%')
    union all select 'subscription ' || subname from pg_subscription
      where subdbid = (select oid from pg_database where datname = current_database())
    ${pauses}`;
  return rows.map(({ what }) => what);
}

/** All that is left on both sides after a move was aborted, the fence and the schema included. */
export async function leftOfAborted(source: Database, target: Database): Promise<string[]> {
  const fences = await source.sql<{ what: string }[]>`
    select 'trigger on ' || tgrelid::regclass::text as what from pg_trigger
      where tgname = 'mpackd_moved'
    union all select 'function ' || proname from pg_proc where proname = 'mpackd_moved'`;
  const schemas = await target.sql<{ what: string }[]>`
    select 'schema ' || nspname as what from pg_namespace where nspname = 's1'`;
  return [
    ...await leftOf(source),
    ...await leftOf(target),
    ...fences.map(({ what }) => what),
    ...schemas.map(({ what }) => what),
  ];
}
