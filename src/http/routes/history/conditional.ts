/**
 * Answers that never change under their ETag: an id.
 *
 * @module
 */

import { reply } from "../../reply.ts";
import type { Answer } from "../../server/answer.ts";
import type { Call } from "../../route.ts";

/** Answers `value` under `etag`, or 304 if the client has it. */
export function replyTagged(
  { request, repo }: Pick<Call, "request" | "repo">,
  etag: string,
  value: unknown,
): Answer {
  const headers = {
    etag: `"${etag}"`,
    // Which commit a branch's name stands for changes, and so does access.
    "cache-control": repo.visibility === "public" ? "no-cache" : "private, no-cache",
    vary: "accept",
  };
  if (!isKnown(request, etag)) return reply(request, 200, value, headers);
  return { status: 304, headers, body: null };
}

/** Whether the client says that it has the answer under this ETag. */
export function isKnown({ headers }: Request, etag: string): boolean {
  const known = headers.get("if-none-match");
  return known !== null &&
    known.split(",").some((field) => [`"${etag}"`, `W/"${etag}"`, "*"].includes(field.trim()));
}
