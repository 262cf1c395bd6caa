/**
 * Signed requests to one bucket: one try each, every wait bounded.
 *
 * @module
 */
import { sleep as realSleep } from "../../../lib/sleep.ts";
import type { Presigned } from "../blob_store.ts";
import { DEFAULT_TIMEOUTS } from "../timeouts.ts";
import { RequestEnd, S3Answer } from "./answer.ts";
import { Backoff, type RetryOptions } from "./backoff.ts";
import { errorOfAnswer, S3Error, toStoreError } from "./s3_error.ts";
import { type Presignable, S3Presigner } from "./presign.ts";
import { type S3Identity, S3Signer } from "./sign.ts";

/** A body may take this much longer to send than an answer to come: 64 KiB/s is the slowest. */
const SLOWEST_UPLOAD_BYTES_PER_MS = 64;

/** Where a bucket is, who asks, and how withDeadline. */
export interface S3ClientOptions extends RetryOptions, S3Identity {
  /** The longest silence of the store, in milliseconds, 1 or more. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** Sends requests; to be replaced in tests. */
  readonly fetch?: typeof fetch;
}

/** One request. */
export interface S3Request {
  /** The HTTP method. */
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The object, or nothing for the bucket itself. */
  readonly objectKey?: string;
  /** The query. */
  readonly query?: Record<string, string>;
  /** Headers, which are not signed. */
  readonly headers?: Record<string, string>;
  /** The body, whole: it is sent with its length. */
  readonly body?: Uint8Array<ArrayBuffer>;
  /** SHA-256 of the body as hex digits: the store takes no other. Default: it is not bound. */
  readonly bodySha256Hex?: string;
  /** The longest wait for the answer's headers, in milliseconds. Default: the idle timeout. */
  readonly answerWithinMs?: number;
  /** Ends the request and the reading of its body. */
  readonly signal?: AbortSignal;
}

/** Sends requests to one bucket. Holds no connection of its own. */
export class S3Client {
  /** The bucket as a URL without secrets. */
  readonly url: string;
  /** The longest silence of the store, in milliseconds. */
  readonly idleTimeoutMs: number;
  readonly #options: S3ClientOptions;
  readonly #signer: S3Signer;
  readonly #presigner: S3Presigner;

  /** Builds the client; sends nothing. `url` is how errors name the store. */
  constructor(url: string, options: S3ClientOptions) {
    this.url = url;
    this.idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_TIMEOUTS.idleTimeoutMs;
    this.#options = options;
    // It knows what an endpoint may be.
    this.#presigner = new S3Presigner(url, options);
    this.#signer = new S3Signer(options);
  }

  /** A counter of failures for one deed of a caller. */
  backoff(deed: { action: string; key: string }, signal?: AbortSignal): Backoff {
    const { sleep = realSleep, random = Math.random, region } = this.#options;
    const {
      retries = DEFAULT_TIMEOUTS.retries,
      retryBaseMs = DEFAULT_TIMEOUTS.retryBaseMs,
      retryCapMs = DEFAULT_TIMEOUTS.retryCapMs,
    } = this.#options;
    return new Backoff(
      { retries, retryBaseMs, retryCapMs, sleep, random },
      (error, tries) => toStoreError(error, { ...deed, storeUrl: this.url, region }, tries),
      signal,
    );
  }

  /**
   * Sends one request.
   *
   * @throws {S3Error} If there is no answer, or it is not a success.
   */
  async send(request: S3Request): Promise<S3Answer> {
    const { method, signal, body, answerWithinMs = this.idleTimeoutMs } = request;
    signal?.throwIfAborted();
    const { objectKey = "", query, bodySha256Hex } = request;
    const { url, headers: signed } = this.#signer.sign({ method, objectKey, query, bodySha256Hex });
    // fetch would ask for gzip otherwise, and offsets would be wrong.
    const headers = { ...signed, ...request.headers, "accept-encoding": "identity" };
    const end = new RequestEnd(signal);
    const uploadMs = Math.ceil((body?.length ?? 0) / SLOWEST_UPLOAD_BYTES_PER_MS);
    const send = this.#options.fetch ?? fetch;
    // A redirect would have to be signed anew, for another host.
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
    const answer = new S3Answer(response, end, this.idleTimeoutMs);
    if (response.ok) return answer;
    const fault = errorOfAnswer(answer.status, answer.headers, await answer.text());
    throw fault.status === 404 ? await this.#explain404(request, fault) : fault;
  }

  /** A URL that lets its holder send one request with exactly these headers. */
  async presign(
    request: Presignable & { headers: Record<string, string>; expiresSeconds: number },
  ): Promise<Presigned> {
    const date = new Date();
    const { headers, expiresSeconds } = request;
    return {
      url: await this.#presigner.presign({ ...request, date }),
      headers,
      expiresAt: new Date(date.getTime() + expiresSeconds * 1000),
    };
  }

  /** HEAD has no body to tell a missing bucket from a missing object, nor have some proxies. */
  async #explain404(request: S3Request, fault: S3Error): Promise<S3Error> {
    if (fault.s3Code?.startsWith("NoSuch")) return fault;
    let s3Code = "NoSuchKey";
    if (request.objectKey === undefined) s3Code = "NoSuchBucket";
    else {
      try {
        await (await this.send({ method: "HEAD", signal: request.signal })).discard();
      } catch (error) {
        if (!(error instanceof S3Error) || error.isTransient) throw error;
        if (error.s3Code === "NoSuchBucket") s3Code = error.s3Code;
      }
    }
    return new S3Error(fault.message, { isTransient: false, status: 404, s3Code, cause: fault });
  }
}
