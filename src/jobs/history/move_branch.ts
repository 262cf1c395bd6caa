/**
 * Decides whether a pack moves a branch, and where to.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { type BranchMove, findHead } from "../../db/history/branches.ts";
import { findConnected, isAncestor } from "../../db/history/graph.ts";
import { InvalidMpackError, type MpackErrorCode } from "../../errors.ts";
import { digestOf, isObjectId, isSameId, withPrefix } from "../../lib/ids.ts";
import { branchNameFault } from "./branch_name.ts";
import type { HistoryCheck, Problem } from "./history_check.ts";

/** What a push asks for. */
export interface BranchRequest {
  readonly name: string;
  /** The new head. Default: the tip of the pack. */
  readonly head?: string;
  /** Whether the branch may lose commits. */
  readonly force: boolean;
  /** Whether a pack with commits must have one tip, which is the head. */
  readonly isStrict: boolean;
}

/** What became of the branch, as a job's result says it. */
export interface BranchReport {
  /** The branch. */
  readonly name: string;
  /** The commit it points to afterwards; null if there is no such branch. */
  readonly head: string | null;
  /** Whether this job has moved it. */
  readonly moved: boolean;
  /** The code of the rule that kept it from moving; none if it was there already. */
  readonly reason?: MpackErrorCode;
  /** The same for people. */
  readonly message?: string;
}

/** What the publish has to do. */
export interface BranchDecision {
  /** Undefined if the branch stays. */
  readonly move?: BranchMove;
  readonly report: BranchReport;
  readonly problem?: Problem;
}

/** A push with what was found out about it. */
export interface BranchQuestion {
  readonly db: Database;
  readonly repoId: string;
  readonly request: BranchRequest;
  /** The pack's history, settled. */
  readonly check: HistoryCheck;
  /** A rule that the pack breaks for another reason. */
  readonly problem?: Problem;
  /** The branch's head, null if it is not there. Default: it is looked up. */
  readonly expected?: string | null;
}

/** Decides about the branch as it is now; ask again if it has moved by the time of the publish. */
export async function decideBranch(question: BranchQuestion): Promise<BranchDecision> {
  const { db, repoId, request, check } = question, { name, force } = request;
  const fault = branchNameFault(name);
  if (fault !== undefined) {
    return staying(name, null, {
      code: "bad-branch-name",
      message: `Cannot move branch ${JSON.stringify(name.slice(0, 100))}: ${fault}`,
    });
  }
  const { expected = await findHead(db, repoId, name) ?? null } = question;
  const problem = question.problem ?? check.problem;
  if (problem !== undefined) return staying(name, expected, problem);
  const head = await findNewHead(question);
  if (typeof head !== "string") return staying(name, expected, head);
  if (head === expected) return { report: { name, head, moved: false } };
  if (expected !== null && !force && !await isDescendant(question, expected, head)) {
    return staying(name, expected, {
      code: "diverged",
      message: `Cannot move branch ${JSON.stringify(name)}: its head ${expected} is not an ` +
        `ancestor of ${head}; pull first, or force`,
    });
  }
  return { move: { name, head, expected, force }, report: { name, head, moved: true } };
}

function staying(name: string, head: string | null, problem: Problem): BranchDecision {
  const { code: reason, message } = problem;
  return { report: { name, head, moved: false, reason, message }, problem };
}

/** Throws what a broken rule is to a push that must obey all of them. */
export function refuse({ code, message, offsetBytes }: Problem): never {
  throw new InvalidMpackError(code, message, offsetBytes === undefined ? {} : { offsetBytes });
}

/** The commit that the branch shall point to: the pack's one tip, or a commit that the repo has. */
async function findNewHead(
  { db, repoId, request: { head, isStrict }, check: { graph } }: BranchQuestion,
): Promise<string | Problem> {
  const [tip, second] = graph.tips(2);
  if (head === undefined || isStrict) {
    if (second !== undefined) {
      const why = `${tip} and ${second} are no other commit's parents; push one of them first,`;
      return { ...tips(why), offsetBytes: graph.offset(second) };
    }
    if (tip !== undefined && (head === undefined || isSameId(head, tip))) return tip;
    if (head === undefined) return tips("it has no commit, and no head is named");
    if (tip !== undefined) return tips(`the head named is ${head.slice(0, 80)}, its tip ${tip}`);
  }
  if (!isObjectId(head)) return tips("the head named is no commit id");
  // A client may leave the prefix out here that it writes in the records, or the other way round.
  for (const id of [head, head.startsWith("sha256:") ? digestOf(head) : withPrefix(head)]) {
    if (graph.generation(id) > 0 && graph.has(id)) return id;
    const [known] = (await findConnected(db, repoId, [id])).filter((c) => c.commitId === id);
    if (known !== undefined) return id;
  }
  return tips(`the head ${head} is neither in it nor, with all its ancestors, in the repo`);
}

function tips(why: string): Problem {
  return { code: "tips", message: `Cannot tell the new head of the branch from the mpack: ${why}` };
}

/** Whether a commit has the branch's present head among its ancestors, in the pack or the repo. */
async function isDescendant(
  { db, repoId, check: { graph } }: BranchQuestion,
  ancestorId: string,
  commitId: string,
): Promise<boolean> {
  const found = await graph.findAncestor(ancestorId, commitId);
  return found === true || await isAncestor(db, { repoId, ancestorId, commitIds: found });
}
