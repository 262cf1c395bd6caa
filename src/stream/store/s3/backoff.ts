/**
 * When to try a failed request again.
 *
 * @module
 */
import { S3Error } from "./s3_error.ts";

/** How patient a store is. */
export interface RetryOptions {
  /** Tries after the first that may fail in a row, 0 or more. Default 6. */
  readonly retries?: number;
  /** The longest wait before the first retry, in milliseconds; doubled each time. Default 200. */
  readonly retryBaseMs?: number;
  /** The longest wait before any retry, in milliseconds. Default 20,000. */
  readonly retryCapMs?: number;
  /** Waits; to be replaced in tests. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** A number from 0 to 1; to be replaced in tests. */
  readonly random?: () => number;
}

/**
 * Counts failures in a row and waits between them, with full jitter, so that clients that failed
 * together do not come back together.
 *
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ | Exponential
 * backoff and jitter}
 */
export class Backoff {
  readonly #options: Required<RetryOptions>;
  readonly #toError: (error: unknown, tries: number) => unknown;
  readonly #signal?: AbortSignal;
  #failures = 0;

  /** Builds the counter; `toError` makes the last failure into what the caller sees. */
  constructor(
    options: Required<RetryOptions>,
    toError: (error: unknown, tries: number) => unknown,
    signal?: AbortSignal,
  ) {
    this.#options = options;
    this.#toError = toError;
    this.#signal = signal;
  }

  /** Forgets the failures: there was progress. */
  reset(): void {
    this.#failures = 0;
  }

  /** Returns once it is time for another try, or throws because there must be none. */
  async after(error: unknown): Promise<void> {
    this.#failures++;
    const { retries, retryBaseMs, retryCapMs, sleep, random } = this.#options;
    if (!(error instanceof S3Error) || !error.isTransient || this.#failures > retries) {
      throw this.#toError(error, this.#failures);
    }
    const boundMs = Math.min(retryCapMs, retryBaseMs * 2 ** (this.#failures - 1));
    await sleep(Math.max(random() * boundMs, error.retryAfterMs ?? 0), this.#signal);
  }

  /** Does `attempt` until it succeeds or there must be no other try. */
  async run<T>(attempt: () => Promise<T>): Promise<T> {
    while (true) {
      try {
        return await attempt();
      } catch (error) {
        await this.after(error);
      }
    }
  }
}
