/**
 * The route that takes objects ahead of the push that names them.
 *
 * @module
 */

import { withPrefix } from "../../../lib/ids.ts";
import { quotaWarning } from "../quota_warning.ts";
import { replyMsgpack } from "../../reply.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { X_MSGPACK } from "../../body/body.ts";
import { digestOfBody, pushedBytes, requireLength, takePush } from "../../take_push.ts";
import { PushObjectsAnswer } from "./schemas.ts";

const pushObjects = route({
  method: "POST",
  path: "/{owner}/{slug}/push/objects",
  id: "pushObjects",
  summary: "Push objects. The body `{objects: [{object_id, content}, …]}` is an mpack as it is.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  rawBody: X_MSGPACK,
  headers: {
    "content-digest": { description: "For signed requests: the signature covers it" },
  },
  isForMuse: true,
  answers: { 200: { description: "The repo has the objects", schema: PushObjectsAnswer } },
  problems: [411, 422],
  async handle(call) {
    const { request, caller, context: { config: { maxPackBytes } } } = call;
    const digest = digestOfBody(call);
    const result = await takePush(call, {
      // Nobody else has named the bytes: their key is the one that they have.
      mpackKey: digest === undefined ? undefined : withPrefix(digest),
      body: pushedBytes(call, maxPackBytes),
      sizeBytes: requireLength(request, maxPackBytes),
      payload: { pusher_id: caller.identity?.identityId, strict: true, partial: true },
    });
    const stored = result.object_refs_written;
    const answer = { stored, skipped: result.objects_total - stored };
    return replyMsgpack(answer, quotaWarning(result.quota_warnings));
  },
});

export const pushObjectsRoutes: readonly Route[] = [pushObjects];
