/**
 * The route that takes a push in one request: the body is the pack.
 *
 * @module
 */

import { isMpackKey, withPrefix } from "../../lib/ids.ts";
import { resultForTenant } from "../../jobs/index/result.ts";
import { HttpProblem } from "../problem.ts";
import { quotaWarning } from "./quota_warning.ts";
import { reply } from "../reply.ts";
import { type Call, type Route, route, tagged } from "../route.ts";
import { IndexAnswer, PushQuery, RepoPath } from "../schemas.ts";
import { digestOfBody, pushedBytes, requireLength, takePush } from "../take_push.ts";

const stream = route({
  method: "POST",
  path: "/{owner}/{slug}/push/stream",
  id: "pushStream",
  summary: "Push a pack in one request: it is stored, hashed, decoded and checked as it arrives.",
  access: "push",
  params: RepoPath,
  query: PushQuery,
  rawBody: "application/octet-stream",
  headers: {
    "x-mpack-key": { description: "The pack's key", required: true },
    "content-digest": {
      description: "The same digest, for signed requests: the signature covers it",
    },
  },
  answers: { 200: { description: "The pack is indexed", schema: IndexAnswer } },
  problems: [409, 411, 413, 422],
  async handle(call) {
    const { request, caller, query: { branch, head, force }, context: { config } } = call;
    const mpackKey = keyOf(call);
    const result = await takePush(call, {
      mpackKey,
      body: pushedBytes(call, config.maxPackBytes),
      sizeBytes: requireLength(request, config.maxPackBytes),
      payload: {
        ...(caller.identity && { pusher_id: caller.identity.identityId }),
        // A pack that may not move its branch is refused whole.
        ...(branch !== undefined && { branch, head, force: force === "true", strict: true }),
      },
    });
    return reply(request, 200, resultForTenant(result), quotaWarning(result.quota_warnings));
  },
});

export const streamRoutes: readonly Route[] = tagged("Pushes", [stream]);

/**
 * Reads the key that the body must have. A signature covers the body through `content-digest`, so
 * both must name the same digest; the pipeline then checks the bytes against it.
 */
function keyOf(call: Call): string {
  const key = call.request.headers.get("x-mpack-key") ?? "";
  if (!isMpackKey(key)) {
    throw new HttpProblem(
      400,
      "bad-request",
      "Cannot accept the pack: X-Mpack-Key is not sha256:<64 lower-case hex digits>",
    );
  }
  const digest = digestOfBody(call);
  if (digest === undefined || withPrefix(digest) === key) return key;
  throw new HttpProblem(
    400,
    "digest-mismatch",
    "Cannot accept the pack: Content-Digest and X-Mpack-Key differ",
  );
}
