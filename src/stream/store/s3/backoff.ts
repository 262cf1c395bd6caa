/**
 * When to repeat a failed request.
 *
 * @module
 */
import { S3Error } from "./s3_error.ts";

/** How often a request is repeated, and how long to wait before. */
export interface RetryOptions {
  /** How many tries after the first may fail in a row, 0 or more. Default 6. */
  readonly retries?: number;
  /** The longest wait before the first retry, in milliseconds; doubled each time. Default 200. */
  readonly retryBaseMs?: number;
  /** The longest wait before any retry, in milliseconds. Default 20,000. */
  readonly retryCapMs?: number;
  /** Waits. For tests. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Returns a number from 0 to 1. For tests. */
  readonly random?: () => number;
}

/**
 * Counts failures in a row and waits between them. The waits have full jitter, so clients that
 * failed together do not retry together.
 *
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ | Exponential
 * backoff and jitter}
 */
export class Backoff {
  readonly #options: Required<RetryOptions>;
  readonly #toError: (error: unknown, tries: number) => unknown;
  readonly #signal?: AbortSignal;
  #failures = 0;

  /** Builds the counter; `toError` makes the error that the caller sees from the last failure. */
  constructor(
    options: Required<RetryOptions>,
    toError: (error: unknown, tries: number) => unknown,
    signal?: AbortSignal,
  ) {
    this.#options = options;
    this.#toError = toError;
    this.#signal = signal;
  }

  /** Counts from 0 again, after progress. */
  reset(): void {
    this.#failures = 0;
  }

  /** Waits until the next try is due, or throws if there is none. */
  async after(error: unknown): Promise<void> {
    this.#failures++;
    const { retries, retryBaseMs, retryCapMs, sleep, random } = this.#options;
    if (!(error instanceof S3Error) || !error.isTransient || this.#failures > retries) {
      throw this.#toError(error, this.#failures);
    }
    const boundMs = Math.min(retryCapMs, retryBaseMs * 2 ** (this.#failures - 1));
    await sleep(Math.max(random() * boundMs, error.retryAfterMs ?? 0), this.#signal);
  }

  /** Repeats `attempt` until it succeeds or {@link Backoff.after} throws. */
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
