/**
 * Limits the work for credentials that may be guesses.
 *
 * A lookup costs a statement, so it is counted before it is made: against the address, until the
 * credential has proved to be valid. What was valid before does not suffer from guesses of others
 * behind the same address.
 *
 * @module
 */

import { HttpProblem } from "../problem.ts";
import type { RateLimit } from "../rate_limit.ts";

const MAX_KNOWN = 10_000;

export class GuessLimit {
  readonly #rateLimit: RateLimit;
  /** Who sent a credential that was valid, by the credential. */
  readonly #clients = new Map<string, string>();

  /** Counts in buckets of their own: anonymous requests and guesses of an address are apart. */
  constructor(rateLimit: RateLimit) {
    this.#rateLimit = rateLimit;
  }

  /** The client that a credential belonged to when it was last looked up. */
  clientOf(credential: string): string | undefined {
    return this.#clients.get(credential);
  }

  /**
   * Runs `look`, which finds the caller of a credential or throws 401.
   *
   * @throws {HttpProblem} 429, before `look` is run, if the address has guessed too often.
   */
  async check<T extends { readonly client: string }>(
    { address, credential }: { readonly address: string; readonly credential: string },
    look: () => Promise<T>,
  ): Promise<T> {
    const isKnown = this.#clients.has(credential);
    if (!isKnown) this.count(address);
    try {
      const caller = await look();
      if (!isKnown) {
        this.#rateLimit.uncountRequest(bucketOf(address));
        this.#remember(credential, caller.client);
      }
      return caller;
    } catch (error) {
      const isRefused = error instanceof HttpProblem && error.status === 401;
      if (isRefused && isKnown) this.count(address);
      else if (!isRefused && !isKnown) this.#rateLimit.uncountRequest(bucketOf(address));
      throw error;
    }
  }

  /**
   * Counts a credential that is malformed.
   *
   * @throws {HttpProblem} 429.
   */
  count(address: string): void {
    this.#rateLimit.countRequest(bucketOf(address));
  }

  /** Makes a credential a guess again: it was revoked. */
  forget(credential: string): void {
    this.#clients.delete(credential);
  }

  #remember(credential: string, client: string): void {
    const [oldest] = this.#clients.keys();
    if (this.#clients.size >= MAX_KNOWN) this.#clients.delete(oldest);
    this.#clients.set(credential, client);
  }
}

function bucketOf(address: string): string {
  return `guesses of ${address}`;
}
