/**
 * A body that is pushed by one side and pulled by the other, for a writer that has to keep pace
 * with bytes it cannot ask for.
 *
 * The pushing side is synchronous: it must itself look at `heldBytes` and pause. What was yielded
 * counts as held until the next chunk is asked for, which is when a store has let go of it.
 *
 * @module
 */

/** Bytes on their way from a decoder to a store. */
export class BodyQueue implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  readonly #onFreed: (sizeBytes: number) => void;
  #isEnded = false;
  #isClosed = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** Starts empty; `onFreed` is told of bytes that are held no longer. */
  constructor(onFreed: (sizeBytes: number) => void) {
    this.#onFreed = onFreed;
  }

  /** Adds a chunk, which must not change any more. */
  push(chunk: Uint8Array): void {
    if (this.#isClosed) return this.#onFreed(chunk.length);
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  /** Says that the body is whole. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** Ends the body with an error for whoever pulls it. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** Lets go of what is held and of all that is still pushed: nobody wants it. */
  close(): void {
    this.#isClosed = true;
    for (const chunk of this.#chunks.splice(0)) this.#onFreed(chunk.length);
  }

  /** The chunks as they come. To be called once. */
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
