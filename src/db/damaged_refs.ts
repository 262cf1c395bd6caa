/**
 * Marks refs whose bytes are not the object's, and takes the marks back.
 *
 * Every statement names the location it speaks of: a ref that points elsewhere by now, because a
 * later push has healed it, is left alone.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** The pack that locations are in, in the version that was looked at. */
export interface LocatedMpack {
  /** Its short name. */
  readonly mpackId: number;
  /** Whose refs point into it. */
  readonly repoId: string;
  /** The version of its blob. */
  readonly etag: string;
}

/** Objects of that pack: three arrays of one length. */
export interface ObjectPlaces {
  /** Their ids. */
  readonly objectIds: readonly string[];
  /** First byte of each content in the pack. */
  readonly contentOffsets: readonly number[];
  /** Length of each content in bytes. */
  readonly sizesBytes: readonly number[];
}

/** `lie`: the pack itself holds other bytes. `loss`: its blob is not the one that was indexed. */
export type Damage = "lie" | "loss";

/** What became of locations that hold other bytes. */
export interface Marked {
  /** Refs that point at one of them. */
  readonly refs: number;
  /** Those of them that were not marked before. */
  readonly marked: number;
}

/** Marks the repo's refs to these locations as damaged. */
export async function markDamaged(
  database: Database,
  pack: LocatedMpack,
  rows: ObjectPlaces,
  damage: Damage,
): Promise<Marked> {
  const { sql } = database;
  const [row] = await execute(
    database,
    sql<Marked[]>`
      with pack as materialized (
        ${samePack(sql, pack)}
      ), found as materialized (
        select r.object_id, r.damage is distinct from ${damage} as is_new
        from pack, ${locations(sql, rows)} join musehub_object_refs r
          on r.repo_id = ${pack.repoId} and r.object_id = u.object_id
        where ${isAt(sql)}
        order by r.object_id collate "C"
        for update of r
      ), marked as (
        update musehub_object_refs r
        set damaged_at = coalesce(r.damaged_at, now()), damage = ${damage}
        from found
        where r.repo_id = ${pack.repoId} and r.object_id = found.object_id and is_new
        returning 1
      )
      select (select count(*) from found)::int as refs, (select count(*) from marked)::int as marked`,
    { action: "mark damaged objects" },
  );
  return row;
}

/** What became of locations that hold what they should. */
export interface Confirmed {
  /** Refs that point at one of them. */
  readonly refs: number;
  /** Those of them that were marked as damaged and are not any more. */
  readonly restored: number;
}

/** Counts the repo's refs to these sound locations, and takes back marks on them. */
export async function confirmSound(
  database: Database,
  pack: LocatedMpack,
  rows: ObjectPlaces,
): Promise<Confirmed> {
  const { sql } = database;
  const [row] = await execute(
    database,
    sql<Confirmed[]>`
      with pack as materialized (
        ${samePack(sql, pack)}
      ), found as materialized (
        select r.object_id, r.damaged_at
        from pack, ${locations(sql, rows)} join musehub_object_refs r
          on r.repo_id = ${pack.repoId} and r.object_id = u.object_id
        where ${isAt(sql)}
      ), marked as materialized (
        select r.object_id from musehub_object_refs r
        where r.repo_id = ${pack.repoId} and r.mpack_id = (select mpack_id from pack)
          and r.damaged_at is not null
          and r.object_id in (select object_id from found where damaged_at is not null)
        order by r.object_id collate "C"
        for update of r
      ), restored as (
        update musehub_object_refs r set damaged_at = null, damage = null
        from marked where r.repo_id = ${pack.repoId} and r.object_id = marked.object_id
        returning 1
      )
      select (select count(*) from found)::int as refs,
        (select count(*) from restored)::int as restored`,
    { action: "confirm objects" },
  );
  return row;
}

/** One page of the refs that point into a pack, by id; columns as long as the page. */
export async function refsInto(
  database: Database,
  { repoId, mpackId }: LocatedMpack,
  { afterId, limit }: { readonly afterId: string; readonly limit: number },
): Promise<ObjectPlaces> {
  const rows = await execute(
    database,
    database.sql<{ id: string; at: number; size: number }[]>`
      select object_id as id, content_offset as at, size_bytes as size from musehub_object_refs
      where repo_id = ${repoId} and mpack_id = ${mpackId}::bigint and object_id > ${afterId}
        and content_offset is not null and size_bytes is not null
      order by object_id limit ${limit}::bigint`,
    { action: "list a pack's refs" },
  );
  return {
    objectIds: rows.map(({ id }) => id),
    contentOffsets: rows.map(({ at }) => at),
    sizesBytes: rows.map(({ size }) => size),
  };
}

/**
 * The pack, if its blob still is the version looked at. Shared, so that a publish which replaces the
 * version and heals its refs comes wholly before or wholly after.
 */
function samePack(sql: Database["sql"], { mpackId, etag }: LocatedMpack) {
  return sql`select mpack_id from musehub_mpacks
    where mpack_id = ${mpackId}::bigint and etag = ${etag} for share`;
}

function locations(sql: Database["sql"], rows: ObjectPlaces) {
  return sql`unnest(${arrayLiteral(rows.objectIds)}::text[],
    ${arrayLiteral(rows.contentOffsets)}::bigint[], ${arrayLiteral(rows.sizesBytes)}::bigint[])
    as u(object_id, content_offset, size_bytes)`;
}

function isAt(sql: Database["sql"]) {
  return sql`r.mpack_id = pack.mpack_id and r.content_offset = u.content_offset
    and r.size_bytes = u.size_bytes`;
}
