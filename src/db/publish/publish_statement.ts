import type postgres from "postgres";
import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { finishedJob } from "./finished_job.ts";
import type { Lease } from "../lease.ts";
import type { PublishPack } from "./publish_pack.ts";

/** What the publish statement answers; no row at all when the lease is lost. */
export interface PublishRow {
  /** How many rows were found, staged and inline. */
  readonly found: number;
  /** How many of them repeat an id. */
  readonly duplicates: number;
  /** The first id that comes with two sizes, else null. */
  readonly conflictId: string | null;
  /** Where that id's first content begins. */
  readonly firstOffset: number | null;
  /** Where its other content begins. */
  readonly secondOffset: number | null;
  /** Whether `gc` is deleting the blob or the repo. */
  readonly isTombstoned: boolean;
  /** Null when nothing was published. */
  readonly mpackId: number | null;
  /** Rows inserted into `musehub_objects`. */
  readonly objectsWritten: number;
  /** Rows inserted into `musehub_object_refs`. */
  readonly objectRefsWritten: number;
  /** Rows whose damaged location was replaced. */
  readonly healed: number;
  /** The result as the job now holds it. */
  readonly result: Record<string, unknown> | null;
}

/**
 * Builds the one statement that makes a proved pack visible and its job done.
 *
 * Locks are taken in one order by everybody: job, pack, objects by id, refs by id. Postgres runs a
 * CTE when somebody first reads it, so each step reads a count of the step before; and it reads a
 * materialized one in its own order, so the inserts need no sort of theirs (2 s in a million rows).
 * An anti-join against the known ids costs what the conflict check does, so that alone decides.
 */
export function publishStatement(
  database: Database,
  lease: Lease,
  pack: PublishPack,
): postgres.PendingQuery<PublishRow[]> {
  const { sql } = database;
  const { repoId, mpackKey, blobKey, etag, batches, inline } = pack;
  const isFresh = pack.sortedUnique && pack.isStageFresh === true && batches > 0;

  const inlineRows = sql`
    select u.object_id, u.content_offset, u.size_bytes,
      false as is_known_object, false as is_known_ref
    from lease, unnest(${`{${inline?.idsText ?? ""}}`}::text[],
      ${arrayLiteral(inline?.contentOffsets ?? [])}::bigint[],
      ${arrayLiteral(inline?.sizesBytes ?? [])}::bigint[])
      as u(object_id, content_offset, size_bytes)`;
  const stagedRows = sql`
    select u.object_id, u.content_offset, u.size_bytes,
      (${isFresh}::boolean and u.is_known_object) is true as is_known_object,
      (${isFresh}::boolean and u.is_known_ref) is true as is_known_ref
    from (
      select s.* from lease
      join mpack_staged_objects s on s.job_id = lease.job_id and s.batch < ${batches}::integer
      order by s.batch
    ) as s, unnest(s.object_ids, s.content_offsets, s.sizes_bytes, s.known_objects, s.known_refs)
      as u(object_id, content_offset, size_bytes, is_known_object, is_known_ref)`;
  // What is staged and fresh is inserted without a look for conflicts, and first: of sorted packs the
  // rows in memory have the greater ids.
  const rows = batches === 0
    ? inlineRows
    : inline === undefined || isFresh
    ? stagedRows
    : sql`${stagedRows} union all ${inlineRows}`;

  // Strictly rising ids are in order as they lie, and none has a second: each insert unnests them
  // for itself. To sort and keep them first took a tenth of the time.
  // Else, of rows with one id the first in the pack counts.
  const ordered = pack.sortedUnique
    ? sql`ordered as not materialized (
        select *, false as is_duplicate, null::bigint as first_offset, false as is_conflict
        from (${rows}) as rows
      ), seen as materialized (
        select ${inline?.length ?? 0}::bigint + (
            select coalesce(sum(s.rows), 0) from mpack_staged_objects s
            where s.job_id = lease.job_id and s.batch < ${batches}::integer
          ) as found, 0::bigint as duplicates, 0::bigint as conflicts
        from lease
      )`
    : sql`ordered as materialized (
        select *,
          coalesce(lag(object_id) over same = object_id, false) as is_duplicate,
          lag(content_offset) over same as first_offset,
          coalesce(lag(object_id) over same = object_id
            and lag(size_bytes) over same <> size_bytes, false) as is_conflict
        from (${rows}) as rows window same as (order by object_id collate "C", content_offset)
      ), seen as materialized (
        select count(*) as found, count(*) filter (where is_duplicate) as duplicates,
          count(*) filter (where is_conflict) as conflicts
        from ordered
      )`;

  const insertObjects = (from: string, onConflict: string) =>
    sql`
      insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
      select object_id, ${pack.storageUri}, size_bytes, content_offset from ${sql.unsafe(from)}
      where (select count(*) from pack) > 0 and not is_duplicate and not is_known_object
      ${sql.unsafe(onConflict)}
      returning 1`;
  const insertRefs = (from: string, onConflict: string) =>
    sql`
      insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes)
      select ${repoId}, object_id, (select mpack_id from pack), content_offset, size_bytes
      from ${sql.unsafe(from)}
      where (select objects from written) >= 0 and (select count(*) from pack) > 0
        and not is_duplicate and not is_known_ref
      ${sql.unsafe(onConflict)}
      returning 1`;
  const [ifObjectKnown, ifRefKnown] = [
    "on conflict (object_id) do nothing",
    "on conflict (repo_id, object_id) do nothing",
  ];
  const insertRows = isFresh
    ? sql`last as not materialized (
        select *, false as is_duplicate, null::bigint as first_offset, false as is_conflict
        from (${inlineRows}) as rows
      ), objects as (${insertObjects("ordered", "")}
      ), last_objects as (
        ${
      insertObjects(
        "(select last.* from last, (select count(*) from objects) as before) as last",
        ifObjectKnown,
      )
    }
      ), written as materialized (
        select (select count(*) from objects) + (select count(*) from last_objects) as objects
      ), refs as (${insertRefs("ordered", "")}
      ), last_refs as (
        ${
      insertRefs(
        "(select last.* from last, (select count(*) from refs) as before) as last",
        ifRefKnown,
      )
    }
      ), linked as materialized (
        select (select count(*) from refs) + (select count(*) from last_refs) as refs
      )`
    : sql`objects as (${insertObjects("ordered", ifObjectKnown)}
      ), written as materialized (
        select count(*) as objects from objects
      ), refs as (${insertRefs("ordered", ifRefKnown)}
      ), linked as materialized (
        select count(*) as refs from refs
      )`;

  return sql<PublishRow[]>`
    /* mpackd publish */ with lease as materialized (
      select job_id from musehub_background_jobs
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint
        and (status = 'running') is not false
      for update
    ), ${ordered}, conflict as (
      select object_id, first_offset, content_offset from ordered
      where is_conflict and (select conflicts from seen) > 0
      order by content_offset limit 1
    ), doomed as materialized (
      -- gc doubts its own word after minutes: an old one is of a gc that was killed.
      select count(*) as names from mpackd_doomed
      where name in (${blobKey}, ${repoId}) and doomed_at > now() - interval '1 hour'
    ), go as materialized (
      select job_id from lease, seen, doomed
      where conflicts = 0 and found = ${pack.objects}::bigint and names = 0
    ), known_pack as materialized (
      select mpack_id, blob_key is distinct from ${blobKey} or etag is distinct from ${etag}
          as is_moved
      from musehub_mpacks, go where repo_id = ${repoId} and mpack_key = ${mpackKey}
    ), moved_pack as (
      update musehub_mpacks set blob_key = ${blobKey}, etag = ${etag}
      where (select count(*) from known_pack where is_moved) > 0
        and mpack_id in (select mpack_id from known_pack)
      returning 1
    ), new_pack as (
      insert into musehub_mpacks (repo_id, mpack_key, blob_key, etag, size_bytes, objects, commits,
        snapshots, tags)
      select ${repoId}, ${mpackKey}, ${blobKey}, ${etag}, ${pack.sizeBytes}::bigint,
        ${pack.objects}::bigint, ${pack.commits}::bigint, ${pack.snapshots}::bigint,
        ${pack.tags}::bigint
      from go
      where not exists (select from known_pack)
      on conflict (repo_id, mpack_key) do update set blob_key = excluded.blob_key, etag = excluded.etag
      returning mpack_id
    ), pack as materialized (
      select mpack_id from known_pack where (select count(*) from moved_pack) >= 0
      union all
      select mpack_id from new_pack
    ), ${insertRows}, suspects as materialized (
      select object_id from musehub_object_refs
      where repo_id = ${repoId} and damaged_at is not null
        and (select refs from linked) >= 0 and (select count(*) from pack) > 0
    ), broken as materialized (
      -- "is true" keeps the lookup a hash table; as a join it would be planned for ten rows.
      select object_id, content_offset, size_bytes from (
        select * from ordered ${isFresh ? sql`union all select * from last` : sql``}
      ) as rows
      where (select count(*) from suspects) > 0 and not is_duplicate
        and (object_id in (select object_id from suspects)) is true
    ), damaged as materialized (
      -- DO UPDATE in the insert would lock every known row, and so rewrite it.
      select r.object_id, broken.content_offset, broken.size_bytes
      from broken join musehub_object_refs r
        on r.repo_id = ${repoId} and r.object_id = broken.object_id
      -- What this very pack was caught lying about, it lies about again: nothing here hashes it.
      where (select count(*) from broken) > 0 and r.damaged_at is not null
        and (r.damage is distinct from 'lie' or r.mpack_id <> (select mpack_id from pack))
      order by r.object_id collate "C"
      for update of r
    ), healed as (
      update musehub_object_refs r set mpack_id = (select mpack_id from pack),
        content_offset = damaged.content_offset, size_bytes = damaged.size_bytes, damaged_at = null,
        damage = null
      from damaged
      where (select count(*) from damaged) > 0 and r.repo_id = ${repoId}
        and r.object_id = damaged.object_id
      returning 1
    ), cleared as (
      delete from mpack_staged_objects s using go where s.job_id = go.job_id
    ), counts as materialized (
      select written.objects, linked.refs, (select count(*) from healed) as healed,
        round(1000 * extract(epoch from clock_timestamp() - statement_timestamp()))::int as publish_ms
      from written, linked
    ), done as (
      update musehub_background_jobs j set ${
    finishedJob(sql, { given: "given.result", duplicates: "seen.duplicates" })
  }
      from go, counts, seen, (select ${JSON.stringify(pack.result)}::text::jsonb as result) as given
      where j.job_id = ${lease.jobId}
      returning j.result
    )
    select found, duplicates,
      conflict.object_id as "conflictId", conflict.first_offset as "firstOffset",
      conflict.content_offset as "secondOffset", (select names > 0 from doomed) as "isTombstoned",
      (select mpack_id from pack) as "mpackId", counts.objects as "objectsWritten",
      counts.refs as "objectRefsWritten", counts.healed, (select result from done) as result
    from lease, seen, counts left join conflict on true`;
}
