/**
 * What went wrong with one request to an S3 store, and what it means to the caller.
 *
 * @module
 */
import { StoreError } from "../../../errors.ts";
import { retryAfterMs } from "../../../lib/retry_after.ts";
import { xmlText } from "./xml.ts";

/** The longest Retry-After that is honoured in full. */
const MAX_RETRY_AFTER_MS = 60_000;

/** One failed request. It never leaves this folder: see {@link toStoreError}. */
export class S3Error extends Error {
  /** Whether the same request may succeed in a moment. */
  readonly isTransient: boolean;
  /** The HTTP status, if the store answered. */
  readonly status?: number;
  /** S3's own name for the fault, such as NoSuchKey. */
  readonly s3Code?: string;
  /** How long the store asked to be left alone. */
  readonly retryAfterMs?: number;

  /** Builds the fault; `message` reads on from "Cannot read …: ". */
  constructor(
    message: string,
    options: ErrorOptions & {
      isTransient: boolean;
      status?: number;
      s3Code?: string;
      retryAfterMs?: number;
    },
  ) {
    super(message, options);
    this.name = "S3Error";
    this.isTransient = options.isTransient;
    this.status = options.status;
    this.s3Code = options.s3Code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** S3 codes that pass whatever status they come with (RequestTimeout comes with 400). */
const TRANSIENT_CODES = new Set([
  "SlowDown",
  "InternalError",
  "ServiceUnavailable",
  "RequestTimeout",
  "OperationAborted",
  "ConditionalRequestConflict",
  "Throttling",
  "ThrottlingException",
  "RequestLimitExceeded",
]);
const TRANSIENT_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504, 509]);

/** The fault that a refusing answer stands for. `body` is "" for HEAD. */
export function errorOfAnswer(status: number, headers: Headers, body: string): S3Error {
  const s3Code = xmlText(body, "Code");
  const said = xmlText(body, "Message");
  const region = headers.get("x-amz-bucket-region");
  const waitMs = retryAfterMs(headers.get("retry-after"));
  const words = [
    `the store answered ${status}${s3Code === undefined ? "" : ` ${s3Code}`}`,
    said === undefined || said === "" ? "" : ` (${said.slice(0, 200)})`,
    status >= 300 && status < 400 ? "; check the endpoint and the region" : "",
    region === null ? "" : `; the bucket is in region ${region.slice(0, 40)}`,
  ];
  return new S3Error(words.join(""), {
    isTransient: TRANSIENT_STATUSES.has(status) || TRANSIENT_CODES.has(s3Code ?? ""),
    status,
    s3Code,
    retryAfterMs: waitMs === undefined ? undefined : Math.min(waitMs, MAX_RETRY_AFTER_MS),
  });
}

/** The fault of a request that got no answer, or of a body that broke. */
export function errorOfNetwork(error: unknown): unknown {
  if (error instanceof S3Error) return error;
  if (error instanceof Deno.errors.NotCapable) {
    return new S3Error(error.message, { isTransient: false, cause: error });
  }
  if (!(error instanceof Error)) return error;
  const cause = error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : "";
  // fetch names the URL; what stands in its query helps nobody.
  const message = (cause || error.message).replace(/\?[^\s)]*/g, "");
  const isTransient = !/certificate|UnknownIssuer|NotValidForName|blocked/i.test(message);
  // Not as the cause either: logs print causes.
  return new S3Error(`the connection failed (${message.slice(0, 300)})`, { isTransient });
}

/** What was tried, for the message. */
export interface S3Operation {
  /** "read", "write", "look up" … */
  readonly action: string;
  /** The blob's key, or the prefix of a listing. */
  readonly key: string;
  /** The store, without secrets. */
  readonly storeUrl: string;
  /** The region that requests are signed for. */
  readonly region: string;
}

/** The error a caller sees; anything but a fault is handed back as it is. */
export function toStoreError(error: unknown, deed: S3Operation, tries = 1): unknown {
  if (!(error instanceof S3Error)) return error;
  const { status, s3Code } = error;
  const what = `Cannot ${deed.action} ${JSON.stringify(deed.key)} in ${deed.storeUrl}`;
  const make = (code: StoreError["code"], message: string, retryable: boolean) =>
    new StoreError(code, `${what}: ${message}`, { status, retryable, cause: error });
  if (s3Code === "NoSuchKey") return make("blob-missing", "there is no such blob", true);
  if (status === 412) {
    return make("blob-missing", "it is another version than the one asked for", false);
  }
  if (s3Code === "NoSuchBucket") {
    const advice = "there is no such bucket; check its name, the endpoint and the region";
    return make("store-unavailable", `${advice} (${deed.region})`, false);
  }
  // Requests are signed when they are sent: one that comes too late was dated by a slow clock.
  if (s3Code === "RequestTimeTooSkewed" || /Request has expired/i.test(error.message)) {
    return make("store-unavailable", `${error.message}; set this machine's clock`, false);
  }
  if (status === 401 || status === 403) {
    const advice = "check the access key, the secret key, the session token, " +
      `the region (${deed.region}) and the bucket's policy`;
    return make("store-unavailable", `${error.message}; ${advice}`, false);
  }
  const tried = tries > 1 ? `, after ${tries} tries` : "";
  return make("store-unavailable", error.message + tried, error.isTransient);
}
