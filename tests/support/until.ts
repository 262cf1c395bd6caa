/** Waits that end: a state that never comes fails its test, and does not hold up the whole run. */

import { sleep } from "../../src/lib/sleep.ts";

/** How to wait. */
export interface UntilOptions {
  /** Milliseconds between two looks. Default: 20. */
  readonly everyMs?: number;
  /** Milliseconds until it is given up, far more than it takes. Default: 120,000. */
  readonly withinMs?: number;
  /** What there is in its place, for the error. */
  readonly found?: () => unknown | Promise<unknown>;
}

/**
 * Waits until the condition holds. What it throws ends the wait.
 *
 * @param what What is waited for: "the job is done".
 * @throws {Error} If it does not hold in time.
 */
export async function until(
  what: string,
  isReached: () => boolean | Promise<boolean>,
  { everyMs = 20, withinMs = 120_000, found }: UntilOptions = {},
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!await isReached()) {
    if (performance.now() > endMs) {
      const instead = found === undefined ? "" : `; there is ${JSON.stringify(await found())}`;
      throw new Error(`Not in ${withinMs / 1000} s: ${what}${instead}`);
    }
    await sleep(everyMs);
  }
}
