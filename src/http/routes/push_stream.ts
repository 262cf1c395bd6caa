/**
 * The route that takes a push in one request: the body is the pack.
 *
 * @module
 */

import { LimitedPublisher } from "../../db/publish/limited_publisher.ts";
import { isMpackKey } from "../../lib/ids.ts";
import { pushMpack } from "../../jobs/index/push_mpack.ts";
import { resultForTenant } from "../../jobs/index/result.ts";
import { requireSha256 } from "../auth/content_digest.ts";
import { bodyChunks, bodyLimits, declaredLength } from "../body/body.ts";
import { HttpProblem } from "../problem.ts";
import { whileAllowed } from "../recheck.ts";
import { reply } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import { IndexAnswer, NoQuery, RepoPath } from "../schemas.ts";

const stream = route({
  method: "POST",
  path: "/{owner}/{slug}/push/stream",
  id: "pushStream",
  summary: "Push a pack in one request: it is stored, hashed, decoded and checked as it arrives.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  rawBody: "application/octet-stream",
  headers: {
    "x-mpack-key": { description: "The pack's key", required: true },
    "content-digest": {
      description: "The same digest, for signed requests: the signature covers it",
    },
  },
  answers: { 200: { description: "The pack is indexed", schema: IndexAnswer } },
  problems: [409, 411, 422],
  async handle(call) {
    const { request, caller, repo, context, recheck } = call;
    const { pushDb: db, pushLimit, store, config, worker, force } = context;
    const mpackKey = keyOf(call);
    const sizeBytes = lengthOf(request, config.maxPackBytes);
    using _counted = context.rateLimit.beginUpload(caller.client);
    const chunks = bodyChunks(request, bodyLimits(config, config.maxPackBytes), force);
    const result = await pushMpack({
      db,
      store,
      config,
      worker,
      mpackKey,
      repoId: repo.repoId,
      body: whileAllowed(chunks, recheck),
      sizeBytes,
      publisher: new LimitedPublisher(db, pushLimit, caller.client),
      ...(caller.identity ? { payload: { pusher_id: caller.identity.identityId } } : {}),
    });
    return reply(request, 200, resultForTenant(result));
  },
});

export const streamRoutes: readonly Route[] = [stream];

/**
 * Requires a `Content-Length`: Deno 2.9.6 buffers all of a chunked body that arrives faster than
 * it is read, and moves the buffer at each read.
 */
function lengthOf(request: Request, maxBytes: number): number {
  const sizeBytes = declaredLength(request, maxBytes);
  if (sizeBytes !== undefined) return sizeBytes;
  throw new HttpProblem(
    411,
    "length-required",
    "Cannot accept the pack: Content-Length is missing",
  );
}

/**
 * Reads the key that the body must have. A signature covers the body through `content-digest`, so
 * both must name the same digest; the pipeline then checks the bytes against it.
 */
function keyOf({ request, caller }: Call): string {
  const key = request.headers.get("x-mpack-key") ?? "";
  if (!isMpackKey(key)) {
    throw new HttpProblem(
      400,
      "bad-request",
      "Cannot accept the pack: X-Mpack-Key is not sha256:<64 lower-case hex digits>",
    );
  }
  const field = request.headers.get("content-digest");
  if (field === null && caller.needsDigest) {
    throw new HttpProblem(
      401,
      "unauthenticated",
      "Cannot authenticate: the signature does not cover the body (content-digest)",
    );
  }
  if (field === null || `sha256:${requireSha256(field)}` === key) return key;
  throw new HttpProblem(
    400,
    "digest-mismatch",
    "Cannot accept the pack: Content-Digest and X-Mpack-Key differ",
  );
}
