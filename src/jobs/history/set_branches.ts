/**
 * Sets branches to commits that the repo has, apart from any push: a bundle is indexed so.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { type Branch, findHead, moveBranch } from "../../db/history/branches.ts";
import { findConnected, isAncestor } from "../../db/history/graph.ts";
import { branchNameFault } from "./branch_name.ts";
import type { BranchReport } from "./move_branch.ts";

/** Which branches to set. */
export interface SetBranchesOptions {
  readonly db: Database;
  readonly repoId: string;
  /** In this order: the first branch of a repo becomes its default. */
  readonly heads: Iterable<Branch>;
  /** Whether a branch may lose commits. */
  readonly force: boolean;
}

/** Sets each branch, unless a rule forbids it. One that stays keeps no other from moving. */
export async function setBranches(
  { db, repoId, heads, force }: SetBranchesOptions,
): Promise<BranchReport[]> {
  const reports: BranchReport[] = [];
  for (const branch of heads) reports.push(await setBranch({ db, repoId, branch, force }));
  return reports;
}

async function setBranch(
  { db, repoId, branch: { name, headCommitId: to }, force }: {
    readonly db: Database;
    readonly repoId: string;
    readonly branch: Branch;
    readonly force: boolean;
  },
): Promise<BranchReport> {
  const shown = JSON.stringify(name.slice(0, 100));
  const stays = (head: string | null, reason: BranchReport["reason"], why: string) => ({
    name,
    head,
    moved: false,
    reason,
    message: `Cannot move branch ${shown}: ${why}`,
  });
  const fault = branchNameFault(name);
  if (fault !== undefined) return stays(null, "bad-branch-name", fault);
  const expected = await findHead(db, repoId, name) ?? null;
  if (expected === to) return { name, head: to, moved: false };
  const known = await findConnected(db, repoId, [to]);
  if (!known.some(({ commitId }) => commitId === to)) {
    return stays(expected, "parent-missing", `the repo lacks ${to}, or an ancestor of it`);
  }
  const isForward = expected === null || force ||
    await isAncestor(db, { repoId, ancestorId: expected, commitIds: [to] });
  if (!isForward) {
    return stays(expected, "diverged", `its head ${expected} is not an ancestor of ${to}`);
  }
  const hasMoved = await moveBranch(db, repoId, { name, head: to, expected, force });
  if (hasMoved) return { name, head: to, moved: true };
  const head = await findHead(db, repoId, name) ?? null;
  return stays(head, "diverged", `another push has moved it to ${head}`);
}
