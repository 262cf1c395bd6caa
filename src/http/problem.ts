/**
 * Turns errors into HTTP answers: problem details with mpackd's codes.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9457 | RFC 9457}
 * @module
 */

import { type ExceededQuota, GhostError, MpackdError, QuotaError } from "../errors.ts";
import { describe } from "../jobs/attempt/error_record.ts";
import type { Answer } from "./server/answer.ts";

/** The default `Retry-After`. */
const RETRY_AFTER_SECONDS = 5;

/** The ways to sign in. MuseHub's clients look for their realm. */
const CHALLENGES = 'Signature, Bearer realm="mpackd", MSign realm="musehub"';

/** The codes of the HTTP layer. */
export type HttpCode =
  | "bad-request"
  | "unauthenticated"
  | "forbidden"
  | "not-found"
  | "timeout"
  | "conflict"
  | "length-required"
  | "too-large"
  | "unsupported-media-type"
  | "range-not-satisfiable"
  | "invalid-body"
  | "rate-limited"
  | "busy"
  | "blob-missing"
  | "repo-not-found"
  | "object-not-found"
  | "job-not-found"
  | "history-not-found"
  | "digest-mismatch"
  | "internal";

const TITLES: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  409: "Conflict",
  411: "Length Required",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** Optional parts of an error answer. */
export interface ProblemExtras {
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON members to add to the document. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** An error that is an HTTP answer. */
export class HttpProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: HttpCode,
    detail: string,
    readonly extras: ProblemExtras = {},
  ) {
    super(detail);
    this.name = "HttpProblem";
  }
}

/** Texts instead of those that name a host, bucket, key, repo id or the database's own words. */
const PUBLIC_TEXTS: Partial<Record<string, string>> = {
  "blob-missing": "Cannot find the pack in the store: upload it again",
  "config": "Cannot do this: the request or a setting of the server is wrong",
  "database-unavailable": "Cannot reach the database",
  "internal": "Cannot do this: mpackd has a defect; its log says more",
  "lease-lost": "Cannot finish: another worker took the job over",
  "object-mismatch": "Cannot read the object: its stored bytes do not match its id",
  "record-mismatch": "Cannot read the record: its stored bytes do not match its id",
  "repo-not-found": "Cannot find such a repo",
  "store-unavailable": "Cannot reach the store",
};

/** The text of an error for clients; the log has the original. */
function publicText(code: string, message: string): string {
  return PUBLIC_TEXTS[code] ?? message;
}

/** A job's recorded error for clients. */
export function publicError<E extends object | null>(record: E): E {
  if (record === null || !("code" in record && "message" in record)) return record;
  return { ...record, message: publicText(String(record.code), String(record.message)) };
}

/** The status of an error of the layers below. */
function statusOf(error: MpackdError): number {
  switch (error.code) {
    case "repo-not-found":
    case "object-not-found":
    case "history-not-found":
    case "blob-missing":
      return 404;
    case "config":
      return 400;
    case "limit-exceeded":
    case "fetch-too-large":
      return 413;
    case "quota-exceeded":
      // Room comes only when something is deleted, but the next hour comes by itself.
      return error.retryable ? 429 : 413;
    case "cancelled":
    case "ghost-objects":
    case "diverged":
      return 409;
    case "object-mismatch":
    case "record-mismatch":
      return 500;
    case "store-unavailable":
    case "database-unavailable":
    case "lease-lost":
      return 503;
    default:
      return 422;
  }
}

/** Characters of a refusal that MuseHub's client shows. */
const SHOWN_CHARACTERS = 400;

/**
 * Makes the answer for any error. An unexpected one gets no detail: it may hold secrets.
 *
 * @param options.isForMuse Whether the route is one of MuseHub's clients.
 */
export function problemAnswer(
  thrown: unknown,
  requestId: string,
  options: { readonly isForMuse: boolean } = { isForMuse: false },
): Answer {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const given = { requestId, ...options };
  if (error instanceof HttpProblem) {
    const { status, code, message, extras } = error;
    const retryable = status === 429 || status === 503 || status === 408;
    const body = { code, detail: message, retryable, ...extras.members };
    return answer(status, body, { ...given, headers: extras.headers });
  }
  if (error instanceof MpackdError) {
    const { message, ...record } = describe(error);
    const ghosts = error instanceof GhostError
      ? { missing: error.missing, missing_count: error.missingCount }
      : {};
    const quota = error instanceof QuotaError ? error.quota : undefined;
    const detail = publicText(error.code, message);
    const status = options.isForMuse ? statusForMuse(error) : statusOf(error);
    return answer(status, { ...record, detail, ...ghosts, ...quotaMembers(quota) }, {
      ...given,
      ...(quota?.retryAfterMs === undefined ? {} : {
        headers: { "retry-after": String(Math.ceil(quota.retryAfterMs / 1000)) },
      }),
    });
  }
  const detail = `mpackd has a defect; its log says more under request ${requestId}`;
  return answer(500, { code: "internal", detail, retryable: false }, given);
}

function quotaMembers(quota: ExceededQuota | undefined): object {
  if (quota === undefined) return {};
  const { of, what, used, limit } = quota;
  return { quota: { of, what, used, limit } };
}

/** 409 says that the branch has diverged, and nothing else. */
function statusForMuse(error: MpackdError): number {
  switch (error.code) {
    case "ghost-objects":
      return 422;
    case "cancelled":
      return 503;
    default:
      return statusOf(error);
  }
}

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly [name: string]: unknown;
}

function answer(
  status: number,
  problem: Problem,
  { requestId, isForMuse, headers: given }: {
    readonly requestId: string;
    readonly isForMuse: boolean;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Answer {
  const headers = {
    "content-type": "application/problem+json",
    ...(status === 503 && { "retry-after": String(RETRY_AFTER_SECONDS) }),
    ...given,
    ...(status === 401 && { "www-authenticate": CHALLENGES }),
  };
  const title = TITLES[status] ?? "Error";
  const type = `urn:mpackd:error:${problem.code}`;
  const body = { type, title, status, instance: `urn:mpackd:request:${requestId}`, ...problem };
  return { status, headers, body: isForMuse ? shownText(body) : JSON.stringify(body) };
}

/** The problem with its detail first, without its lists, in so many characters as are shown. */
function shownText({ detail, missing: _, errors: __, quota: ___, ...rest }: Problem): string {
  for (let shown = detail;;) {
    const text = JSON.stringify({ detail: shown, ...rest });
    const over = text.length - SHOWN_CHARACTERS;
    if (over <= 0 || shown === "…") return text;
    // An ellipsis instead of one character more, and of half a surrogate pair.
    shown = `${shown.replace(/…$/, "").slice(0, -over - 1).replace(/[\ud800-\udbff]$/, "")}…`;
  }
}
