/**
 * The error of one request to an S3 store, and the error that the caller sees.
 *
 * @module
 */
import { StoreError } from "../../../errors.ts";
import { networkText } from "../../../lib/text/network_text.ts";
import { retryAfterMs } from "../../../lib/retry_after.ts";
import { xmlText } from "./xml.ts";

/** A longer Retry-After counts as this long. */
const MAX_RETRY_AFTER_MS = 60_000;

/** One failed request. Callers of the store get the error of {@link toStoreError} instead. */
export class S3Error extends Error {
  /** Whether the same request may succeed soon. */
  readonly isTransient: boolean;
  /** The HTTP status, if the store answered. */
  readonly status?: number;
  /** S3's code of the error, such as NoSuchKey. */
  readonly s3Code?: string;
  /** How long the store asked to wait before a retry. */
  readonly retryAfterMs?: number;

  /** Builds the error; `message` continues "Cannot read …: ". */
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

/** S3 codes of transient errors, whatever the status is (400 for RequestTimeout). */
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

/**
 * Returns the error of an answer that is not a success.
 *
 * @param body The document; "" for HEAD.
 * @param rights The rights that the request needs, for an answer that says that one is missing.
 */
export function errorOfAnswer(
  { status, headers }: { readonly status: number; readonly headers: Headers },
  body: string,
  rights: string,
): S3Error {
  const s3Code = xmlText(body, "Code");
  const said = xmlText(body, "Message");
  const region = headers.get("x-amz-bucket-region");
  const waitMs = retryAfterMs(headers.get("retry-after"));
  const words = [
    `the store answered ${status}${s3Code === undefined ? "" : ` ${s3Code}`}`,
    said === undefined || said === "" ? "" : ` (${said.slice(0, 200)})`,
    status >= 300 && status < 400 ? "; check the endpoint and the region" : "",
    region === null ? "" : `; the bucket is in region ${region.slice(0, 40)}`,
    status === 403 && (s3Code ?? "AccessDenied") === "AccessDenied" ? `; it needs ${rights}` : "",
  ];
  return new S3Error(words.join(""), {
    isTransient: TRANSIENT_STATUSES.has(status) || TRANSIENT_CODES.has(s3Code ?? ""),
    status,
    s3Code,
    retryAfterMs: waitMs === undefined ? undefined : Math.min(waitMs, MAX_RETRY_AFTER_MS),
  });
}

/** Encodings that leave the body as it is. Some engines store `aws-chunked` with an object. */
const NO_ENCODINGS = new Set(["", "identity", "aws-chunked"]);

/** Returns the error of an answer with a status of success that no store gives; else undefined. */
export function errorOfSuccess(headers: Headers): S3Error | undefined {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  if (!NO_ENCODINGS.has(encoding)) {
    const message = `the answer has Content-Encoding ${encoding.slice(0, 40)}, which the request ` +
      "rules out; a proxy on the way must not compress, and an object must not be stored with it";
    return new S3Error(message, { isTransient: true });
  }
  // Engines may store an object with any type, but no web server names a request as they do.
  const isPage = /^(text\/html|application\/xhtml)/i.test(headers.get("content-type") ?? "");
  if (!isPage || headers.has("x-amz-request-id")) return undefined;
  const message = "a web page came in place of the store's answer; check the endpoint";
  return new S3Error(message, { isTransient: false });
}

/** Returns the error of a request without an answer, or of a broken body. */
export function errorOfNetwork(error: unknown): unknown {
  if (error instanceof S3Error) return error;
  if (error instanceof Deno.errors.NotCapable) {
    return new S3Error(error.message, { isTransient: false, cause: error });
  }
  if (!(error instanceof Error)) return error;
  const message = networkText(error);
  const isTransient = !/certificate|UnknownIssuer|NotValidForName|blocked/i.test(message);
  // Without `cause`, because logs print it, and it has the query, too.
  return new S3Error(`the connection failed (${message})`, { isTransient });
}

/** The failed operation, for the message. */
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

/** Returns the error that the caller sees. Returns an error that is no {@link S3Error} unchanged. */
export function toStoreError(error: unknown, operation: S3Operation, tries = 1): unknown {
  if (!(error instanceof S3Error)) return error;
  const { status, s3Code } = error, { action, key, storeUrl, region } = operation;
  const what = `Cannot ${action} ${JSON.stringify(key)} in ${storeUrl}`;
  const make = (code: StoreError["code"], message: string, retryable: boolean) =>
    new StoreError(code, `${what}: ${message}`, { status, retryable, cause: error });
  if (s3Code === "NoSuchKey") return make("blob-missing", "there is no such blob", true);
  if (status === 412) {
    return make("blob-missing", "it has another version than the one asked for", false);
  }
  if (s3Code === "NoSuchBucket") {
    const advice = "there is no such bucket; check its name, the endpoint and the region";
    return make("store-unavailable", `${advice} (${region})`, false);
  }
  // A request is signed when it is sent, so it can only seem expired if this clock is slow.
  if (s3Code === "RequestTimeTooSkewed" || /Request has expired/i.test(error.message)) {
    return make("store-unavailable", `${error.message}; set this machine's clock`, false);
  }
  if (status === 401 || status === 403) {
    const advice = "check the access key, the secret key, the session token, " +
      `the region (${region}) and the bucket's policy`;
    return make("store-unavailable", `${error.message}; ${advice}`, false);
  }
  const tried = tries > 1 ? `, after ${tries} tries` : "";
  return make("store-unavailable", error.message + tried, error.isTransient);
}
