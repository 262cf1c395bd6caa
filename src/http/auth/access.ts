/**
 * Which repos a caller may read, and which it may push to.
 *
 * @module
 */

import { findRepoFor, type RepoForIdentity, type RepoPlace } from "../../db/collaborators.ts";
import type { Database } from "../../db/client/database.ts";
import { HttpProblem } from "../problem.ts";
import type { Caller } from "./authenticate.ts";

/** The two things that can be done to a repo. */
export type Access = "read" | "push";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** Ids of repos that other programs made may look like anything, but not like a path. */
const REPO_ID = /^[A-Za-z0-9][A-Za-z0-9:._-]{0,199}$/;

/**
 * The repo of that name, if this caller may do that to it.
 *
 * A private repo answers who may not read it as if it were not there, whatever was asked.
 *
 * @throws {HttpProblem} 404, 401 or 403.
 */
export async function openRepo(
  db: Database,
  place: RepoPlace,
  caller: Caller,
  access: Access,
): Promise<RepoForIdentity> {
  const isName = "repoId" in place
    ? REPO_ID.test(place.repoId)
    : NAME.test(place.owner) && NAME.test(place.slug);
  const repo = isName ? await findRepoFor(db, place, caller.identity?.identityId) : undefined;
  if (repo === undefined) throw noSuchRepo();
  const { identity, isAdmin, scopes } = caller;
  const isInsider = isAdmin || repo.isCollaborator ||
    (identity !== undefined && identity.handle === repo.owner);
  const mayRead = scopes.has("read") || scopes.has("push");
  if (!(isInsider && mayRead) && repo.visibility !== "public") throw noSuchRepo();
  if (access === "read" || (isInsider && scopes.has("push"))) return repo;
  requireIdentity(caller);
  throw new HttpProblem(
    403,
    "forbidden",
    `Cannot push to ${repo.owner}/${repo.slug}: only its owner and whom they let in may`,
  );
}

/**
 * Asks for credentials where there are none.
 *
 * @throws {HttpProblem} 401.
 */
export function requireIdentity({ identity, isAdmin }: Caller): void {
  if (identity !== undefined || isAdmin) return;
  throw new HttpProblem(401, "unauthenticated", "Cannot do this for nobody: sign the request");
}

/** The answer for a repo that is not there, or not for this caller. */
export function noSuchRepo(): HttpProblem {
  return new HttpProblem(404, "repo-not-found", "Cannot find such a repo");
}
