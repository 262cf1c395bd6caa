/**
 * Sends signed requests to one bucket. Each is tried once, and each wait has a deadline.
 *
 * @module
 */
import { ConfigError } from "../../../errors.ts";
import { sleep as realSleep } from "../../../lib/sleep.ts";
import type { Presigned } from "../blob_store.ts";
import { DEFAULT_TIMEOUTS } from "../timeouts.ts";
import { RequestEnd, S3Answer } from "./answer.ts";
import { Backoff, type RetryOptions } from "./backoff.ts";
import { CredentialChain } from "./credentials.ts";
import { errorOfAnswer, errorOfSuccess, S3Error, toStoreError } from "./s3_error.ts";
import { type S3Credentials, type S3Place, S3Signer } from "./sign.ts";
import type { Signable, UrlSignable } from "./sign.ts";

/** The slowest upload that is waited for: 64 KiB/s. */
const SLOWEST_UPLOAD_BYTES_PER_MS = 64;

/**
 * Where a bucket is, the credentials for it, and how long to wait. Without an access key the
 * credentials are looked for: see {@link CredentialChain}.
 */
export interface S3ClientOptions extends RetryOptions, S3Place, Partial<S3Credentials> {
  /** The server as clients reach it, for presigned URLs. Default: `endpoint`. */
  readonly publicEndpoint?: string;
  /** The longest silence of the store, in milliseconds, 1 or more. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** The least time between two tries to renew credentials, in milliseconds. For tests. */
  readonly renewRetryMs?: number;
  /** Sends requests. For tests. */
  readonly fetch?: typeof fetch;
}

interface Signers {
  readonly credentials: S3Credentials;
  /** Of our requests. */
  readonly signer: S3Signer;
  /** Of the URLs that others send requests to. */
  readonly forOthers: S3Signer;
}

/** One request. */
export interface S3Request extends Pick<Signable, "method" | "query"> {
  /** The object's key; undefined for the bucket itself. */
  readonly objectKey?: string;
  /** Headers, in lower case. Those that begin with `x-amz-` are signed. */
  readonly headers?: Record<string, string>;
  /** The whole body. It is sent with its length. */
  readonly body?: Uint8Array<ArrayBuffer>;
  /** SHA-256 of the body as hexadecimal digits, which the store then checks. Default: not bound. */
  readonly bodySha256Hex?: string;
  /** The longest wait for the answer's headers, in milliseconds. Default: the idle timeout. */
  readonly answerWithinMs?: number;
  /** Ends the request and the reading of its body. */
  readonly signal?: AbortSignal;
}

/** Names the rights that a request needs, in the words of a bucket's policy. */
function rightsFor({ method, objectKey, query = {} }: S3Request): string {
  if (objectKey === undefined) {
    if ("object-lock" in query) return "s3:GetBucketObjectLockConfiguration";
    return "uploads" in query ? "s3:ListBucketMultipartUploads" : "s3:ListBucket";
  }
  if (method === "DELETE") {
    return "uploadId" in query ? "s3:AbortMultipartUpload" : "s3:DeleteObject";
  }
  if (method === "PUT" || method === "POST") return "s3:PutObject";
  if ("uploadId" in query) return "s3:ListMultipartUploadParts";
  return "s3:GetObject, and s3:ListBucket, without which a missing blob is answered with 403";
}

const CREDENTIAL_CODES = new Set([
  "ExpiredToken",
  "InvalidAccessKeyId",
  "InvalidToken",
  "TokenRefreshRequired",
]);

/** Whether other credentials may help. An answer to HEAD has no code. */
function isCredentialRefusal({ status, s3Code }: S3Error, method: string): boolean {
  if (s3Code !== undefined) return CREDENTIAL_CODES.has(s3Code);
  return method === "HEAD" && (status === 400 || status === 403);
}

/** Sends requests to one bucket. Has no connection of its own. */
export class S3Client {
  /** The store as a URL without secrets, for errors. */
  readonly url: string;
  readonly #idleTimeoutMs: number;
  readonly #options: S3ClientOptions;
  /** Undefined if the credentials are in the options. */
  readonly #chain: CredentialChain | undefined;
  #signers: Signers | undefined;

  /**
   * Builds the client; sends nothing.
   *
   * @throws {ConfigError} If the endpoint or the credentials are invalid.
   */
  constructor(url: string, options: S3ClientOptions) {
    this.url = url;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_TIMEOUTS.idleTimeoutMs;
    this.#options = options;
    const { accessKeyId, secretAccessKey, sessionToken, region, renewRetryMs: retryMs } = options;
    if (accessKeyId === undefined || secretAccessKey === undefined) {
      this.#chain = new CredentialChain({ region, timeoutMs: this.#idleTimeoutMs, retryMs });
    } else this.#sign({ accessKeyId, secretAccessKey, sessionToken });
  }

  /** Returns the signers of these credentials. */
  #sign(credentials: S3Credentials): Signers {
    if (this.#signers?.credentials === credentials) return this.#signers;
    const { publicEndpoint } = this.#options;
    try {
      const signer = new S3Signer({ ...this.#options, ...credentials });
      const forOthers = publicEndpoint === undefined
        ? signer
        : new S3Signer({ ...this.#options, ...credentials, endpoint: publicEndpoint });
      return this.#signers = { credentials, signer, forOthers };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ConfigError(`Cannot open the store ${this.url}: ${reason}`, { cause: error });
    }
  }

  /** The bucket's name. */
  get bucket(): string {
    return this.#options.bucket;
  }

  /** Returns a counter of failures for one operation of a caller. */
  backoff(operation: { action: string; key: string }, signal?: AbortSignal): Backoff {
    const { sleep = realSleep, random = Math.random, region } = this.#options;
    const {
      retries = DEFAULT_TIMEOUTS.retries,
      retryBaseMs = DEFAULT_TIMEOUTS.retryBaseMs,
      retryCapMs = DEFAULT_TIMEOUTS.retryCapMs,
    } = this.#options;
    return new Backoff(
      { retries, retryBaseMs, retryCapMs, sleep, random },
      (error, tries) => toStoreError(error, { ...operation, storeUrl: this.url, region }, tries),
      signal,
    );
  }

  /**
   * Sends one request.
   *
   * @throws {S3Error} If there is no answer, or it is not a success.
   */
  async send(request: S3Request): Promise<S3Answer> {
    const { method, signal, body, answerWithinMs = this.#idleTimeoutMs } = request;
    signal?.throwIfAborted();
    const credentials = await this.#chain?.get();
    const { signer } = credentials ? this.#sign(credentials) : this.#signers!;
    const { url, headers } = signer.sign({ ...request, objectKey: request.objectKey ?? "" });
    // Otherwise fetch asks for gzip, and offsets are wrong.
    headers["accept-encoding"] = "identity";
    const end = new RequestEnd(signal);
    const uploadMs = Math.ceil((body?.length ?? 0) / SLOWEST_UPLOAD_BYTES_PER_MS);
    const send = this.#options.fetch ?? fetch;
    // A redirect is not followed: it would need a signature for the other host.
    const init = { method, headers, body, redirect: "manual", signal: end.signal } as const;
    let sent: Promise<Response> | undefined, response: Response;
    try {
      const waitMs = answerWithinMs + uploadMs;
      response = await end.within(waitMs, "the store did not answer", () => sent = send(url, init));
    } catch (error) {
      end[Symbol.dispose]();
      sent?.then((late) => late.body?.cancel()).catch(() => {});
      throw error;
    }
    const answer = new S3Answer(response, end, this.#idleTimeoutMs);
    if (response.ok) {
      const error = errorOfSuccess(answer.headers);
      if (error === undefined) return answer;
      await answer.discard();
      throw error;
    }
    const error = errorOfAnswer(answer, await answer.errorText(), rightsFor(request));
    if (
      credentials && isCredentialRefusal(error, method) && await this.#chain?.renew(credentials)
    ) {
      return await this.send(request);
    }
    throw error.status === 404 ? await this.#explain404(request, error) : error;
  }

  /** Returns a URL that permits its holder to send one request with exactly these headers. */
  async presign(request: Omit<UrlSignable, "date">): Promise<Presigned> {
    const date = new Date(), { headers = {}, expiresSeconds } = request;
    const credentials = await this.#chain?.get();
    const { forOthers } = credentials ? this.#sign(credentials) : this.#signers!;
    const url = await forOthers.presign({ ...request, date });
    const endsAt = credentials?.expiration?.getTime() ?? Infinity;
    const expiresAt = new Date(Math.min(date.getTime() + expiresSeconds * 1000, endsAt));
    return { url, headers, expiresAt };
  }

  /** An answer to HEAD has no body that tells a missing bucket from a missing object. */
  async #explain404(request: S3Request, error: S3Error): Promise<S3Error> {
    if (error.s3Code?.startsWith("NoSuch")) return error;
    let s3Code = "NoSuchKey";
    if (request.objectKey === undefined) s3Code = "NoSuchBucket";
    else {
      try {
        await (await this.send({ method: "HEAD", signal: request.signal })).discard();
      } catch (ofBucket) {
        const isAnswer = ofBucket instanceof S3Error && ofBucket.status !== undefined;
        if (!isAnswer || ofBucket.isTransient) throw ofBucket;
        if (ofBucket.s3Code === "NoSuchBucket") s3Code = ofBucket.s3Code;
      }
    }
    return new S3Error(error.message, { isTransient: false, status: 404, s3Code, cause: error });
  }
}
