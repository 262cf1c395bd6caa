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
      unfollow?.();
    };
    const giveUp = (reason: unknown) => {
      settle();
      answer.then(onLate).catch(() => {});
      reject(reason);
    };
    const onAbort = () => giveUp(signal!.reason);
    const cancel = startDeadline(deadlineMs, () => giveUp(error()));
    const unfollow = signal && follow(signal, onAbort);
    if (signal?.aborted) return onAbort();
    answer.then((value) => {
      settle();
      resolve(value);
    }, (reason) => {
      settle();
      reject(reason);
    });
  });
}

/** Who waits for a signal. One listener is for all: to add and remove one takes 2 µs. */
const followers = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `onAbort` when the signal fires, unless the returned function is called before. */
function follow(signal: AbortSignal, onAbort: () => void): () => void {
  let waiting = followers.get(signal);
  if (waiting === undefined) {
    const all = waiting = new Set();
    followers.set(signal, all);
    signal.addEventListener("abort", () => {
      for (const each of all) each();
    }, { once: true });
  }
  waiting.add(onAbort);
  return () => waiting.delete(onAbort);
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
  // Deno warns of a negative time on stderr.
  const leftMs = Math.max(0, dueAt - performance.now());
  timer = dueAt === Infinity ? undefined : setTimeout(endOverdue, leftMs);
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
