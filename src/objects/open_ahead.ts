/**
 * Opens each item while up to `count` items before it are still in use or waiting. Keeps the order, and
 * closes each when the next one is asked for. If the consumer stops early, all are closed.
 */
export async function* openAhead<T, R extends AsyncDisposable>(
  items: readonly T[],
  open: (item: T) => Promise<R>,
  count: number,
): AsyncGenerator<readonly [item: T, opened: R], void, undefined> {
  const openings: Promise<R>[] = [];
  let next = 0;
  try {
    for (const item of items) {
      while (next < items.length && openings.length <= count) {
        const opening = open(items[next++]);
        // Awaited when it is its turn. Until then a rejection is not unhandled.
        opening.catch(() => {});
        openings.push(opening);
      }
      const opened = await openings[0];
      yield [item, opened];
      await opened[Symbol.asyncDispose]();
      openings.shift();
    }
  } finally {
    for (const opening of await Promise.allSettled(openings)) {
      if (opening.status === "fulfilled") await opening.value[Symbol.asyncDispose]();
    }
  }
}
