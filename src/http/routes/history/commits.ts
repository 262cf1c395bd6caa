/**
 * The routes that show commits.
 *
 * @module
 */

import { findCommits } from "../../../db/history/commits.ts";
import { sha256Hex } from "../../../lib/digest.ts";
import type { Commit } from "../../../history/read_commit.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery } from "../../schemas.ts";
import { replyTagged } from "./conditional.ts";
import { findCommit } from "./find_commit.ts";
import { CommitAnswer, CommitPath } from "./schemas.ts";

/** Digits of the digest of annotations in an ETag. */
const TAG_DIGITS = 16;

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

export const commitsRoutes: readonly Route[] = [one];

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
    commit_id: commit.commitId,
    parent_ids: commit.parentIds,
    snapshot_id: commit.snapshotId,
    author: commit.author,
    committed_at: commit.committedAt,
    message: commit.message,
    metadata: commit.metadata,
    reviewed_by: commit.reviewedBy,
    test_runs: commit.testRuns,
    others: commit.texts,
  };
}
