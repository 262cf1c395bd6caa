/**
 * A repo's snapshots, through its own refs.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { readArray } from "../client/read_array.ts";
import {
  inStoredOrder,
  isPlaced,
  packColumns,
  placeColumns,
  type PlacesInPack,
  placesOf,
  type RecordPlace,
} from "./places.ts";

/** One snapshot of a repo, as its row says. */
export interface SnapshotRow extends RecordPlace {
  readonly snapshotId: string;
  /** The snapshot that this one is a delta over; null if its record has a full manifest. */
  readonly parentSnapshotId: string | null;
}

/**
 * Finds snapshots of a repo.
 *
 * @param snapshotIds Well-formed ids, some thousands at most.
 * @returns The snapshots in the order of their bytes in the store. An id is left out if the repo has
 * no such snapshot.
 */
export async function findSnapshots(
  db: Database,
  repoId: string,
  snapshotIds: readonly string[],
): Promise<SnapshotRow[]> {
  const packs = await db.query<PlacesInPack & { ids: string; parents: string }>("find snapshots")`
    select ${packColumns(db)}, array_agg(r.snapshot_id)::text as ids,
      array_agg(coalesce(r.parent_snapshot_id, '-'))::text as parents
    from musehub_snapshot_refs r
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where r.repo_id = ${repoId} and r.snapshot_id = any(${arrayLiteral(snapshotIds)}::text[])
      and ${isPlaced(db)}
    group by m.mpack_id, r.damaged_at`;
  const rows: SnapshotRow[] = [];
  for (const pack of packs) {
    const ids = readArray(pack.ids), parents = readArray(pack.parents);
    const row = (i: number) => ({
      snapshotId: ids[i],
      parentSnapshotId: parents[i] === "-" ? null : parents[i],
    });
    for (const placed of placesOf(pack, row)) rows.push(placed);
  }
  return rows.sort(inStoredOrder);
}

/**
 * Most deltas that may lead to a snapshot. To read one takes some 0.05 ms for each, and they are held
 * in memory, so the index refuses more; a repack makes them whole manifests.
 */
export const MAX_DELTA_DEPTH = 50_000;

/**
 * Finds a snapshot and those that it is a delta over, in one statement.
 *
 * @returns The snapshot first, then the one it is a delta over, and so on, to one with a full
 * manifest if all are there. Empty if the repo has no such snapshot.
 */
export function findSnapshotChain(
  db: Database,
  repoId: string,
  snapshotId: string,
): Promise<SnapshotRow[]> {
  return db.query<SnapshotRow>("find a snapshot")`
    with recursive chain as (
      select r.*, 1 as at from musehub_snapshot_refs r
      where r.repo_id = ${repoId} and r.snapshot_id = ${snapshotId}
      union all
      select r.*, c.at + 1 from chain c
      join musehub_snapshot_refs r
        on r.repo_id = ${repoId} and r.snapshot_id = c.parent_snapshot_id
      where c.at <= ${MAX_DELTA_DEPTH}::integer
    )
    select r.snapshot_id as "snapshotId", r.parent_snapshot_id as "parentSnapshotId",
      ${placeColumns(db)}
    from chain r
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where ${isPlaced(db)}
    order by r.at`;
}
