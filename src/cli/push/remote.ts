/**
 * The server that `push` talks to, and who is asking.
 *
 * @module
 */

import { parseRepoName } from "../../db/repos.ts";
import { ConfigError, ServerError } from "../../errors.ts";
import { contentDigest } from "../../http/auth/content_digest.ts";
import { readSigner } from "../../http/auth/keys.ts";
import { type Signer, signRequest } from "../../http/auth/signature.ts";
import { sha256 } from "../../lib/digest.ts";
import { retryAfterMs } from "../../lib/retry_after.ts";
import { sleep } from "../../lib/sleep.ts";
import { networkText } from "../../lib/text/network_text.ts";
import { errorOfAnswer } from "./answer.ts";
import { type Answer, sendBody } from "./send_file.ts";

/** Requests in all if the server is busy. */
const MAX_ATTEMPTS = 5;
/** Longest `Retry-After` that is followed. */
const MAX_WAIT_MS = 60_000;

/** Where to push, and as whom. */
export interface RemoteFlags {
  readonly remote: string;
  readonly repo: string;
  readonly key?: string;
  readonly token?: string;
}

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
  /** Without a slash at its end. */
  readonly #base: string;
  readonly #repo: { readonly owner: string; readonly slug: string };
  readonly #token: string | undefined;
  readonly #signer: Signer | undefined;
  readonly #options: RemoteOptions;

  private constructor(flags: RemoteFlags, options: RemoteOptions, signer: Signer | undefined) {
    this.#base = flags.remote.replace(/\/$/, "");
    this.#repo = parseRepoName(flags.repo);
    this.#token = flags.token;
    this.#signer = signer;
    this.#options = options;
  }

  /** @throws {ConfigError} If the URL, the repo's name or the key is invalid. */
  static async open(flags: RemoteFlags, options: RemoteOptions): Promise<Remote> {
    const { remote, key } = flags;
    if (!/^https?:\/\//.test(remote) || !URL.canParse(remote)) {
      throw new ConfigError(`Cannot push to ${remote}: it is not a URL`);
    }
    const signer = key === undefined ? undefined : await readSigner(key);
    return new Remote(flags, options, signer);
  }

  /** The URL of a path under the repo. */
  pushUrl(name: string): URL {
    const { owner, slug } = this.#repo;
    return new URL(`${this.#base}/${owner}/${slug}/push/${name}`);
  }

  /** The URL of any other path. */
  apiUrl(path: string): URL {
    return new URL(`${this.#base}${path}`);
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
      if (!isBusy || attempt === MAX_ATTEMPTS) throw errorOfAnswer(answer);
      onWait();
      const waitMs = retryAfterMs(answer.headers.get("retry-after")) ?? attempt * 1_000;
      await sleep(Math.min(waitMs, MAX_WAIT_MS), signal);
    }
  }

  /** Sends one request with a signature of its own, because each is accepted once. */
  async #sendOnce(request: RemoteRequest): Promise<Answer> {
    const { method = "POST", url, sizeBytes } = request, headers = new Headers(request.headers);
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    if (this.#signer !== undefined) {
      const signed = await signRequest({ method, url, headers }, this.#signer);
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
