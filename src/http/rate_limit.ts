/**
 * How much one client may ask of one server: requests a minute, uploads at once.
 *
 * Both are kept in memory: a limit of several servers together would cost every request a
 * statement.
 *
 * @module
 */

import { HttpProblem } from "./problem.ts";

/** Above this many clients, those whose bucket is full again are forgotten. */
const MAX_BUCKETS = 10_000;
const MINUTE_MS = 60_000;

interface Bucket {
  tokens: number;
  refilledAtMs: number;
}

/** The limits of one server. */
export interface GateOptions {
  /** Requests a minute of one client; that many may also come at once. */
  readonly requestsPerMinute: number;
  /** Uploads of one client that run at once. */
  readonly uploads: number;
  /** The clock in milliseconds. Default `performance.now`. */
  readonly now?: () => number;
}

/** Counts the requests and uploads of each client. */
export class Gate {
  readonly #options: GateOptions;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();
  readonly #uploads = new Map<string, number>();

  /** Starts with nobody counted. */
  constructor(options: GateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Counts one request.
   *
   * @throws {HttpProblem} 429 if there were too many in the last minute.
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
        `Cannot answer so many requests: ${capacity} a minute are allowed`,
        { headers: { "retry-after": String(waitSeconds) } },
      );
    }
    bucket.tokens--;
  }

  /**
   * Counts one upload until the result is disposed of.
   *
   * @throws {HttpProblem} 429 if too many are running.
   */
  beginUpload(client: string): Disposable {
    const running = this.#uploads.get(client) ?? 0, { uploads } = this.#options;
    if (running >= uploads) {
      throw new HttpProblem(
        429,
        "rate-limited",
        `Cannot take another upload: ${uploads} at once are allowed, ${running} are running`,
        { headers: { "retry-after": "1" } },
      );
    }
    this.#uploads.set(client, running + 1);
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        const left = this.#uploads.get(client)! - 1;
        if (left === 0) this.#uploads.delete(client);
        else this.#uploads.set(client, left);
      },
    };
  }

  #forgetIdle(nowMs: number): void {
    for (const [client, { refilledAtMs }] of this.#buckets) {
      if (nowMs - refilledAtMs >= MINUTE_MS) this.#buckets.delete(client);
    }
    // A flood of addresses: the oldest go, and start anew with a full bucket.
    for (const client of this.#buckets.keys()) {
      if (this.#buckets.size <= MAX_BUCKETS) break;
      this.#buckets.delete(client);
    }
  }
}
