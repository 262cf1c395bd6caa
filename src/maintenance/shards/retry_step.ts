import { DatabaseError, ShardMovedError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/** How long to try. */
export interface Patience {
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  /** When the step was last seen to go on, as `performance.now()` says it: patience begins anew. */
  readonly answeredAt?: () => number;
  readonly onWait?: (reason: string) => void | Promise<void>;
}

/**
 * Does a step again while a server does not answer: it restarts, or the network is cut. A step does
 * nothing that is done already.
 *
 * @throws The last error, when patience is at its end, and at once what time does not cure.
 */
export async function retryStep<T>(work: () => Promise<T>, patience: Patience): Promise<T> {
  const { patienceMs, signal, answeredAt, onWait } = patience, startedAt = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS;; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      const isTemporary = error instanceof DatabaseError && error.retryable &&
        !(error instanceof ShardMovedError);
      const deadline = Math.max(startedAt, answeredAt?.() ?? 0) + patienceMs;
      if (!isTemporary || performance.now() + pauseMs > deadline) throw error;
      await onWait?.(error.message);
      await sleep(pauseMs, signal);
    }
  }
}
