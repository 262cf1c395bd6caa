/**
 * Indexes a pack that comes in a request's body, under the limits of its sender.
 *
 * @module
 */

import { pushMpack, type PushOptions } from "../jobs/index/push_mpack.ts";
import type { IndexResult } from "../jobs/index/result.ts";
import { requireSha256 } from "./auth/content_digest.ts";
import { bodyChunks, bodyLimits, declaredLength } from "./body/body.ts";
import type { ApiContext } from "./context.ts";
import { HttpProblem } from "./problem.ts";
import { whereItLives } from "./shards/until_moved.ts";
import { statStored } from "./store_upload.ts";
import { blobKeyOf } from "../config/config.ts";
import { whileAllowed } from "./recheck.ts";
import type { Call } from "./route.ts";

const CHUNK_BYTES = 1024 ** 2;

/** The pack of one push. */
export type TakenPush = Pick<PushOptions, "mpackKey" | "body" | "sizeBytes" | "payload">;

/** Indexes the pack; its sender may run so many uploads at once. */
export async function takePush(call: Call, push: TakenPush): Promise<IndexResult> {
  const { caller, repo, context, recheck, request } = call, { repoId } = repo;
  using _counted = context.rateLimit.beginUpload(caller.client);
  const body = new SentOnce(push.body), stored = storedPack(context, { ...push, repoId });
  const moving = {
    place: context,
    repo,
    request,
    // What was read is in the store, if the pack was whole.
    mayRepeat: async () => !body.isRead || await stored.isThere(),
  };
  const result = await whereItLives(moving, async (place) => {
    const { pushDb: db, publishers, starter, store, config, worker } = place;
    using opened = publishers.open(caller.client, repoId);
    return await pushMpack({
      ...push,
      body: body.isRead ? stored.chunks() : body,
      db,
      store,
      config,
      worker,
      repoId,
      publisher: opened.publisher,
      starter,
    });
  });
  // The publish of a large pack takes long.
  await recheck();
  return result;
}

/** A body that says whether any of it was read. */
class SentOnce implements AsyncIterable<Uint8Array> {
  isRead = false;
  readonly #body: TakenPush["body"];

  constructor(body: TakenPush["body"]) {
    this.#body = body;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    this.isRead = true;
    return this.#body[Symbol.asyncIterator]();
  }
}

/** A pack that an attempt has stored, but not published. */
function storedPack(
  { store, config }: ApiContext,
  { repoId, mpackKey, sizeBytes }: Pick<PushOptions, "repoId" | "mpackKey" | "sizeBytes">,
) {
  const key = mpackKey && blobKeyOf(config.blobKey, repoId, mpackKey);
  return {
    async isThere(): Promise<boolean> {
      return key !== undefined && (await statStored(store, key))?.sizeBytes === sizeBytes;
    },
    async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
      await using reader = await store.open(key!);
      for (;;) {
        const chunk = new Uint8Array(CHUNK_BYTES), length = await reader.read(chunk);
        if (length === 0) return;
        yield chunk.subarray(0, length);
      }
    },
  };
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
