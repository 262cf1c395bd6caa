/**
 * Checks what a server answers to a push. A status proves nothing: a login page is a 200, too.
 *
 * @module
 */

import type { z } from "zod";
import {
  ConfigError,
  GhostError,
  InvalidMpackError,
  type MpackErrorCode,
  QuotaError,
  ServerError,
} from "../../errors.ts";
import { IndexAnswer, ProblemAnswer } from "../../http/schemas.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import { retryAfterMs } from "../../lib/retry_after.ts";
import type { Answer } from "./send_file.ts";

/** The problem of a server that is not mpackd's, or of a proxy in front of it. */
const NO_PROBLEM: Partial<z.output<typeof ProblemAnswer>> = {};

/**
 * The result of a push of `mpackKey`.
 *
 * @throws {ConfigError} If the answer is not the result of indexing this mpack.
 */
export function resultOfAnswer(answer: Answer, mpackKey: string): IndexResult {
  const parsed = answer.mediaType === "application/json"
    ? IndexAnswer.loose().safeParse(answer.value)
    : undefined;
  if (!parsed?.success) {
    throw new ConfigError(
      `Cannot push ${mpackKey}: ${answer.origin} answered 200 with ` +
        `${answer.mediaType ?? "no media type"}, which is not the result of an index; ` +
        "is it an mpackd server?",
    );
  }
  if (parsed.data.mpack_key !== mpackKey) {
    throw new ConfigError(
      `Cannot push ${mpackKey}: the server answered for another mpack, ${parsed.data.mpack_key}`,
    );
  }
  return parsed.data as IndexResult;
}

/**
 * An answer of another request, checked against its schema.
 *
 * @throws {ConfigError} If it has another shape.
 */
export function checkedAnswer<T extends z.ZodType>(
  { mediaType, value, origin }: Answer,
  schema: T,
) {
  const parsed = mediaType === "application/json" ? schema.safeParse(value) : undefined;
  if (parsed?.success) return parsed.data;
  throw new ConfigError(
    `Cannot push: ${origin} answered with ${mediaType ?? "no media type"}, which is not what an ` +
      "mpackd server of this version answers",
  );
}

/** The error behind any other answer. */
export function errorOfAnswer({ status, mediaType, value, origin, headers }: Answer): Error {
  const parsed = mediaType === "application/problem+json"
    ? ProblemAnswer.safeParse(value)
    : undefined;
  const problem = parsed?.success ? parsed.data : NO_PROBLEM;
  const { code, detail = `Cannot push: ${origin} answered ${status}` } = problem;
  if (code === "quota-exceeded") {
    const seconds = retryAfterMs(headers.get("retry-after"));
    return new QuotaError(detail, problem.quota && { ...problem.quota, retryAfterMs: seconds });
  }
  if (status === 429 || status >= 500) {
    return new ServerError(detail, { status });
  }
  if (code === "ghost-objects" && problem.missing?.length) {
    return new GhostError(problem.missing, problem.missing_count ?? problem.missing.length);
  }
  if (code !== undefined && [409, 413, 422].includes(status)) {
    return InvalidMpackError.recorded(code as MpackErrorCode, detail, problem.offset_bytes);
  }
  return new ConfigError(detail, code === "repo-not-found" ? { code } : {});
}
