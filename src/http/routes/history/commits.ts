/**
 * The routes that show commits.
 *
 * @module
 */

import { counted } from "../../../lib/numbers.ts";
import type { Database } from "../../../db/client/database.ts";
import { defaultBranch, findHead } from "../../../db/history/branches.ts";
import { findCommits } from "../../../db/history/commits.ts";
import type { Commit } from "../../../history/read_commit.ts";
import { resolveCommit } from "../../../history/resolve_commit.ts";
import { type ListedCommit, walkCommits } from "../../../history/walk_commits.ts";
import { sha256Hex } from "../../../lib/digest.ts";
import { isObjectId } from "../../../lib/ids.ts";
import { HttpProblem } from "../../problem.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { isKnown, replyTagged } from "./conditional.ts";
import { findCommit } from "./find_commit.ts";
import { CommitAnswer, CommitPath, CommitsAnswer, CommitsQuery } from "./schemas.ts";

/** Digits of the digest of annotations in an ETag. */
const TAG_DIGITS = 16;

/** Ids in a `before`: a URL of them has 36 KB. Only a history of so many open branches has more. */
const MAX_FRONTIER = 500;

const list = route({
  method: "GET",
  path: "/{owner}/{slug}/commits",
  id: "listCommits",
  summary: "List a branch's commits, the newest first, children before parents.",
  access: "read",
  params: RepoPath,
  query: CommitsQuery,
  headers: {
    "if-none-match": { description: "An ETag; the answer is 304 if it is this page's" },
  },
  answers: {
    200: { description: "The commits; the ETag is the first one's id", schema: CommitsAnswer },
    304: { description: "The client has it already" },
  },
  async handle(call) {
    const { query: { branch, before, limit: pageCommits }, repo: { repoId }, context } = call;
    const { db, force: signal } = context;
    const from = before !== undefined ? idsOf(before) : await startOf(db, repoId, branch);
    if (from.length === 0) return replyTagged(call, "empty", { commits: [], next: null });
    const tag = from.length === 1 ? from[0] : sha256Hex(from.join());
    if (isKnown(call.request, tag)) return replyTagged(call, tag, undefined);
    for await (const page of walkCommits({ db, repoId, from, pageCommits, signal })) {
      const commits = page.commits.map(listed);
      return replyTagged(call, tag, { commits, next: cursorOf(page.next) });
    }
    return replyTagged(call, tag, { commits: [], next: null });
  },
});

const one = route({
  method: "GET",
  path: "/{owner}/{slug}/commits/{commit}",
  id: "getCommit",
  summary: "Get a commit by its id, or the head of a branch by its name.",
  access: "read",
  params: CommitPath,
  query: NoQuery,
  headers: {
    "if-none-match": { description: "An ETag; the answer is 304 if it is this commit's" },
  },
  answers: {
    200: { description: "The commit; the ETag is its id", schema: CommitAnswer },
    304: { description: "The client has it already" },
  },
  async handle(call) {
    const commit = await findCommit(call.params.commit, call);
    return replyTagged(call, await tagOf(commit, call), shown(commit));
  },
});

export const commitsRoutes: readonly Route[] = [list, one];

/** The commit that a list begins with; none if the repo is empty and no branch was named. */
async function startOf(
  db: Database,
  repoId: string,
  branch: string | undefined,
): Promise<readonly string[]> {
  if (branch !== undefined) return [await resolveCommit(db, repoId, branch)];
  const head = await findHead(db, repoId, await defaultBranch(db, repoId));
  return head === undefined ? [] : [head];
}

function idsOf(before: string): readonly string[] {
  const ids = before.split(",");
  if (ids.length <= MAX_FRONTIER && ids.every(isObjectId)) return ids;
  const detail = "Cannot use the query: `before` is not the `next` of a page";
  throw new HttpProblem(400, "bad-request", detail);
}

function cursorOf(next: readonly string[]): string | null {
  if (next.length === 0) return null;
  if (next.length <= MAX_FRONTIER) return next.join();
  const detail =
    `Cannot list the commits in pages: ${
      counted(next.length, "branch", "branches")
    } of the history are ` +
    `open at once, ${MAX_FRONTIER} are allowed; fetch them instead`;
  throw new HttpProblem(413, "too-large", detail);
}

function listed({ commitId, parentIds, snapshotId, author, committedAt, message }: ListedCommit) {
  return {
    commit_id: commitId,
    parent_ids: parentIds,
    snapshot_id: snapshotId,
    author,
    committed_at: committedAt,
    message,
  };
}

/** The id; of a commit that later pushes have annotated, with a digest of the annotations. */
async function tagOf(
  { commitId }: Commit,
  { repo, context: { db } }: Parameters<typeof findCommit>[1],
): Promise<string> {
  const [row] = await findCommits(db, repo.repoId, [commitId]);
  if (row === undefined || row.merged === null) return commitId;
  return `${commitId};${sha256Hex(JSON.stringify(row.merged)).slice(0, TAG_DIGITS)}`;
}

function shown(commit: Commit): unknown {
  return {
    ...listed(commit),
    metadata: commit.metadata,
    reviewed_by: commit.reviewedBy,
    test_runs: commit.testRuns,
    others: commit.texts,
  };
}
