/** Lets a few holders of one key go on at the same time; the others wait for their turn. */
export class KeyedLimit {
  readonly #most: number;
  readonly #keys = new Map<string, { held: number; readonly waiting: (() => void)[] }>();

  /** At most `most` places per key. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Waits for a place, which is free again when the result is disposed of. */
  async enter(key: string, signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted();
    const places = this.#keys.get(key) ?? { held: 0, waiting: [] };
    this.#keys.set(key, places);
    if (places.held < this.#most) places.held++;
    else await turn(places.waiting, signal);
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        // The place goes to the next one, so the count stays.
        const next = places.waiting.shift();
        if (next !== undefined) next();
        else if (--places.held === 0) this.#keys.delete(key);
      },
    };
  }
}

async function turn(waiting: (() => void)[], signal?: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const giveUp = () => {
    const at = waiting.indexOf(resolve);
    if (at >= 0) waiting.splice(at, 1);
    reject(signal!.reason);
  };
  waiting.push(resolve);
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    await promise;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}
