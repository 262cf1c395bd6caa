/**
 * The route that lists a repo's branches.
 *
 * @module
 */

import { defaultBranch, listBranches } from "../../../db/history/branches.ts";
import { replyMsgpack } from "../../reply.ts";
import { type Call, type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { RefsAnswer } from "./schemas.ts";

/** What clients take a repo for when they are told nothing else; mpackd does not look into files. */
const DOMAIN = "code";

const refs = route({
  method: "GET",
  path: "/{owner}/{slug}/refs",
  id: "listRefs",
  summary: "List the branches of a repo and their heads.",
  access: "read",
  params: RepoPath,
  query: NoQuery,
  isForMuse: true,
  answers: { 200: { description: "The branches", schema: RefsAnswer } },
  async handle({ repo: { repoId }, context }) {
    return replyMsgpack({
      repo_id: repoId,
      domain: DOMAIN,
      default_branch: await defaultBranch(context.db, repoId),
      branch_heads: await branchHeads({ repo: { repoId }, context }),
    });
  },
});

export const refsRoutes: readonly Route[] = [refs];

/** The heads of all branches, by name. A name may be `__proto__`. */
export async function branchHeads(
  { repo, context }: { repo: Pick<Call["repo"], "repoId">; context: Call["context"] },
): Promise<Record<string, string>> {
  const heads: Record<string, string> = Object.create(null);
  for await (const { name, headCommitId } of listBranches(context.db, repo.repoId)) {
    heads[name] = headCommitId;
  }
  return heads;
}
