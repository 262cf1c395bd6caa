/**
 * The route that takes commits and snapshots, and moves a branch.
 *
 * @module
 */

import { X_MSGPACK } from "../../body/body.ts";
import { hashed } from "../../body/hash_body.ts";
import { HttpProblem } from "../../problem.ts";
import { quotaWarning } from "../quota_warning.ts";
import { replyMsgpack } from "../../reply.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { digestOfBody, pushedBytes, requireLength, takePush } from "../../take_push.ts";
import { MAX_OTHER_BYTES, PushBody, type PushTerms } from "./push_body.ts";
import { branchHeads } from "./refs.ts";
import { PushAnswer } from "./schemas.ts";

const push = route({
  method: "POST",
  path: "/{owner}/{slug}/push",
  id: "push",
  summary: "Push commits with their snapshots, and move a branch to their tip: all, or nothing.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  rawBody: X_MSGPACK,
  headers: {
    "content-digest": { description: "For signed requests: the signature covers it" },
  },
  isForMuse: true,
  answers: { 200: { description: "The branch has moved", schema: PushAnswer } },
  problems: [409, 411, 422],
  async handle(call) {
    const { request, repo, caller, context } = call;
    const maxBytes = context.config.maxPackBytes + MAX_OTHER_BYTES;
    requireLength(request, maxBytes);
    using body = new PushBody(withDigest(pushedBytes(call, maxBytes), digestOfBody(call)));
    let terms: PushTerms | undefined;
    const bundle = async function* () {
      yield* body.bundle();
      // Read before the pack ends: an error in it leaves nothing, as one in the pack.
      terms = await body.terms();
    };
    const result = await takePush(call, {
      body: bundle(),
      payload: () => ({ ...terms, pusher_id: caller.identity?.identityId, strict: true }),
    });
    const heads = await branchHeads({ repo, context });
    // A strict job that is done has moved the branch, or found it there. Another push may have moved
    // it since; this client has not seen that one's commits.
    const { name, head } = result.branch as { name: string; head: string };
    heads[name] = head;
    return replyMsgpack(
      { ok: true, message: "ok", branch_heads: heads, remote_head: head },
      quotaWarning(result.quota_warnings),
    );
  },
});

export const pushRoutes: readonly Route[] = [push];

/** Passes a body on, and fails at its end if it has not the SHA-256 that a signature covers. */
function withDigest(
  chunks: AsyncIterable<Uint8Array>,
  digest: string | undefined,
): AsyncIterable<Uint8Array> {
  if (digest === undefined) return chunks;
  return hashed(chunks, ({ sha256 }) => {
    if (sha256 === digest) return;
    throw new HttpProblem(
      400,
      "digest-mismatch",
      "Cannot use the body: its SHA-256 is not the one in Content-Digest",
    );
  });
}
