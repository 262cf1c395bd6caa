import type { BlobReader } from "../../stream/store/blob_store.ts";

const BUFFER_BYTES = 256 * 1024;

/** Reads an open blob through a buffer: a record of some hundred bytes costs no read of its own. */
export class BufferedReader {
  readonly #reader: Pick<BlobReader, "read">;
  readonly #buffer: Uint8Array;
  #at = 0;
  #end = 0;

  /** @param sizeBytes How much will be read. */
  constructor(reader: Pick<BlobReader, "read">, sizeBytes: number) {
    this.#reader = reader;
    this.#buffer = new Uint8Array(Math.min(BUFFER_BYTES, sizeBytes));
  }

  /** Fills `into`; returns how many bytes there were. */
  async read(into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const part = await this.#take(into.length - filled);
      if (part.length === 0) break;
      into.set(part, filled);
      filled += part.length;
    }
    return filled;
  }

  /** Skips bytes; returns whether they were there. */
  async skip(count: number): Promise<boolean> {
    while (count > 0) {
      const part = await this.#take(count);
      if (part.length === 0) return false;
      count -= part.length;
    }
    return true;
  }

  /** The next bytes, at most `count`; empty at the end. Valid until the next call. */
  async #take(count: number): Promise<Uint8Array> {
    if (this.#at === this.#end) {
      this.#at = 0;
      this.#end = await this.#reader.read(this.#buffer);
    }
    const part = this.#buffer.subarray(this.#at, Math.min(this.#end, this.#at + count));
    this.#at += part.length;
    return part;
  }
}
