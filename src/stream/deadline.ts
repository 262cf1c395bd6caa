import { StoreError } from "../errors.ts";
import { orAborted } from "./abortable.ts";

/** How long to wait for a store, and what else ends the wait. */
export interface PatienceOptions<T> {
  /** Milliseconds until the store counts as hung. */
  readonly deadlineMs: number;
  /** The verb phrase after "Cannot" in the error: "read the pack". */
  readonly action: string;
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal;
  /** Gets an answer that came too late, to let go of it. */
  readonly onLate?: (answer: T) => unknown;
}

/**
 * Waits for a store's answer, but not for ever.
 *
 * A store keeps its own deadlines, which are shorter. This one is for what has none: a folder on
 * a network disk that hangs, or a store that somebody else wrote.
 *
 * @throws {StoreError} `store-unavailable` if there was no answer in time.
 */
export async function patiently<T>(
  answer: Promise<T>,
  { deadlineMs, action, signal, onLate }: PatienceOptions<T>,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new StoreError("store-unavailable", `Cannot ${action}: no answer in ${deadlineMs} ms`),
        ),
      deadlineMs,
    );
  });
  try {
    return await orAborted(Promise.race([answer, late]), signal);
  } catch (error) {
    answer.then(onLate).catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
