/**
 * The statements on `mpackd_walk_ids`, where a walk keeps ids that do not fit into memory.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";

/** Sorting millions of ids takes minutes. */
const SORT_DEADLINE_MS = 60 * 60_000;

/** What the ids of a page are. Sorted ones are each there once, in the order of their bytes. */
export type WalkKind = "commit" | "snapshot" | "object" | "snapshot-sorted" | "object-sorted";

/** One page of a walk. */
export interface WalkPage {
  readonly walkId: string;
  readonly kind: WalkKind;
  /** From 0. */
  readonly page: number;
}

/** Writes a page; the first one also deletes what walks of more than a day ago have left. */
export async function writeWalkPage(
  db: Database,
  { walkId, kind, page }: WalkPage,
  ids: readonly string[],
): Promise<void> {
  await db.query<object>("write the ids of a walk")`
    with swept as (
      delete from mpackd_walk_ids
      where ${page === 0}::boolean and created_at < now() - interval '1 day'
    )
    insert into mpackd_walk_ids (walk_id, kind, page, ids)
    values (${walkId}, ${kind}, ${page}::integer, ${arrayLiteral(ids)}::text[])`;
}

/** Reads a page. It is empty if the server has crashed meanwhile. */
export async function readWalkPage(
  db: Database,
  { walkId, kind, page }: WalkPage,
): Promise<string[]> {
  const rows = await db.query<{ id: string }>("read the ids of a walk")`
    select id from mpackd_walk_ids, unnest(ids) with ordinality as u(id, at)
    where walk_id = ${walkId} and kind = ${kind} and page = ${page}::integer order by at`;
  return rows.map(({ id }) => id);
}

/** What sorting found. */
export interface SortedIds {
  /** Ids that were written, repeated ones included. */
  readonly written: number;
  /** Different ids. */
  readonly distinct: number;
  /** Those of them that the repo has. */
  readonly found: number;
  /** Length of their bytes in the store. */
  readonly sizeBytes: number;
  /** One that the repo does not have. */
  readonly missing: string | null;
  /** One that an audit found damaged. */
  readonly damaged: string | null;
}

/** Sorts a walk's snapshots by the place of their records, into pages of `pageIds`. */
export function sortSnapshots(db: Database, walk: SortOptions): Promise<SortedIds> {
  const { sql } = db;
  return sort(db, walk, {
    from: "snapshot",
    to: "snapshot-sorted",
    refs: sql`select snapshot_id as id, mpack_id, record_offset as at, record_bytes as bytes,
      damaged_at from musehub_snapshot_refs where repo_id = ${walk.repoId}`,
  });
}

/** Sorts a walk's objects by the place of their contents, into pages of `pageIds`. */
export function sortObjects(db: Database, walk: SortOptions): Promise<SortedIds> {
  const { sql } = db;
  return sort(db, walk, {
    from: "object",
    to: "object-sorted",
    refs: sql`select object_id as id, mpack_id, content_offset as at, size_bytes as bytes,
      damaged_at from musehub_object_refs where repo_id = ${walk.repoId}`,
  });
}

interface SortOptions {
  readonly walkId: string;
  readonly repoId: string;
  readonly pageIds: number;
}

async function sort(
  db: Database,
  { walkId, pageIds }: SortOptions,
  { from, to, refs }: { from: WalkKind; to: WalkKind; refs: ReturnType<Database["sql"]> },
): Promise<SortedIds> {
  const [row] = await db.query<SortedIds>("sort the ids of a walk", {
    deadlineMs: SORT_DEADLINE_MS,
  })`
    with named as materialized (
      select id from mpackd_walk_ids, unnest(ids) id where walk_id = ${walkId} and kind = ${from}
    ), wanted as materialized (
      select id from named group by id
    ), placed as materialized (
      select w.id, r.mpack_id, r.at, r.bytes, r.damaged_at
      from wanted w left join (${refs}) r on r.id = w.id
    ), sorted as materialized (
      select id, (row_number() over (order by mpack_id, at, id) - 1) / ${pageIds}::integer as page,
        row_number() over (order by mpack_id, at, id) as nr
      from placed where at is not null
    ), kept as (
      insert into mpackd_walk_ids (walk_id, kind, page, ids)
      select ${walkId}, ${to}, page, array_agg(id order by nr) from sorted group by page
    )
    select (select count(*) from named) as written, count(*) as distinct, count(at) as found,
      coalesce(sum(bytes), 0)::bigint as "sizeBytes",
      min(id) filter (where at is null) as missing,
      min(id) filter (where damaged_at is not null) as damaged
    from placed`;
  return row;
}

/** Deletes all that a walk wrote. */
export async function deleteWalk(db: Database, walkId: string): Promise<void> {
  await db.query<object>("delete the ids of a walk")`
    delete from mpackd_walk_ids where walk_id = ${walkId}`;
}
