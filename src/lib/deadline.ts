/** How long to wait for an answer, and what else ends the wait. */
interface DeadlineOptions<T> {
  readonly deadlineMs: number;
  /** Makes the error to throw when the time is up. */
  readonly error: () => Error;
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal;
  /** Gets an answer that came too late, to close it. */
  readonly onLate?: (answer: T) => unknown;
}

/** Waits for an answer until the deadline. */
export function withDeadline<T>(
  answer: Promise<T>,
  { deadlineMs, error, signal, onLate }: DeadlineOptions<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const giveUp = (reason: unknown) => {
      settle();
      answer.then(onLate).catch(() => {});
      reject(reason);
    };
    const onAbort = () => giveUp(signal!.reason);
    const cancel = startDeadline(deadlineMs, () => giveUp(error()));
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort);
    answer.then(resolve, reject).finally(settle);
  });
}

interface Wait {
  /** When its time is up, by `performance.now()`. */
  readonly dueAt: number;
  /** Called at that time. */
  readonly end: () => void;
}

/** All waits share one timer: a timer of its own costs a wait 5 µs instead of 2. */
const waits = new Set<Wait>();
let timer: ReturnType<typeof setTimeout> | undefined;
let timerDueAt = Infinity;

/** Calls `end` after `deadlineMs`, unless the returned function is called before. */
export function startDeadline(deadlineMs: number, end: () => void): () => void {
  const wait = { dueAt: performance.now() + deadlineMs, end };
  waits.add(wait);
  if (wait.dueAt < timerDueAt) setTimer(wait.dueAt);
  return () => {
    waits.delete(wait);
    // An idle timer would keep the process alive.
    if (waits.size === 0) setTimer(Infinity);
  };
}

function setTimer(dueAt: number): void {
  clearTimeout(timer);
  timerDueAt = dueAt;
  timer = dueAt === Infinity ? undefined : setTimeout(endOverdue, dueAt - performance.now());
}

function endOverdue(): void {
  const now = performance.now();
  let nextAt = Infinity;
  for (const wait of waits) {
    if (wait.dueAt > now) nextAt = Math.min(nextAt, wait.dueAt);
    else {
      waits.delete(wait);
      wait.end();
    }
  }
  setTimer(nextAt);
}
