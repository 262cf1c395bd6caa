/**
 * Waits.
 *
 * @module
 */

import { MpackdError } from "../../src/errors.ts";

const MOST_TRIES = 500;

/** Waits so long. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Retries while the database is unavailable. `work` must not draw random numbers. */
export async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await work();
    } catch (error) {
      const isTransient = error instanceof MpackdError ? error.retryable : "code" in Object(error);
      if (!isTransient || tries === MOST_TRIES) throw error;
      await pause(50);
    }
  }
}
