/**
 * Decides which repos a caller may read or push to.
 *
 * @module
 */

import { findRepoFor, type RepoForIdentity, type RepoPlace } from "../../db/collaborators.ts";
import type { Database } from "../../db/client/database.ts";
import { HttpProblem } from "../problem.ts";
import type { Caller } from "./authenticate.ts";

/** `inside`: reading what only the owner, collaborators and admins see, such as jobs. */
export type Access = "read" | "inside" | "push";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** Other programs choose their own repo ids; only what could be a path is refused. */
const REPO_ID = /^[A-Za-z0-9][A-Za-z0-9:._-]{0,199}$/;

/**
 * Finds a repo and checks the caller's access.
 *
 * To a caller that may not read it, a private repo is answered like one that does not exist.
 *
 * @throws {HttpProblem} 404, 401 or 403.
 */
export async function openRepo(
  db: Database,
  place: RepoPlace,
  caller: Caller,
  access: Access,
): Promise<RepoForIdentity> {
  return checkAccess(await findRepo(db, place, caller), caller, access);
}

/** Whether a place is named by what could be names: other texts find nothing, or cannot be sent. */
export function isPlace(place: RepoPlace): boolean {
  return "repoId" in place
    ? REPO_ID.test(place.repoId)
    : NAME.test(place.owner) && NAME.test(place.slug);
}

async function findRepo(
  db: Database,
  place: RepoPlace,
  { identity }: Caller,
): Promise<RepoForIdentity | undefined> {
  return isPlace(place) ? await findRepoFor(db, place, identity?.identityId) : undefined;
}

/**
 * Checks the caller's access to a repo that was looked up for its identity a moment ago.
 *
 * @throws {HttpProblem} as {@link openRepo}.
 */
export function checkAccess(
  repo: RepoForIdentity | undefined,
  caller: Caller,
  access: Access,
): RepoForIdentity {
  if (repo === undefined) throw noSuchRepo();
  const { identity, isAdmin, scopes } = caller;
  const isInsider = isAdmin || repo.isCollaborator ||
    (identity !== undefined && identity.handle === repo.owner);
  const mayRead = scopes.has("read") || scopes.has("push");
  if (!(isInsider && mayRead) && repo.visibility !== "public") throw noSuchRepo();
  if (access === "read" || isInsider && (access === "inside" || scopes.has("push"))) return repo;
  requireIdentity(caller);
  throw new HttpProblem(
    403,
    "forbidden",
    `Cannot push to ${repo.owner}/${repo.slug}: only its owner and collaborators may`,
  );
}

/** Whether the caller owns a repo, or is an admin: collaborators push, and change nothing else. */
export function mayManage({ owner }: RepoForIdentity, { identity, isAdmin }: Caller): boolean {
  return isAdmin || identity?.handle === owner;
}

/**
 * Requires the owner of a repo, or an admin.
 *
 * @throws {HttpProblem} 403.
 */
export function requireOwner(repo: RepoForIdentity, caller: Caller): void {
  if (mayManage(repo, caller)) return;
  throw new HttpProblem(403, "forbidden", "Cannot do this: only the repo's owner may");
}

/**
 * Requires that a repo is there, for a request that needs no other access.
 *
 * @throws {HttpProblem} 404.
 */
export async function requireRepo(db: Database, repoId: string): Promise<RepoForIdentity> {
  const repo = await findRepoFor(db, { repoId }, undefined);
  if (repo === undefined) throw noSuchRepo();
  return repo;
}

/**
 * Requires an identity.
 *
 * @throws {HttpProblem} 401.
 */
export function requireIdentity({ identity, isAdmin }: Caller): void {
  if (identity !== undefined || isAdmin) return;
  throw new HttpProblem(
    401,
    "unauthenticated",
    "Cannot do this without an identity: sign the request",
  );
}

/**
 * Refuses a caller whose token or identity was revoked after its request began.
 *
 * @throws {HttpProblem} 401.
 */
export async function requireValid(caller: Caller): Promise<void> {
  if (await caller.isValid()) return;
  throw new HttpProblem(401, "unauthenticated", "Cannot go on: the credentials were revoked");
}

/** The same answer for a repo that does not exist and for one that the caller may not see. */
function noSuchRepo(): HttpProblem {
  return new HttpProblem(404, "repo-not-found", "Cannot find such a repo");
}
