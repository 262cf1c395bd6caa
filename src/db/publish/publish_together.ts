import type postgres from "postgres";
import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { finishedJob } from "./finished_job.ts";
import { execute } from "../client/execute.ts";
import type { Lease } from "../lease.ts";
import { isUniqueViolation, type PublishOutcome } from "./publish.ts";
import type { PublishPack } from "./publish_pack.ts";
import type { Suspects } from "./optimistic_insert.ts";

/** A proved pack whose rows are all in memory, and the job that brings it. */
export interface SmallPack {
  /** The job, under its first claim: no earlier attempt can have left staged rows. */
  readonly lease: Lease;
  /** The pack; of one group no two have the same mpack key. */
  readonly pack: PublishPack;
}

interface Row {
  readonly jobId: string;
  readonly mpackId: number;
  readonly objectsWritten: number;
  readonly objectRefsWritten: number;
  readonly result: Record<string, unknown>;
}

/** Whether a pack may be published together with others: nothing is staged, and no id comes twice. */
export function isSmallPack({ lease, pack }: SmallPack): boolean {
  return pack.batches === 0 && pack.sortedUnique && lease.fence === 1 &&
    pack.inline !== undefined && pack.inline.length === pack.objects;
}

/** How to publish a group. */
export interface TogetherOptions {
  /** Milliseconds each statement may take. */
  readonly deadlineMs: number;
  /** Which ids earlier groups found known; learns from this one. Default: every id is looked at. */
  readonly suspects?: Suspects;
}

/**
 * Publishes small packs by one statement: each one wholly or not at all, under its own fence.
 *
 * A statement for each spends most of its time on itself (plan, snapshot, commit). Whatever is not
 * plain is left out and as it was, for {@link publish} to judge: a lost lease, a doomed or moved
 * blob, a repo with damaged refs, a pack that another job is publishing at this moment.
 *
 * To look for conflicts is a third of an insert's work, and few ids of small packs are known: only
 * suspects are looked up, the others inserted as they are. If one of those is known after all, that
 * statement has no effect, and one that looks at each takes its place.
 *
 * Locks are taken in the order that `publish` takes them in: jobs, packs, objects, refs, and each of
 * these by name.
 *
 * @returns The published ones, by job.
 */
export async function publishTogether(
  database: Database,
  packs: readonly SmallPack[],
  { deadlineMs, suspects }: TogetherOptions,
): Promise<Map<string, PublishOutcome>> {
  const send = (suspects?: Suspects) =>
    execute(database, togetherStatement(database, packs, suspects), {
      action: "publish packs",
      deadlineMs,
    });
  const sendHopefully = async (suspects: Suspects) => {
    try {
      const rows = await send(suspects);
      suspects.wasRight();
      return rows;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      suspects.wasWrong(error);
      return await send();
    }
  };
  const rows = await (suspects?.isHopeful() ? sendHopefully(suspects) : send());
  return new Map(rows.map(({ jobId, ...row }) => [
    jobId,
    { outcome: "published", ...row, duplicateObjects: 0, healedRefs: 0 },
  ]));
}

function togetherStatement(
  { sql }: Database,
  packs: readonly SmallPack[],
  suspects: Suspects | undefined,
): postgres.PendingQuery<Row[]> {
  const given = packs.map(({ lease, pack }, n) => ({
    n,
    job_id: lease.jobId,
    fence: lease.fence,
    repo_id: pack.repoId,
    mpack_key: pack.mpackKey,
    blob_key: pack.blobKey,
    etag: pack.etag,
    storage_uri: pack.storageUri,
    size_bytes: pack.sizeBytes,
    objects: pack.objects,
    commits: pack.commits,
    snapshots: pack.snapshots,
    tags: pack.tags,
    result: pack.result,
  }));
  const inlines = packs.map(({ pack }) => pack.inline!).filter(({ length }) => length > 0);
  const numbers = packs.flatMap(({ pack }, n) => new Array<number>(pack.objects).fill(n));
  const ids = `{${inlines.map(({ idsText }) => idsText).join(",")}}`;
  const suspected = suspects === undefined
    ? []
    : inlines.flatMap(({ idsText }) =>
      idsText.split(",").map((id) => suspects.has(id) ? "t" : "f")
    );
  const ifKnown = (key: string) =>
    sql.unsafe(suspects === undefined ? `on conflict (${key}) do nothing` : "");
  return sql<Row[]>`
      /* mpackd publish together */ with given as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(given)}::text::jsonb) as given(
          n integer, job_id text, fence bigint, repo_id text, mpack_key text, blob_key text,
          etag text, storage_uri text, size_bytes bigint, objects bigint, commits bigint,
          snapshots bigint, tags bigint, result jsonb)
      ), lease as materialized (
        select given.n
        from (select n, job_id, fence from given order by job_id) as given
        -- One look at the index for each: in a join the planner, which believes in a hundred rows
        -- of a function, read all jobs instead.
        cross join lateral (
          select from musehub_background_jobs j
          where j.job_id = given.job_id and j.fence = given.fence
            and (j.status = 'running') is not false
          for update of j
        ) as j
      ), go as materialized (
        select given.* from lease join given using (n)
        where not exists (
            -- gc doubts its own word after minutes: an old one is of a gc that was killed.
            select from mpackd_doomed
            where name in (given.blob_key, given.repo_id)
              and doomed_at > now() - interval '1 hour')
          -- Counted, not "exists": as a join, planned while the table is small, it would read all refs
          -- until somebody analyzes them.
          and (
            select count(*) from (
              select from musehub_object_refs r
              where r.repo_id = given.repo_id and r.damaged_at is not null
              limit 100
            ) as damaged
          ) = 0
      ), known_pack as materialized (
        select go.n, p.mpack_id, p.is_moved
        from go cross join lateral (
          select mpack_id,
            blob_key is distinct from go.blob_key or etag is distinct from go.etag as is_moved
          from musehub_mpacks
          where repo_id = go.repo_id and mpack_key = go.mpack_key
          limit 1
        ) as p
      ), new_pack as (
        insert into musehub_mpacks (repo_id, mpack_key, blob_key, etag, size_bytes, objects,
          commits, snapshots, tags)
        select repo_id, mpack_key, blob_key, etag, size_bytes, objects, commits, snapshots, tags
        from go
        where n not in (select n from known_pack)
        order by repo_id collate "C", mpack_key collate "C"
        on conflict (repo_id, mpack_key) do nothing
        returning mpack_key, mpack_id
      ), pack as materialized (
        select go.*, mpack_id from known_pack join go using (n) where not is_moved
        union all
        select go.*, mpack_id from new_pack join go using (mpack_key)
      ), rows as materialized (
        select u.*, pack.repo_id, pack.mpack_id, pack.storage_uri
        from unnest(${arrayLiteral(numbers)}::integer[], ${ids}::text[],
            ${arrayLiteral(inlines.flatMap((rows) => rows.contentOffsets))}::bigint[],
            ${arrayLiteral(inlines.flatMap((rows) => rows.sizesBytes))}::bigint[],
            ${arrayLiteral(suspected)}::boolean[])
          as u(n, object_id, content_offset, size_bytes, is_suspect)
        join pack using (n)
        order by u.object_id collate "C", n
      ), known_objects as materialized (
        select object_id from (select distinct object_id from rows where is_suspect) as suspect
        cross join lateral (
          select from musehub_objects o where o.object_id = suspect.object_id limit 1
        ) as o
      ), known_refs as materialized (
        select repo_id, object_id
        from (select distinct repo_id, object_id from rows where is_suspect) as suspect
        cross join lateral (
          select from musehub_object_refs r
          where r.repo_id = suspect.repo_id and r.object_id = suspect.object_id limit 1
        ) as r
      ), objects as (
        insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
        select distinct on (object_id collate "C") object_id, storage_uri, size_bytes, content_offset
        from rows
        where is_suspect is not true or object_id not in (select object_id from known_objects)
        order by object_id collate "C", n
        ${ifKnown("object_id")}
        returning storage_uri
      ), written as materialized (
        select storage_uri, count(*) as objects from objects group by storage_uri
      ), refs as (
        insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes)
        select distinct on (repo_id collate "C", object_id collate "C") repo_id, object_id, mpack_id,
          content_offset, size_bytes
        from rows
        where (select count(*) from written) >= 0 and (is_suspect is not true
          or (repo_id, object_id) not in (select repo_id, object_id from known_refs))
        order by repo_id collate "C", object_id collate "C", n
        ${ifKnown("repo_id, object_id")}
        returning mpack_id
      ), linked as materialized (
        select mpack_id, count(*) as refs from refs group by mpack_id
      ), counts as materialized (
        select pack.job_id, pack.mpack_id, pack.result, coalesce(written.objects, 0) as objects,
          coalesce(linked.refs, 0) as refs,
          round(1000 * extract(epoch from clock_timestamp() - statement_timestamp()))::int
            as publish_ms
        from pack left join written using (storage_uri) left join linked using (mpack_id)
      )
      update musehub_background_jobs j set ${
    finishedJob(sql, { given: "counts.result", duplicates: "0" })
  }
      from counts
      -- The sum is a word to the planner, which takes it for one row in 200: planned for more, while
      -- the table is small, the join would read all jobs.
      where j.job_id = counts.job_id and counts.refs = counts.refs + 0
      returning j.job_id as "jobId", counts.mpack_id as "mpackId",
        counts.objects as "objectsWritten", counts.refs as "objectRefsWritten", j.result`;
}
