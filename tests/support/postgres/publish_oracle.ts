/**
 * What a publish left in the database: how often each job ended, and the rows that readers see.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";

/** Starts to count, by a trigger, how often each job ends. */
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

/** All rows that readers see, without times and without ids that depend on the order of jobs. */
export async function dumpContent({ sql }: Database): Promise<string> {
  const tables = [
    await sql`select object_id, storage_uri, size_bytes, content_offset from musehub_objects
      order by object_id collate "C"`,
    await sql`select r.repo_id, object_id, mpack_key, content_offset, r.size_bytes
      from musehub_object_refs r join musehub_mpacks using (mpack_id)
      order by r.repo_id collate "C", object_id collate "C"`,
    await sql`select repo_id, mpack_key, blob_key, etag, size_bytes, objects, commits, snapshots,
      tags from musehub_mpacks order by repo_id collate "C", mpack_key collate "C"`,
    await sql`select commit_id from musehub_commits order by commit_id collate "C"`,
    await sql`select snapshot_id from musehub_snapshots order by snapshot_id collate "C"`,
    await sql`select r.repo_id, commit_id, mpack_key, record_offset, record_bytes, snapshot_id, author,
        committed_at, committed_time, message, annotations, annotations_merged
      from musehub_commit_refs r join musehub_mpacks using (mpack_id)
      order by r.repo_id collate "C", commit_id collate "C"`,
    await sql`select r.repo_id, snapshot_id, mpack_key, record_offset, record_bytes, entries,
        parent_snapshot_id, delta_depth
      from musehub_snapshot_refs r join musehub_mpacks using (mpack_id)
      order by r.repo_id collate "C", snapshot_id collate "C"`,
    await sql`select * from musehub_commit_graph
      order by repo_id collate "C", commit_id collate "C"`,
    await sql`select repo_id, name, head_commit_id from musehub_branches
      order by repo_id collate "C", name collate "C"`,
    await sql`select repo_id, tag, commit_id from musehub_tags
      order by repo_id collate "C", tag collate "C"`,
  ];
  return tables.map((rows) => rows.map((row) => JSON.stringify(row)).join("\n")).join("\n\n");
}

/** The same and what is damaged, as the model has it (see publish_model.ts). */
export async function dumpModelled({ sql }: Database): Promise<string[]> {
  const rows = [
    ...await sql`select object_id, storage_uri, content_offset, size_bytes from musehub_objects`
      .values(),
    ...await sql`
      select r.repo_id, object_id, mpack_key, content_offset, r.size_bytes,
        case when damaged_at is not null then damage end
      from musehub_object_refs r join musehub_mpacks using (mpack_id)`.values(),
    ...await sql`select repo_id, mpack_key, blob_key, etag from musehub_mpacks`.values(),
  ];
  return rows.map((row) => JSON.stringify([...row])).sort();
}
