/**
 * The route that finds out what a client and the repo have in common.
 *
 * @module
 */

import { negotiate } from "../../../history/negotiate.ts";
import { replyMsgpack } from "../../reply.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { commitIds } from "./commit_ids.ts";
import { NegotiateAnswer, NegotiateBody } from "./schemas.ts";

const negotiateRoute = route({
  method: "POST",
  path: "/{owner}/{slug}/negotiate",
  id: "negotiate",
  summary: "Tell which of a client's commits the repo has, before a fetch.",
  access: "read",
  params: RepoPath,
  query: NoQuery,
  body: NegotiateBody,
  idLists: true,
  isForMuse: true,
  answers: { 200: { description: "What both have", schema: NegotiateAnswer } },
  async handle({ body, repo: { repoId }, context: { db } }) {
    const { want, have } = await commitIds(body);
    const { ack, commonBase, ready } = await negotiate({ db, repoId, want, have });
    return replyMsgpack({ ack, common_base: commonBase ?? null, ready });
  },
});

export const negotiateRoutes: readonly Route[] = [negotiateRoute];
