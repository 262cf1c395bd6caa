import { StoreError } from "../errors.ts";

/** How long to wait for a store, and what else ends the wait. */
export interface DeadlineOptions<T> {
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
export function withDeadline<T>(
  answer: Promise<T>,
  { deadlineMs, action, signal, onLate }: DeadlineOptions<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      forget(wait);
      signal?.removeEventListener("abort", onAbort);
    };
    const giveUp = (error: unknown) => {
      settle();
      answer.then(onLate).catch(() => {});
      reject(error);
    };
    const onAbort = () => giveUp(signal!.reason);
    const wait = {
      dueAt: performance.now() + deadlineMs,
      end: () =>
        giveUp(
          new StoreError("store-unavailable", `Cannot ${action}: no answer in ${deadlineMs} ms`),
        ),
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort);
    watch(wait);
    answer.then(resolve, reject).finally(settle);
  });
}

interface Wait {
  /** When its time is up, on the clock of `performance.now()`. */
  readonly dueAt: number;
  /** Is called then. */
  readonly end: () => void;
}

/**
 * The waits under way, and one timer for all of them: small packs wait four times each, and timers of
 * their own were an eighth of the garbage they leave.
 */
const waits = new Set<Wait>();
let timer: ReturnType<typeof setTimeout> | undefined;
let timerDueAt = Infinity;

function watch(wait: Wait): void {
  waits.add(wait);
  if (wait.dueAt < timerDueAt) setTimer(wait.dueAt);
}

function forget(wait: Wait): void {
  waits.delete(wait);
  // A timer that has nobody to look after would keep the process.
  if (waits.size === 0) setTimer(Infinity);
}

function setTimer(dueAt: number): void {
  clearTimeout(timer);
  timerDueAt = dueAt;
  timer = dueAt === Infinity ? undefined : setTimeout(endOverdue, dueAt - performance.now());
}

function endOverdue(): void {
  const now = performance.now();
  for (const { dueAt, end } of waits) if (dueAt <= now) end();
  let nextAt = Infinity;
  for (const { dueAt } of waits) nextAt = Math.min(nextAt, dueAt);
  setTimer(nextAt);
}
