/**
 * The rows that a repack moves into one new pack.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import type { ObjectLocation } from "../refs.ts";
import type { CommitRow } from "./commits.ts";
import { placeColumns } from "./places.ts";
import type { SnapshotRow } from "./snapshots.ts";

/** Reading or changing a whole repo takes minutes. */
const SCAN_DEADLINE_MS = 10 * 60_000;
/** A repack that began so long ago was killed. */
const OLD_RUN = "1 day";

/** Kinds of rows, in the order of the pack's sections. */
export const MOVED_KINDS = ["commit", "snapshot", "object"] as const;

/** A kind of rows. */
export type MovedKind = typeof MOVED_KINDS[number];

/** One repack: packs of one repo into one. */
export interface Repack {
  readonly repoId: string;
  readonly runId: string;
  /** The packs that are replaced. */
  readonly mpackIds: readonly number[];
}

/** A pack that a repack may replace. */
export interface SmallPack {
  readonly mpackId: number;
  readonly sizeBytes: number;
}

/** Lists the packs of a repo that have at most `maxBytes` and that something points into, oldest first. */
export function smallPacks(
  db: Database,
  repoId: string,
  { maxBytes }: { readonly maxBytes: number },
): Promise<SmallPack[]> {
  return db.query<SmallPack>("list the small packs", { deadlineMs: SCAN_DEADLINE_MS })`
    with used as materialized (
      select mpack_id from musehub_object_refs where repo_id = ${repoId}
      union select mpack_id from musehub_commit_refs where repo_id = ${repoId}
      union select mpack_id from musehub_snapshot_refs where repo_id = ${repoId}
    )
    select p.mpack_id as "mpackId", p.size_bytes as "sizeBytes"
    from musehub_mpacks p
    where p.repo_id = ${repoId} and p.blob_key is not null and p.etag is not null
      and p.size_bytes <= ${maxBytes}::bigint and p.mpack_id in (select mpack_id from used)
    order by p.mpack_id`;
}

/** Deletes the rows of a repack, and of those that were killed. */
export async function dropMoves(db: Database, runId: string): Promise<void> {
  await db.query<object>("end a repack", { deadlineMs: SCAN_DEADLINE_MS })`
    delete from mpackd_moves
    where run_id = ${runId} or created_at < now() - ${OLD_RUN}::interval`;
}

/** Adds commits, or objects, in the order given, from place `after` on; ids that are not there are skipped. */
export async function moveIds(
  db: Database,
  { repoId, runId, mpackIds }: Repack,
  kind: "commit" | "object",
  { ids, after }: { readonly ids: readonly string[]; readonly after: number },
): Promise<void> {
  const { sql } = db;
  const [table, id, offset, bytes] = kind === "commit"
    ? ["musehub_commit_refs", "commit_id", "record_offset", "record_bytes"]
    : ["musehub_object_refs", "object_id", "content_offset", "size_bytes"];
  await db.query<object>("plan a repack")`
    insert into mpackd_moves (run_id, kind, place, id, mpack_id, old_offset, old_bytes)
    select ${runId}, ${kind}, ${after}::bigint + u.n, r.${sql(id)}, r.mpack_id, r.${sql(offset)},
      r.${sql(bytes)}
    from unnest(${arrayLiteral(ids)}::text[]) with ordinality as u(id, n)
    join ${sql(table)} r on r.repo_id = ${repoId} and r.${sql(id)} = u.id
    where r.mpack_id = any(${arrayLiteral(mpackIds)}::bigint[]) and r.damaged_at is null
      and r.${sql(offset)} is not null and r.${sql(bytes)} is not null
    on conflict do nothing`;
}

/** Adds the snapshots of the commits so far, in their order. */
export async function moveSnapshots(
  db: Database,
  { repoId, runId, mpackIds }: Repack,
): Promise<void> {
  await db.query<object>("plan a repack", { deadlineMs: SCAN_DEADLINE_MS })`
    insert into mpackd_moves (run_id, kind, place, id, mpack_id, old_offset, old_bytes)
    select ${runId}, 'snapshot', row_number() over (order by first.place), r.snapshot_id, r.mpack_id,
      r.record_offset, r.record_bytes
    from (
      select c.snapshot_id, min(m.place) as place
      from mpackd_moves m
      join musehub_commit_refs c on c.repo_id = ${repoId} and c.commit_id = m.id
      where m.run_id = ${runId} and m.kind = 'commit' group by c.snapshot_id
    ) as first
    join musehub_snapshot_refs r
      on r.repo_id = ${repoId} and r.snapshot_id = first.snapshot_id
    where r.mpack_id = any(${arrayLiteral(mpackIds)}::bigint[]) and r.damaged_at is null
      and r.record_offset is not null and r.record_bytes is not null
    on conflict do nothing`;
}

/** Adds the other rows of one kind, as they lie in the packs. */
export async function moveRest(
  db: Database,
  { repoId, runId, mpackIds }: Repack,
  kind: MovedKind,
): Promise<void> {
  const { sql } = db;
  const [table, id, offset, bytes] = {
    commit: ["musehub_commit_refs", "commit_id", "record_offset", "record_bytes"],
    snapshot: ["musehub_snapshot_refs", "snapshot_id", "record_offset", "record_bytes"],
    object: ["musehub_object_refs", "object_id", "content_offset", "size_bytes"],
  }[kind];
  await db.query<object>("plan a repack", { deadlineMs: SCAN_DEADLINE_MS })`
    insert into mpackd_moves (run_id, kind, place, id, mpack_id, old_offset, old_bytes)
    select ${runId}, ${kind},
      (select coalesce(max(place), 0) from mpackd_moves where run_id = ${runId} and kind = ${kind})
        + row_number() over (order by r.mpack_id, r.${sql(offset)}),
      r.${sql(id)}, r.mpack_id, r.${sql(offset)}, r.${sql(bytes)}
    from ${sql(table)} r
    where r.repo_id = ${repoId} and r.mpack_id = any(${arrayLiteral(mpackIds)}::bigint[])
      and r.damaged_at is null and r.${sql(offset)} is not null and r.${sql(bytes)} is not null
      and not exists (select from mpackd_moves m
        where m.run_id = ${runId} and m.kind = ${kind} and m.id = r.${sql(id)})`;
}

/** How many rows of each kind are moved. */
export async function countMoves(
  db: Database,
  { runId }: Repack,
): Promise<Record<MovedKind, number>> {
  const rows = await db.query<{ kind: MovedKind; rows: number }>("count the rows of a repack")`
    select kind, count(*) as rows from mpackd_moves where run_id = ${runId} group by kind`;
  const counts = { commit: 0, snapshot: 0, object: 0 };
  for (const { kind, rows: count } of rows) counts[kind] = count;
  return counts;
}

/** A row at its place. */
interface Placed {
  readonly place: number;
}

/** Which page of rows to read. */
interface Page {
  readonly after: number;
  readonly limit: number;
}

/** Reads a page of the commits to move; what was merged into them stays in their rows. */
export function movedCommits(
  db: Database,
  { repoId, runId }: Repack,
  { after, limit }: Page,
): Promise<(CommitRow & Placed)[]> {
  return db.query<CommitRow & Placed>("list the commits of a repack")`
    select k.place, r.commit_id as "commitId", r.snapshot_id as "snapshotId", null as merged,
      ${placeColumns(db)}
    from mpackd_moves k
    join musehub_commit_refs r on r.repo_id = ${repoId} and r.commit_id = k.id
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where k.run_id = ${runId} and k.kind = 'commit' and k.place > ${after}::bigint
    order by k.place limit ${limit}::bigint`;
}

/** Reads a page of the snapshots to move. */
export function movedSnapshots(
  db: Database,
  { repoId, runId }: Repack,
  { after, limit }: Page,
): Promise<(SnapshotRow & Placed)[]> {
  return db.query<SnapshotRow & Placed>("list the snapshots of a repack")`
    select k.place, r.snapshot_id as "snapshotId", r.parent_snapshot_id as "parentSnapshotId",
      ${placeColumns(db)}
    from mpackd_moves k
    join musehub_snapshot_refs r on r.repo_id = ${repoId} and r.snapshot_id = k.id
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where k.run_id = ${runId} and k.kind = 'snapshot' and k.place > ${after}::bigint
    order by k.place limit ${limit}::bigint`;
}

/** Reads a page of the objects to move. */
export function movedObjects(
  db: Database,
  { repoId, runId }: Repack,
  { after, limit }: Page,
): Promise<(ObjectLocation & Placed)[]> {
  return db.query<ObjectLocation & Placed>("list the objects of a repack")`
    select k.place, r.object_id as "objectId", m.mpack_key as "mpackKey", m.blob_key as "blobKey",
      m.etag, r.content_offset as "contentOffset", r.size_bytes as "sizeBytes", r.encoding,
      r.damaged_at as "damagedAt"
    from mpackd_moves k
    join musehub_object_refs r on r.repo_id = ${repoId} and r.object_id = k.id
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where k.run_id = ${runId} and k.kind = 'object' and k.place > ${after}::bigint
    order by k.place limit ${limit}::bigint`;
}

/** Where rows lie in the new pack: arrays of one length. */
export interface NewPlaces {
  readonly ids: readonly string[];
  readonly offsets: readonly number[];
  readonly bytes: readonly number[];
  readonly entries: readonly (number | null)[];
}

/** Notes where some thousands of rows lie in the new pack. */
export async function notePlaces(
  db: Database,
  { runId }: Repack,
  kind: MovedKind,
  { ids, offsets, bytes, entries }: NewPlaces,
): Promise<void> {
  await db.query<object>("note places in a new pack")`
    update mpackd_moves m set new_offset = u.at, new_bytes = u.bytes, entries = u.entries
    from unnest(${arrayLiteral(ids)}::text[], ${arrayLiteral(offsets)}::bigint[],
      ${arrayLiteral(bytes)}::bigint[], ${arrayLiteral(entries)}::bigint[])
      as u(id, at, bytes, entries)
    where m.run_id = ${runId} and m.kind = ${kind} and m.id = u.id`;
}

/** The new pack. */
export interface NewPack {
  readonly mpackKey: string;
  readonly blobKey: string;
  readonly etag: string;
  readonly sizeBytes: number;
  readonly counts: Record<MovedKind, number>;
}

/**
 * Turns the rows over to the new pack, in one statement. A row that has been moved, healed, marked as
 * damaged or deleted since it was read is left as it is.
 *
 * @returns How many rows point into the new pack now.
 */
export async function publishRepack(
  db: Database,
  { repoId, runId, mpackIds }: Repack,
  { mpackKey, blobKey, etag, sizeBytes, counts }: NewPack,
): Promise<number> {
  const { sql } = db, olds = sql`${arrayLiteral(mpackIds)}::bigint[]`;
  const locked = (kind: MovedKind, table: string, id: string, offset: string) =>
    sql`select r.${sql(id)} as id, k.new_offset, k.new_bytes, k.entries
      from mpackd_moves k
      join ${sql(table)} r on r.repo_id = ${repoId} and r.${sql(id)} = k.id
      where k.run_id = ${runId} and k.kind = ${kind} and k.new_offset is not null
        and r.mpack_id = k.mpack_id and r.${sql(offset)} = k.old_offset and r.damaged_at is null
      order by r.${sql(id)} for update of r`;
  const [{ moved }] = await db.query<{ moved: number }>("publish a repack", {
    deadlineMs: SCAN_DEADLINE_MS,
  })`
    /* mpackd publish */ with pack as (
      insert into musehub_mpacks as m (repo_id, mpack_key, blob_key, etag, size_bytes, objects,
        commits, snapshots, tags, is_push)
      select ${repoId}, ${mpackKey}, ${blobKey}, ${etag}, ${sizeBytes}::bigint,
        ${counts.object}::bigint, ${counts.commit}::bigint, ${counts.snapshot}::bigint, 0,
        bool_and(p.is_push is true)
      from musehub_mpacks p where p.mpack_id = any(${olds})
      on conflict (repo_id, mpack_key) do update set blob_key = excluded.blob_key,
        etag = excluded.etag, is_push = m.is_push and excluded.is_push
      returning m.mpack_id, m.size_bytes, m.objects, m.xmax = 0 as is_new
    ), replaced as (
      update musehub_mpacks p set replaced_at = now() from pack, musehub_mpacks before
      where p.mpack_id = any(${olds}) and p.mpack_id <> pack.mpack_id
        and before.mpack_id = p.mpack_id
      returning p.size_bytes, p.objects, before.replaced_at
    ), commits as materialized (
      ${locked("commit", "musehub_commit_refs", "commit_id", "record_offset")}
    ), moved_commits as (
      update musehub_commit_refs r
      set mpack_id = pack.mpack_id, record_offset = n.new_offset, record_bytes = n.new_bytes
      from commits n, pack where r.repo_id = ${repoId} and r.commit_id = n.id returning 1
    ), snapshots as materialized (
      ${locked("snapshot", "musehub_snapshot_refs", "snapshot_id", "record_offset")}
    ), moved_snapshots as (
      update musehub_snapshot_refs r
      set mpack_id = pack.mpack_id, record_offset = n.new_offset, record_bytes = n.new_bytes,
        entries = coalesce(n.entries, r.entries), parent_snapshot_id = null, delta_depth = 0
      from snapshots n, pack where r.repo_id = ${repoId} and r.snapshot_id = n.id returning 1
    ), objects as materialized (
      ${locked("object", "musehub_object_refs", "object_id", "content_offset")}
    ), moved_objects as (
      update musehub_object_refs r set mpack_id = pack.mpack_id, content_offset = n.new_offset
      from objects n, pack where r.repo_id = ${repoId} and r.object_id = n.id returning 1
    ), changed as (
      select size_bytes as bytes, objects, 1 as packs from pack where is_new
      union all
      select -coalesce(size_bytes, 0), -coalesce(objects, 0), -1 from replaced
      where replaced_at is null
    ), counted as materialized (
      select mpackd_count_packs_1(array[${repoId}::text], array[coalesce(sum(bytes), 0)::bigint],
        array[coalesce(sum(objects), 0)::bigint], array[coalesce(sum(packs), 0)], null)
      from changed
    )
    select (select count(*) from moved_commits) + (select count(*) from moved_snapshots)
      + (select count(*) from moved_objects) as moved
    from counted`;
  return moved;
}
