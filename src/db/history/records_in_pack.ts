/**
 * The records of one pack, and whether an audit has found them damaged.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import type { LocatedMpack, MarkOptions } from "../damaged_refs.ts";
import type { CommitRow } from "./commits.ts";
import { placeColumns } from "./places.ts";
import type { SnapshotRow } from "./snapshots.ts";

/** Which page of records to read: they come in the order of their bytes. */
export interface RecordPage {
  /** Records behind this byte. */
  readonly after: number;
  readonly limit: number;
}

/** Reads one page of a pack's commits. */
export function commitsIn(
  db: Database,
  { mpackId, repoId }: LocatedMpack,
  { after, limit }: RecordPage,
): Promise<CommitRow[]> {
  return db.query<CommitRow>("list a pack's commits")`
    select r.commit_id as "commitId", r.snapshot_id as "snapshotId", null as merged,
      ${placeColumns(db)}
    from musehub_commit_refs r
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where r.repo_id = ${repoId} and r.mpack_id = ${mpackId}::bigint
      and r.record_offset > ${after}::bigint and r.record_bytes is not null
    order by r.record_offset limit ${limit}::bigint`;
}

/** Reads one page of a pack's snapshots. */
export function snapshotsIn(
  db: Database,
  { mpackId, repoId }: LocatedMpack,
  { after, limit }: RecordPage,
): Promise<SnapshotRow[]> {
  return db.query<SnapshotRow>("list a pack's snapshots")`
    select r.snapshot_id as "snapshotId", r.parent_snapshot_id as "parentSnapshotId",
      ${placeColumns(db)}
    from musehub_snapshot_refs r
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where r.repo_id = ${repoId} and r.mpack_id = ${mpackId}::bigint
      and r.record_offset > ${after}::bigint and r.record_bytes is not null
    order by r.record_offset limit ${limit}::bigint`;
}

/**
 * Marks records of a pack as damaged, or takes the marks back. Records that lie elsewhere by now are
 * left alone.
 *
 * @returns How many were changed.
 */
export async function setDamaged(
  db: Database,
  { mpackId, repoId }: LocatedMpack,
  { kind, ids, isDamaged, isDryRun = false }: MarkOptions & {
    readonly kind: "commit" | "snapshot";
    readonly ids: readonly string[];
    readonly isDamaged: boolean;
  },
): Promise<number> {
  const { sql } = db;
  const [table, id] = kind === "commit"
    ? ["musehub_commit_refs", "commit_id"]
    : ["musehub_snapshot_refs", "snapshot_id"];
  const [{ found }] = await db.query<{ found: number }>("mark damaged records")`
    with found as materialized (
      select r.${sql(id)} as id from ${sql(table)} r
      where r.repo_id = ${repoId} and r.mpack_id = ${mpackId}::bigint
        and r.${sql(id)} = any(${arrayLiteral(ids)}::text[])
        and (r.damaged_at is null) = ${isDamaged}::boolean
      order by r.${sql(id)} for update
    ), marked as (
      update ${sql(table)} r set damaged_at = case when ${isDamaged}::boolean then now() end
      from found where r.repo_id = ${repoId} and r.${sql(id)} = found.id
        and not ${isDryRun}::boolean
    )
    select count(*) as found from found`;
  return found;
}
