/**
 * Work that is begun before its turn.
 *
 * @module
 */

/** Something begun; what it waits for must not be lost when nobody comes for it. */
interface Begun {
  readonly gathered?: Promise<unknown>;
}

/**
 * Begins each item up to `count` items before it is handed on; the order stays.
 *
 * When the consumer stops early, what was begun is waited for, so that nothing is left open.
 */
export async function* ahead<T, B extends Begun>(
  items: AsyncIterator<T>,
  begin: (item: T) => B,
  count: number,
): AsyncGenerator<B, void, undefined> {
  const begun: B[] = [];
  let isDone = false;
  try {
    for (;;) {
      while (!isDone && begun.length <= count) {
        const next = await items.next();
        if (next.done) isDone = true;
        else {
          const item = begin(next.value);
          // Whoever awaits it gets the failure; until then it is nobody's.
          item.gathered?.catch(() => {});
          begun.push(item);
        }
      }
      const first = begun.shift();
      if (first === undefined) return;
      yield first;
    }
  } finally {
    await items.return?.();
    await Promise.allSettled(begun.map(({ gathered }) => gathered));
  }
}
