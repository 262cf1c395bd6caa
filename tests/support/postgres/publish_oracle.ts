/**
 * Counts, in the database and whoever does it, how often each job was published or failed.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";

/** Starts to count. */
export async function installOracle({ sql }: Database): Promise<void> {
  await sql`create table job_ends (job_id text, status text, ends int, primary key (job_id, status))`;
  await sql.unsafe(`
    create function count_end() returns trigger language plpgsql as $$
    begin
      insert into job_ends values (new.job_id, new.status, 1)
      on conflict (job_id, status) do update set ends = job_ends.ends + 1;
      return null;
    end $$`);
  await sql`create trigger count_end after update on musehub_background_jobs for each row
    when (new.status in ('done', 'failed'))
    execute function count_end()`;
}

/** How many ends were counted. */
export async function countEnds({ sql }: Database): Promise<number> {
  return (await sql`select coalesce(sum(ends), 0)::int as ends from job_ends`)[0].ends;
}

/** Jobs that ended more than once, or in two ways. */
export async function endedTwice({ sql }: Database): Promise<string[]> {
  const rows = await sql<{ job_id: string }[]>`
    select job_id from job_ends group by job_id having sum(ends) > 1`;
  return rows.map(({ job_id }) => job_id);
}

/** Everything that readers see, without times and without what depends on the order of jobs. */
export async function dumpContent({ sql }: Database): Promise<string> {
  const tables = [
    await sql`select object_id, storage_uri, size_bytes, content_offset from musehub_objects
      order by object_id collate "C"`,
    await sql`select r.repo_id, object_id, mpack_key, content_offset, r.size_bytes
      from musehub_object_refs r join musehub_mpacks using (mpack_id)
      order by r.repo_id collate "C", object_id collate "C"`,
    await sql`select repo_id, mpack_key, blob_key, etag, size_bytes, objects, commits, snapshots,
      tags from musehub_mpacks order by repo_id collate "C", mpack_key collate "C"`,
  ];
  return tables.map((rows) => rows.map((row) => JSON.stringify(row)).join("\n")).join("\n\n");
}
