/**
 * Writes output while the caller produces the next part.
 *
 * @module
 */

/**
 * Bytes per write. A write of a small header takes as long as one of a hundred headers. Of 64 KiB to
 * 1 MiB this was the fastest beside a download.
 */
const BUFFER_BYTES = 512 * 1024;

/** Fills one buffer while the other is written. */
export class WriteBehind {
  readonly #out: Pick<Deno.FsFile, "write">;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #spare = new Uint8Array(BUFFER_BYTES);
  #filledBytes = 0;
  #written: Promise<void> = Promise.resolve();

  /** The caller closes `out`. */
  constructor(out: Pick<Deno.FsFile, "write">) {
    this.#out = out;
  }

  /** Copies the bytes. Throws the error of an earlier write. */
  async put(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      if (this.#filledBytes === BUFFER_BYTES) await this.#send();
      const part = bytes.subarray(at, at + BUFFER_BYTES - this.#filledBytes);
      this.#buffer.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      at += part.length;
    }
  }

  /** Returns when everything is written. */
  async flush(): Promise<void> {
    if (this.#filledBytes > 0) await this.#send();
    await this.#written;
  }

  /** Drops the buffered bytes and waits for the write that runs. Never throws. */
  async discard(): Promise<void> {
    this.#filledBytes = 0;
    await this.#written.catch(() => {});
  }

  async #send(): Promise<void> {
    // Then the spare buffer is free.
    await this.#written;
    const full = this.#buffer.subarray(0, this.#filledBytes);
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#filledBytes = 0;
    this.#written = writeAll(this.#out, full);
    // The next caller that awaits it gets the rejection. Until then it is not unhandled.
    this.#written.catch(() => {});
  }
}

async function writeAll(out: Pick<Deno.FsFile, "write">, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await out.write(bytes.subarray(at));
}
