/**
 * What a killed process leaves behind, looked at from the database.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";

/**
 * Waits until no statement of another session is running: the server ends what it was sent. One
 * that was parsed and waits for its parameters was not.
 */
export async function settled({ sql }: Database): Promise<void> {
  for (;;) {
    const [{ busy }] = await sql`
      select count(*)::int as busy from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
        and wait_event is distinct from 'ClientRead'`;
    if (busy === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What readers see, without the names that differ from one database to the next. */
export async function comparable({ sql }: Database): Promise<string> {
  const [{ digest }] = await sql`
    select
      (select md5(string_agg(o::text, ',' order by object_id collate "C")) from (
        select object_id, storage_uri, size_bytes, content_offset from musehub_objects) o)
      || (select md5(string_agg(r::text, ',' order by object_id collate "C")) from (
        select object_id, content_offset, size_bytes from musehub_object_refs) r)
      || (select string_agg(p::text, ',' order by mpack_key) from (
        select mpack_key, size_bytes, objects, commits, snapshots, tags from musehub_mpacks) p)
      as digest`;
  return digest;
}

/** How many rows readers see. */
export async function visibleRows({ sql }: Database): Promise<number> {
  const [{ rows }] = await sql`
    select (select count(*) from musehub_objects) + (select count(*) from musehub_object_refs)
      + (select count(*) from musehub_mpacks) as rows`;
  return rows;
}

/** Whether readers see a pack: cheap enough to be asked again and again. */
export async function isVisible({ sql }: Database): Promise<boolean> {
  const [{ found }] = await sql`select exists (select from musehub_mpacks) as found`;
  return found;
}
