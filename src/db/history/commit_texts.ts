import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";

/** What a list of commits shows of one. */
export interface CommitText {
  readonly commitId: string;
  readonly snapshotId: string;
  readonly author: string;
  readonly committedAt: string;
  readonly message: string;
}

/** A page of long messages would fill the memory. */
const MAX_CHARACTERS = 64 * 1024;

/**
 * Reads what a list shows of commits, in no order.
 *
 * @param commitIds Well-formed ids, some hundreds at most.
 */
export function readCommitTexts(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
): Promise<CommitText[]> {
  return db.query<CommitText>("read commits")`
    select commit_id as "commitId", coalesce(snapshot_id, '') as "snapshotId",
      coalesce(left(author, ${MAX_CHARACTERS}::integer), '') as author,
      coalesce(left(committed_at, ${MAX_CHARACTERS}::integer), '') as "committedAt",
      coalesce(left(message, ${MAX_CHARACTERS}::integer), '') as message
    from musehub_commit_refs
    where repo_id = ${repoId} and commit_id = any(${arrayLiteral(commitIds)}::text[])`;
}
