/**
 * The server that `push` talks to, and who is asking.
 *
 * @module
 */

import { QuotaError, ServerError } from "../../errors.ts";
import { contentDigest } from "../../http/auth/content_digest.ts";
import { signRequest } from "../../http/auth/signature.ts";
import { sha256 } from "../../lib/digest.ts";
import { retryAfterMs } from "../../lib/retry_after.ts";
import { sleep } from "../../lib/sleep.ts";
import { networkText } from "../../lib/text/network_text.ts";
import type { Account } from "../remotes/account.ts";
import type { RemoteRepo } from "../remotes/repo_url.ts";
import { errorOfAnswer } from "./answer.ts";
import { type Answer, sendBody } from "./send_file.ts";

/** Requests in all if the server is busy. */
const MAX_ATTEMPTS = 5;
/** Longest `Retry-After` that is followed. */
const MAX_WAIT_MS = 60_000;

/** One request. Its body is made anew for each attempt. */
export interface RemoteRequest {
  readonly method?: "GET" | "POST";
  readonly url: URL;
  /** Besides those of the credential. */
  readonly headers: Record<string, string>;
  readonly sizeBytes: number;
  readonly body: () => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>;
}

/** How long to wait. */
export interface RemoteOptions {
  readonly signal: AbortSignal;
  /** Longest time of one request; the server has the same limit. */
  readonly deadlineMs: number;
  /** Called before a wait. */
  readonly onWait: () => void;
}

/** Sends requests for one repo of one server. */
export class Remote {
  readonly #place: Pick<RemoteRepo, "server" | "repo">;
  readonly #account: Account;
  readonly #options: RemoteOptions;

  constructor(
    place: Pick<RemoteRepo, "server" | "repo">,
    account: Account,
    options: RemoteOptions,
  ) {
    this.#place = place;
    this.#account = account;
    this.#options = options;
  }

  /** The URL of a path under the repo. */
  pushUrl(name: string): URL {
    const { server, repo } = this.#place;
    return new URL(`${server}/${repo}/push/${name}`);
  }

  /** The URL of any other path. */
  apiUrl(path: string): URL {
    return new URL(`${this.#place.server}${path}`);
  }

  /** Posts a value as JSON, or gets one; returns an answer of success. */
  async json(url: URL, value?: object): Promise<Answer> {
    const bytes = new TextEncoder().encode(value === undefined ? "" : JSON.stringify(value));
    const headers: Record<string, string> = value === undefined ? {} : {
      "content-type": "application/json",
      "content-digest": contentDigest(sha256(bytes)),
    };
    return await this.send({
      method: value === undefined ? "GET" : "POST",
      url,
      headers,
      sizeBytes: bytes.length,
      body: async function* () {
        if (bytes.length > 0) yield bytes;
      },
    });
  }

  /** Sends a request, and repeats it while the server says that it is busy. */
  async send(request: RemoteRequest): Promise<Answer> {
    const { signal, onWait } = this.#options;
    for (let attempt = 1;; attempt++) {
      const answer = await this.#sendOnce(request);
      if (answer.status >= 200 && answer.status < 300) return answer;
      const isBusy = answer.status === 429 || answer.status === 503;
      const error = errorOfAnswer(answer);
      // The hour of a quota may end late.
      if (!isBusy || attempt === MAX_ATTEMPTS || error instanceof QuotaError) throw error;
      onWait();
      const waitMs = retryAfterMs(answer.headers.get("retry-after")) ?? attempt * 1_000;
      await sleep(Math.min(waitMs, MAX_WAIT_MS), signal);
    }
  }

  /** Sends one request with a signature of its own, because each is accepted once. */
  async #sendOnce(request: RemoteRequest): Promise<Answer> {
    const { method = "POST", url, sizeBytes } = request, headers = new Headers(request.headers);
    const { token, signer } = this.#account;
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    if (signer !== undefined) {
      const signed = await signRequest({ method, url, headers }, signer);
      for (const [name, value] of Object.entries(signed)) headers.set(name, value);
    }
    const { signal, deadlineMs } = this.#options;
    return await reach(url, { signal, deadlineMs }, async (signal) => {
      const body = await request.body();
      return await sendBody(url, { method, headers, body, sizeBytes, signal });
    });
  }
}

/**
 * Runs one request with a deadline.
 *
 * @throws {ServerError} Without the URL's path, which may be a credential.
 */
export async function reach<T>(
  url: URL,
  { signal, deadlineMs }: Pick<RemoteOptions, "signal" | "deadlineMs">,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = AbortSignal.timeout(deadlineMs);
  try {
    return await request(AbortSignal.any([signal, late]));
  } catch (cause) {
    signal.throwIfAborted();
    const why = late.aborted ? `no answer in ${deadlineMs} ms` : networkText(cause as Error);
    throw new ServerError(`Cannot push to ${url.origin}: ${why}`, { cause });
  }
}
