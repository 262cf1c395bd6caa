/**
 * A repo's commits, through its own refs: what other repos have must make no difference.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { isPlaced, placeColumns, type RecordPlace } from "./places.ts";

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
export function findCommits(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
): Promise<CommitRow[]> {
  return db.query<CommitRow>("find commits")`
    select r.commit_id as "commitId", r.snapshot_id as "snapshotId",
      case when r.annotations_merged then r.annotations end as merged, ${placeColumns(db)}
    from musehub_commit_refs r
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where r.repo_id = ${repoId} and r.commit_id = any(${arrayLiteral(commitIds)}::text[])
      and ${isPlaced(db)}`;
}
