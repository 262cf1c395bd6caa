/**
 * Marks refs whose bytes are not the object's, and clears the marks.
 *
 * Every statement names the location that was read. A ref that points elsewhere by now, because a
 * later push has healed it, is left alone.
 *
 * @module
 */

import type { QueryCreator, Sql } from "kysely";
import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import type { Tables } from "./schema/tables.ts";

/** A pack, in the version of its blob that was read. */
export interface LocatedMpack {
  /** The pack's number, which refs name. */
  readonly mpackId: number;
  /** The repo whose refs point into it. */
  readonly repoId: string;
  /** The version of its blob. */
  readonly etag: string;
}

/** Objects in that pack: arrays of one length. */
export interface ObjectPlaces {
  readonly objectIds: readonly string[];
  /** First byte of each content in the pack. */
  readonly contentOffsets: readonly number[];
  /** Length of each content in bytes, as the pack has it. */
  readonly sizesBytes: readonly number[];
  /** How each content is encoded; null for plain. */
  readonly encodings: readonly (string | null)[];
}

/**
 * As the column `damage` stores it. `lie`: the pack itself holds other bytes, so pushing it again
 * cannot help. `loss`: the blob is damaged, replaced or gone.
 */
export type Damage = "lie" | "loss";

/** Whether a statement about damage changes anything. */
export interface MarkOptions {
  /** Only count what would change. Default false. */
  readonly isDryRun?: boolean;
}

/** How many refs `markDamaged()` found and changed. */
export interface Marked {
  /** Refs that point at one of the locations. */
  readonly refs: number;
  /** How many of them were not marked so before. */
  readonly marked: number;
}

/** Marks the repo's refs to these locations as damaged. */
export async function markDamaged(
  db: Database,
  pack: LocatedMpack,
  rows: ObjectPlaces,
  damage: Damage,
  { isDryRun = false }: MarkOptions = {},
): Promise<Marked> {
  const [row] = await db.build("mark damaged objects", (kysely, sql) =>
    inPack(kysely, pack)
      .with((cte) => cte("found").materialized(), (kysely) =>
        refsTo(kysely, sql, { pack, rows })
          .select(["r.object_id", sql<boolean>`r.damage is distinct from ${damage}`.as("is_new")])
          .orderBy(sql`r.object_id collate "C"`)
          .forUpdate("r"))
      .with("marked", (kysely) =>
        kysely.updateTable("musehub_object_refs as r")
          .from("found")
          .set({ damaged_at: sql`coalesce(r.damaged_at, now())`, damage })
          .where("r.repo_id", "=", pack.repoId)
          .whereRef("r.object_id", "=", "found.object_id")
          .where("found.is_new", "=", true)
          .where(sql<boolean>`not ${isDryRun}::boolean`)
          .returning("r.object_id"))
      .selectNoFrom([
        sql<number>`(select count(*) from found)`.as("refs"),
        sql<number>`(select count(*) from found where is_new)`.as("marked"),
      ]));
  return row;
}

/** How many refs `confirmValid()` found and changed. */
export interface Confirmed {
  /** Refs that point at one of the locations. */
  readonly refs: number;
  /** How many of them were marked as damaged, and are not any more. */
  readonly restored: number;
}

/** Counts the repo's refs to these valid locations, and clears the marks on them. */
export async function confirmValid(
  db: Database,
  pack: LocatedMpack,
  rows: ObjectPlaces,
  { isDryRun = false }: MarkOptions = {},
): Promise<Confirmed> {
  const [row] = await db.build("confirm objects", (kysely, sql) =>
    inPack(kysely, pack)
      .with((cte) => cte("found").materialized(), (kysely) =>
        refsTo(kysely, sql, { pack, rows })
          .select(["r.object_id", "r.damaged_at"]))
      .with((cte) => cte("marked").materialized(), (kysely) =>
        kysely.selectFrom("musehub_object_refs as r")
          .select("r.object_id")
          .where("r.repo_id", "=", pack.repoId)
          .where("r.mpack_id", "=", (eb) =>
            eb.selectFrom("pack").select("mpack_id"))
          .where("r.damaged_at", "is not", null)
          .where(
            "r.object_id",
            "in",
            (eb) => eb.selectFrom("found").select("object_id").where("damaged_at", "is not", null),
          )
          .orderBy(sql`r.object_id collate "C"`)
          .forUpdate("r"))
      .with("restored", (kysely) =>
        kysely.updateTable("musehub_object_refs as r")
          .from("marked")
          .set({ damaged_at: null, damage: null })
          .where("r.repo_id", "=", pack.repoId)
          .whereRef("r.object_id", "=", "marked.object_id")
          .where(sql<boolean>`not ${isDryRun}::boolean`)
          .returning("r.object_id"))
      .selectNoFrom([
        sql<number>`(select count(*) from found)`.as("refs"),
        sql<number>`(select count(*) from marked)`.as("restored"),
      ]));
  return row;
}

/** Reads one page of the refs that point into a pack, by id. */
export async function refsInto(
  db: Database,
  { repoId, mpackId }: LocatedMpack,
  { afterId, limit }: { readonly afterId: string; readonly limit: number },
): Promise<ObjectPlaces> {
  const rows = await db.build(
    "list a pack's refs",
    (kysely) =>
      kysely.selectFrom("musehub_object_refs")
        .select(["object_id as id", "content_offset as at", "size_bytes as size", "encoding"])
        .where("repo_id", "=", repoId)
        .where("mpack_id", "=", mpackId)
        .where("object_id", ">", afterId)
        .where("content_offset", "is not", null)
        .where("size_bytes", "is not", null)
        .orderBy("object_id")
        .limit(limit)
        .$narrowType<{ at: number; size: number }>(),
  );
  return {
    objectIds: rows.map(({ id }) => id),
    contentOffsets: rows.map(({ at }) => at),
    sizesBytes: rows.map(({ size }) => size),
    encodings: rows.map(({ encoding }) => encoding),
  };
}

/** Records a new version of a pack's blob, unless a publish has replaced the pack meanwhile. */
export async function repinMpack(
  db: Database,
  { mpackId, etag }: LocatedMpack,
  newEtag: string,
): Promise<void> {
  await db.query("record the version of a moved pack")`
    update musehub_mpacks set etag = ${newEtag}
    where mpack_id = ${mpackId}::bigint and etag = ${etag}`;
}

/** Begins a statement with the CTE `pack`, which is empty if the blob has another version now. */
function inPack(kysely: QueryCreator<Tables>, { mpackId, etag }: LocatedMpack) {
  return kysely.with(
    (cte) => cte("pack").materialized(),
    (kysely) =>
      kysely.selectFrom("musehub_mpacks")
        .select("mpack_id")
        .where("mpack_id", "=", mpackId)
        .where("etag", "=", etag)
        // A publish that replaces the version and heals its refs comes wholly before or after.
        .forShare(),
  );
}

/** The repo's refs `r` that point at the locations, of a statement that {@link inPack} has begun. */
function refsTo(
  kysely: QueryCreator<Tables & { pack: { mpack_id: number } }>,
  sql: Sql,
  { pack: { repoId }, rows }: { readonly pack: LocatedMpack; readonly rows: ObjectPlaces },
) {
  return kysely.selectFrom(["pack", locations(sql, rows)])
    .innerJoin(
      "musehub_object_refs as r",
      (join) => join.on("r.repo_id", "=", repoId).onRef("r.object_id", "=", "u.object_id"),
    )
    .whereRef("r.mpack_id", "=", "pack.mpack_id")
    .whereRef("r.content_offset", "=", "u.content_offset")
    .whereRef("r.size_bytes", "=", "u.size_bytes")
    .where(sql<boolean>`r.encoding is not distinct from u.encoding`);
}

/** The locations as a table `u`. */
function locations(
  sql: Sql,
  { objectIds, contentOffsets, sizesBytes, encodings }: ObjectPlaces,
) {
  interface Location {
    readonly object_id: string;
    readonly content_offset: number;
    readonly size_bytes: number;
    readonly encoding: string | null;
  }
  return sql<Location>`unnest(${arrayLiteral(objectIds)}::text[],
    ${arrayLiteral(contentOffsets)}::bigint[], ${arrayLiteral(sizesBytes)}::bigint[],
    ${arrayLiteral(encodings)}::text[])`
    .as<"u">(sql`u(object_id, content_offset, size_bytes, encoding)`);
}
