/**
 * Turns errors into HTTP answers: problem details with mpackd's codes.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9457 | RFC 9457}
 * @module
 */

import {
  DatabaseError,
  type ErrorCode,
  type ExceededQuota,
  GhostError,
  MpackdError,
  QuotaError,
} from "../errors.ts";
import { describe } from "../jobs/attempt/error_record.ts";
import type { Answer } from "./server/answer.ts";

/** The default `Retry-After`. */
const RETRY_AFTER_SECONDS = 5;

/** The ways to sign in. MuseHub's clients look for their realm. */
const CHALLENGES = 'Signature, Bearer realm="mpackd", MSign realm="musehub"';

/**
 * The codes of the HTTP layer, and the statuses that each comes with.
 * @internal Exported for tests.
 */
export const HTTP_STATUSES = {
  "bad-request": [400],
  "digest-mismatch": [400],
  "unauthenticated": [401],
  "forbidden": [403],
  "not-found": [404],
  "repo-not-found": [404],
  "object-not-found": [404],
  "job-not-found": [404],
  // 422 for a tag of a commit that the repo lacks.
  "history-not-found": [404, 422],
  "blob-missing": [404],
  "timeout": [408],
  "conflict": [409],
  "length-required": [411],
  "too-large": [413],
  "unsupported-media-type": [415],
  "range-not-satisfiable": [416],
  "invalid-body": [422],
  "rate-limited": [429],
  "internal": [500],
  "busy": [503],
} as const;

/** A code of the HTTP layer. */
export type HttpCode = keyof typeof HTTP_STATUSES;

/**
 * The status of each error of the layers below.
 * @internal Exported for tests.
 */
export const ERROR_STATUS: Readonly<Record<ErrorCode, number>> = {
  "config": 400,
  "repo-not-found": 404,
  "object-not-found": 404,
  "history-not-found": 404,
  "blob-missing": 404,
  "cancelled": 409,
  "ghost-objects": 409,
  "diverged": 409,
  "limit-exceeded": 413,
  "fetch-too-large": 413,
  "quota-exceeded": 413,
  "digest-mismatch": 422,
  "size-mismatch": 422,
  "truncated": 422,
  "trailing-bytes": 422,
  "malformed-msgpack": 422,
  "unexpected-shape": 422,
  "duplicate-key": 422,
  "bad-object-id": 422,
  "bad-content": 422,
  "unsupported-encoding": 422,
  "declared-count-mismatch": 422,
  "bad-record-id": 422,
  "bad-text": 422,
  "bad-path": 422,
  "false-id": 422,
  "unverifiable-snapshot": 422,
  "history-cycle": 422,
  "parent-missing": 422,
  "snapshot-missing": 422,
  "tagged-commit-missing": 422,
  "tips": 422,
  "bad-branch-name": 422,
  "object-mismatch": 500,
  "record-mismatch": 500,
  // Commands alone throw these two.
  "server-unavailable": 500,
  "output-failed": 500,
  "store-unavailable": 503,
  "database-unavailable": 503,
  "shard-moved": 503,
  "lease-lost": 503,
};

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
export class HttpProblem<Code extends HttpCode = HttpCode> extends Error {
  constructor(
    readonly status: typeof HTTP_STATUSES[Code][number],
    readonly code: Code,
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
  "shard-moved": "Cannot write now: the repo is moving to another server; try again in seconds",
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
function statusOf({ code, retryable }: MpackdError): number {
  // Room comes only when something is deleted, but the next hour comes by itself.
  return code === "quota-exceeded" && retryable ? 429 : ERROR_STATUS[code];
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
    const shard = error instanceof DatabaseError ? error.shard : undefined;
    const detail = publicText(error.code, message) +
      (shard === undefined ? "" : `: shard ${shard}`);
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
