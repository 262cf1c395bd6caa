import { type Commit, readCommit } from "../../../history/read_commit.ts";
import { resolveCommit } from "../../../history/resolve_commit.ts";
import type { Call } from "../../route.ts";

/**
 * Reads the commit that a path names: by its id, a branch, a tag or the beginning of an id.
 *
 * @throws {HistoryError} `history-not-found`.
 */
export async function findCommit(
  name: string,
  { repo: { repoId }, context: { db, store, force: signal } }: Pick<Call, "repo" | "context">,
): Promise<Commit> {
  const commitId = await resolveCommit(db, repoId, name);
  return await readCommit({ db, store, repoId, commitId, signal });
}
