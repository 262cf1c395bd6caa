/**
 * Finds the commit that a path names.
 *
 * @module
 */

import { findHead } from "../../../db/history/branches.ts";
import { type Commit, readCommit } from "../../../history/read_commit.ts";
import { isObjectId } from "../../../lib/ids.ts";
import { HttpProblem } from "../../problem.ts";
import type { Call } from "../../route.ts";

/**
 * Reads a commit by its id, or the head of a branch by its name.
 *
 * @throws {HttpProblem | HistoryError} 404.
 */
export async function findCommit(
  name: string,
  { repo: { repoId }, context }: Pick<Call, "repo" | "context">,
): Promise<Commit> {
  const { db, store, force: signal } = context;
  const isName = !/\p{Cc}/u.test(name) && name.isWellFormed();
  const commitId = isObjectId(name) ? name : isName ? await findHead(db, repoId, name) : undefined;
  if (commitId === undefined) throw noSuchBranch(name);
  return await readCommit({ db, store, repoId, commitId, signal });
}

/** The error for a branch that the repo does not have. */
function noSuchBranch(name: string): HttpProblem {
  const shown = JSON.stringify(name.slice(0, 100));
  const detail = `Cannot find a branch or a commit ${shown} in this repo`;
  return new HttpProblem(404, "history-not-found", detail);
}
