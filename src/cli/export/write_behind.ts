/**
 * Output that is written while the next of it is being made.
 *
 * @module
 */

/**
 * Bytes written by one call, which takes as long for a header as for a hundred of them. Of 64 KiB to
 * 1 MiB this was the fastest beside a download.
 */
const BUFFER_BYTES = 512 * 1024;

/** Two buffers: one is filled while the other is written. */
export class WriteBehind {
  readonly #out: Pick<Deno.FsFile, "write">;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #spare = new Uint8Array(BUFFER_BYTES);
  #filledBytes = 0;
  #written: Promise<void> = Promise.resolve();

  /** Starts with nothing to write; `out` stays the caller's to close. */
  constructor(out: Pick<Deno.FsFile, "write">) {
    this.#out = out;
  }

  /** Takes a copy of the bytes. Throws what an earlier write failed with. */
  async put(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      if (this.#filledBytes === BUFFER_BYTES) await this.#send();
      const part = bytes.subarray(at, at + BUFFER_BYTES - this.#filledBytes);
      this.#buffer.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      at += part.length;
    }
  }

  /** Returns when all that was put is written. */
  async flush(): Promise<void> {
    if (this.#filledBytes > 0) await this.#send();
    await this.#written;
  }

  /** Drops what is not on its way yet, and waits for the rest. Never throws. */
  async abandon(): Promise<void> {
    this.#filledBytes = 0;
    await this.#written.catch(() => {});
  }

  async #send(): Promise<void> {
    // The spare buffer is free when this returns.
    await this.#written;
    const full = this.#buffer.subarray(0, this.#filledBytes);
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#filledBytes = 0;
    this.#written = writeAll(this.#out, full);
    // Whoever waits for it next gets the failure; until then it is nobody's.
    this.#written.catch(() => {});
  }
}

async function writeAll(out: Pick<Deno.FsFile, "write">, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await out.write(bytes.subarray(at));
}
