/**
 * A push in one request: the body is the pack.
 *
 * @module
 */

import { isMpackKey } from "../../lib/ids.ts";
import { pushMpack } from "../../jobs/index/push_mpack.ts";
import { resultForTenant } from "../../jobs/index/result.ts";
import { declaredSha256 } from "../auth/content_digest.ts";
import { bodyChunks, declaredLength } from "../body.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import { IndexAnswer, NoQuery, RepoPath } from "../schemas.ts";

const stream = route({
  method: "POST",
  path: "/{owner}/{slug}/push/stream",
  id: "pushStream",
  summary: "Push a pack in one request: stored, hashed, decoded and guarded while it comes in.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  rawBody: "application/octet-stream",
  headers: {
    "x-mpack-key": { description: "The pack's key", required: true },
    "content-digest": {
      description: "The same digest, for signed requests: it is what the signature covers",
    },
  },
  answers: { 200: { description: "The pack is indexed", schema: IndexAnswer } },
  problems: [409, 411, 422],
  async handle(call) {
    const { request, caller, repo, parts } = call;
    const { db, store, config, worker, force } = parts;
    const mpackKey = keyOf(call);
    const sizeBytes = lengthOf(request, config.maxPackBytes);
    using _counted = parts.gate.beginUpload(caller.client);
    const { httpIdleMs: idleMs, httpTotalMs: totalMs, maxPackBytes: maxBytes } = config;
    const result = await pushMpack({
      db,
      store,
      config,
      worker,
      mpackKey,
      repoId: repo.repoId,
      body: bodyChunks(request, { maxBytes, idleMs, totalMs }, force),
      sizeBytes,
      ...(caller.identity ? { payload: { pusher_id: caller.identity.identityId } } : {}),
    });
    return reply(request, 200, resultForTenant(result));
  },
});

/** The routes. */
export const streamRoutes: readonly Route[] = [stream];

/**
 * How long the body is. It has to be said: what comes in chunks, and faster than it is stored, the
 * runtime keeps (Deno 2.9.6: all that is ahead of the reader, and moves it at each read).
 */
function lengthOf(request: Request, maxBytes: number): number {
  const sizeBytes = declaredLength(request, maxBytes);
  if (sizeBytes !== undefined) return sizeBytes;
  throw new HttpProblem(411, "length-required", "Cannot take the pack: no Content-Length");
}

/**
 * The key that the body has to have. A signature covers the body through `content-digest`, which
 * has to say the same; the pipeline then holds the bytes to it.
 */
function keyOf({ request, caller }: Call): string {
  const key = request.headers.get("x-mpack-key") ?? "";
  if (!isMpackKey(key)) {
    throw new HttpProblem(
      400,
      "bad-request",
      "Cannot take the pack: X-Mpack-Key is not sha256:<64 lower-case hex digits>",
    );
  }
  const field = request.headers.get("content-digest");
  if (field === null && caller.needsDigest) {
    throw new HttpProblem(
      401,
      "unauthenticated",
      "Cannot tell who asks: signature: it does not cover the body, by content-digest",
    );
  }
  if (field === null || `sha256:${declaredSha256(field)}` === key) return key;
  throw new HttpProblem(
    400,
    "digest-mismatch",
    "Cannot take the pack: Content-Digest and X-Mpack-Key say two things",
  );
}
