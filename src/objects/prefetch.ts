/**
 * Starts work before its turn.
 *
 * @module
 */

interface Started {
  readonly contents?: Promise<unknown>;
}

/**
 * Starts each item while up to `count` earlier items are still waiting to be consumed. Keeps the
 * order. If the consumer stops early, waits for all started work, so that nothing stays open.
 */
export async function* prefetch<T, B extends Started>(
  items: AsyncIterator<T>,
  start: (item: T) => B,
  count: number,
): AsyncGenerator<B, void, undefined> {
  const started: B[] = [];
  let isDone = false;
  try {
    for (;;) {
      while (!isDone && started.length <= count) {
        const next = await items.next();
        if (next.done) isDone = true;
        else {
          const item = start(next.value);
          // The consumer gets the rejection when it awaits this item. Until then it is not unhandled.
          item.contents?.catch(() => {});
          started.push(item);
        }
      }
      const first = started.shift();
      if (first === undefined) return;
      yield first;
    }
  } finally {
    await items.return?.();
    await Promise.allSettled(started.map(({ contents }) => contents));
  }
}
