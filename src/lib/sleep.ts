/** Waits `ms` milliseconds; rejects with the signal's reason as soon as the signal fires. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Elements of one slice of a long list, about 5 ms: 200,000 ids take some 50 ms a step. */
const SLICE = 10_000;

/** Resolves after the other events that are due. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A slice of a list, and the turn that others have before the next one. */
export async function* slicesOf<T>(values: readonly T[]): AsyncGenerator<readonly T[]> {
  for (let at = 0; at < values.length; at += SLICE) {
    if (at > 0) await nextTurn();
    yield values.slice(at, at + SLICE);
  }
}

/** The distinct values, in the order given. */
export async function distinct<T>(values: readonly T[]): Promise<Set<T>> {
  const found = new Set<T>();
  for await (const slice of slicesOf(values)) for (const value of slice) found.add(value);
  return found;
}
