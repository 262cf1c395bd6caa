/**
 * One budget for all request bodies in memory. Clients that send long bodies and never finish them
 * would otherwise fill it, each within its own limits.
 *
 * @module
 */

import { HttpProblem } from "../problem.ts";

/** Short bodies are free: the cap of connections bounds them. */
const FREE_BYTES = 64 * 1024;
/** Part of the budget that one client may use. */
const CLIENT_SHARE = 1 / 4;

/** The bytes of one body. Dispose of it when the body is not in memory any more. */
export interface BodyBytes extends Disposable {
  /**
   * Counts bytes that have arrived.
   *
   * @throws {HttpProblem} 503 if the budget, or the client's part of it, is used up.
   */
  add(bytes: number): void;
}

/** Counts the bytes of all bodies in memory. */
export class BodyBudget {
  readonly #maxBytes: number;
  readonly #clients = new Map<string, number>();
  #usedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Starts to count a body of `client`. */
  open(client: string): BodyBytes {
    let bytes = 0, countedBytes = 0;
    return {
      add: (more) => {
        bytes += more;
        const uncounted = Math.max(0, bytes - FREE_BYTES) - countedBytes;
        const ofClient = (this.#clients.get(client) ?? 0) + uncounted;
        if (
          this.#usedBytes + uncounted > this.#maxBytes ||
          ofClient > this.#maxBytes * CLIENT_SHARE
        ) {
          throw new HttpProblem(
            503,
            "busy",
            "Cannot read the body: too many long bodies are being read at once",
          );
        }
        countedBytes += uncounted;
        this.#usedBytes += uncounted;
        if (ofClient > 0) this.#clients.set(client, ofClient);
      },
      [Symbol.dispose]: () => {
        this.#usedBytes -= countedBytes;
        const left = (this.#clients.get(client) ?? 0) - countedBytes;
        if (left > 0) this.#clients.set(client, left);
        else this.#clients.delete(client);
        countedBytes = 0;
      },
    };
  }
}
