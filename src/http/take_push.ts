/**
 * Indexes a pack that comes in a request's body, under the limits of its sender.
 *
 * @module
 */

import { pushMpack, type PushOptions } from "../jobs/index/push_mpack.ts";
import type { IndexResult } from "../jobs/index/result.ts";
import { requireSha256 } from "./auth/content_digest.ts";
import { bodyChunks, bodyLimits, declaredLength } from "./body/body.ts";
import { HttpProblem } from "./problem.ts";
import { whileAllowed } from "./recheck.ts";
import type { Call } from "./route.ts";

/** The pack of one push. */
export type TakenPush = Pick<PushOptions, "mpackKey" | "body" | "sizeBytes" | "payload">;

/** Indexes the pack; its sender may run so many uploads at once. */
export async function takePush(call: Call, push: TakenPush): Promise<IndexResult> {
  const { caller, repo, context, recheck } = call;
  const { pushDb: db, publishers, starter, store, config, worker } = context;
  using _counted = context.rateLimit.beginUpload(caller.client);
  using opened = publishers.open(caller.client, repo.repoId);
  const result = await pushMpack({
    ...push,
    db,
    store,
    config,
    worker,
    repoId: repo.repoId,
    publisher: opened.publisher,
    starter,
  });
  // The publish of a large pack takes long.
  await recheck();
  return result;
}

/** Yields a request's body while its sender may push; of at most `maxBytes`. */
export function pushedBytes(
  { request, context: { config, force }, recheck }: Call,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  return whileAllowed(bodyChunks(request, bodyLimits(config, maxBytes), force), recheck);
}

/**
 * Requires a `Content-Length`: Deno 2.9.6 buffers all of a chunked body that arrives faster than
 * it is read, and moves the buffer at each read.
 *
 * @throws {HttpProblem} 411 or 413.
 */
export function requireLength(request: Request, maxBytes: number): number {
  const sizeBytes = declaredLength(request, maxBytes);
  if (sizeBytes !== undefined) return sizeBytes;
  throw new HttpProblem(
    411,
    "length-required",
    "Cannot accept the pack: Content-Length is missing",
  );
}

/**
 * The SHA-256 that the body must have, in hex. A signature covers the body through it.
 *
 * @returns Undefined if the body needs none.
 * @throws {HttpProblem} 401 if the request is signed without it, 400 if it is malformed.
 */
export function digestOfBody({ request, caller }: Call): string | undefined {
  const field = request.headers.get("content-digest");
  if (field !== null) return requireSha256(field);
  if (!caller.needsDigest) return undefined;
  throw new HttpProblem(
    401,
    "unauthenticated",
    "Cannot authenticate: the signature does not cover the body (content-digest)",
  );
}
