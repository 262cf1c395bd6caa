/**
 * Limits one client on one server: requests a minute, and requests and uploads at once.
 *
 * The counts are in memory. A limit across servers would cost each request a statement.
 *
 * @module
 */

import { HttpProblem } from "./problem.ts";

/** Above this number, buckets that are full again are dropped. */
const MAX_BUCKETS = 10_000;
const MINUTE_MS = 60_000;

interface Bucket {
  tokens: number;
  refilledAtMs: number;
}

export interface RateLimitOptions {
  /** Requests a minute of one client; also the largest burst. */
  readonly requestsPerMinute: number;
  /** Uploads of one client at the same time. */
  readonly uploads: number;
  /** Requests of one address at the same time. */
  readonly requestsAtOnce: number;
  /** The clock in milliseconds. Default `performance.now`. */
  readonly now?: () => number;
}

export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();
  readonly #uploads = new Map<string, number>();
  readonly #running = new Map<string, number>();

  constructor(options: RateLimitOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Counts one request.
   *
   * @throws {HttpProblem} 429 if the client has sent too many in the last minute.
   */
  countRequest(client: string): void {
    const { requestsPerMinute: capacity } = this.#options, nowMs = this.#now();
    const bucket = this.#buckets.get(client) ?? { tokens: capacity, refilledAtMs: nowMs };
    const refill = (nowMs - bucket.refilledAtMs) * capacity / MINUTE_MS;
    bucket.tokens = Math.min(capacity, bucket.tokens + refill);
    bucket.refilledAtMs = nowMs;
    this.#buckets.set(client, bucket);
    if (this.#buckets.size > MAX_BUCKETS) this.#forgetIdle(nowMs);
    if (bucket.tokens < 1) {
      const waitSeconds = Math.ceil((1 - bucket.tokens) * MINUTE_MS / capacity / 1000);
      throw new HttpProblem(
        429,
        "rate-limited",
        `Cannot answer the request: the limit is ${capacity} a minute`,
        { headers: { "retry-after": String(waitSeconds) } },
      );
    }
    bucket.tokens--;
  }

  /** Takes back what `countRequest()` counted. */
  uncountRequest(client: string): void {
    const bucket = this.#buckets.get(client);
    if (bucket !== undefined) bucket.tokens++;
  }

  /**
   * Counts one upload until the result is disposed of.
   *
   * @throws {HttpProblem} 429 if the client runs too many already.
   */
  beginUpload(client: string): Disposable {
    return begin(this.#uploads, client, this.#options.uploads, "upload");
  }

  /**
   * Counts one running request of an address until the result is disposed of.
   *
   * @throws {HttpProblem} 429 if too many run already.
   */
  beginRequest(address: string): Disposable {
    return begin(this.#running, address, this.#options.requestsAtOnce, "request");
  }

  /** Counts on an answer that is still being sent, until the result is disposed of. */
  holdRequest(address: string): Disposable {
    return begin(this.#running, address, Infinity, "request");
  }

  #forgetIdle(nowMs: number): void {
    for (const [client, { refilledAtMs }] of this.#buckets) {
      if (nowMs - refilledAtMs >= MINUTE_MS) this.#buckets.delete(client);
    }
    // A flood of addresses: drop the oldest, which then start again with a full bucket.
    for (const client of this.#buckets.keys()) {
      if (this.#buckets.size <= MAX_BUCKETS) break;
      this.#buckets.delete(client);
    }
  }
}

function begin(
  counts: Map<string, number>,
  client: string,
  most: number,
  what: string,
): Disposable {
  const running = counts.get(client) ?? 0;
  if (running >= most) {
    throw new HttpProblem(
      429,
      "rate-limited",
      `Cannot start another ${what}: the limit is ${most} at once, ${running} are running`,
      { headers: { "retry-after": "1" } },
    );
  }
  counts.set(client, running + 1);
  let isOver = false;
  return {
    [Symbol.dispose]: () => {
      if (isOver) return;
      isOver = true;
      const left = counts.get(client)! - 1;
      if (left === 0) counts.delete(client);
      else counts.set(client, left);
    },
  };
}
