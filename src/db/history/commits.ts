/**
 * A repo's commits, through its own refs: what other repos have must make no difference.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { readArray } from "../client/read_array.ts";
import { isPlaced, packColumns, type PlacesInPack, placesOf, type RecordPlace } from "./places.ts";

/** What was merged into a commit by later pushes of it. */
export interface Annotations {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly reviewed_by?: readonly string[];
  readonly test_runs?: number;
}

/** One commit of a repo, as its row says. */
export interface CommitRow extends RecordPlace {
  readonly commitId: string;
  readonly snapshotId: string;
  /** What the record's annotations have become; null if they are as in the record. */
  readonly merged: Annotations | null;
}

/**
 * Finds commits of a repo.
 *
 * @param commitIds Well-formed ids, some thousands at most.
 * @returns The commits in no order. An id is left out if the repo has no such commit.
 */
export async function findCommits(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
): Promise<CommitRow[]> {
  const packs = await db.query<
    PlacesInPack & { ids: string; snapshots: string; merged: string | null }
  >("find commits")`
    select ${packColumns(db)}, array_agg(r.commit_id)::text as ids,
      array_agg(r.snapshot_id)::text as snapshots,
      case when r.annotations_merged then r.annotations::text end as merged
    from musehub_commit_refs r
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where r.repo_id = ${repoId} and r.commit_id = any(${arrayLiteral(commitIds)}::text[])
      and ${isPlaced(db)}
    group by m.mpack_id, r.damaged_at, case when r.annotations_merged then r.annotations::text end`;
  const rows: CommitRow[] = [];
  for (const pack of packs) {
    const ids = readArray(pack.ids), snapshots = readArray(pack.snapshots);
    const merged: Annotations | null = pack.merged === null ? null : JSON.parse(pack.merged);
    const row = (i: number) => ({ commitId: ids[i], snapshotId: snapshots[i], merged });
    for (const placed of placesOf(pack, row)) rows.push(placed);
  }
  return rows;
}
