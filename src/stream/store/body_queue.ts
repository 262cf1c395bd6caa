/**
 * A body that one side pushes and a store pulls.
 *
 * `push` is synchronous and never refuses: the pushing side counts the buffered bytes and pauses. A
 * chunk counts until the store asks for the next one, which means that it has used the chunk.
 *
 * @module
 */

/** Chunks on their way from a decoder to a store. */
export class BodyQueue implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  readonly #onFreed: (sizeBytes: number) => void;
  #isEnded = false;
  #isClosed = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** Calls `onFreed` with the length of each chunk that is no longer buffered. */
  constructor(onFreed: (sizeBytes: number) => void) {
    this.#onFreed = onFreed;
  }

  /** Adds a chunk. The caller must not change it afterwards. */
  push(chunk: Uint8Array): void {
    if (this.#isClosed) return this.#onFreed(chunk.length);
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  /** Ends the body after the chunks pushed so far. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** Makes the pulling side throw `error`. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** Drops all chunks, and those still to be pushed. */
  close(): void {
    this.#isClosed = true;
    for (const chunk of this.#chunks.splice(0)) this.#onFreed(chunk.length);
  }

  /** Yields the chunks. Call it once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        if (this.#failure) throw this.#failure;
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          try {
            yield chunk;
          } finally {
            this.#onFreed(chunk.length);
          }
        } else if (this.#isEnded) return;
        else await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      this.close();
    }
  }
}
