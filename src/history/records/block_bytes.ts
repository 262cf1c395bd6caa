import type { BlockReader } from "../../objects/block_reader.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Takes bytes out of blocks, where they lie if one block has them all. */
export class BlockBytes {
  readonly #reader: Pick<BlockReader, "next">;
  #block: Bytes = new Uint8Array();

  constructor(reader: Pick<BlockReader, "next">) {
    this.#reader = reader;
  }

  /** The next `count` bytes, which the caller may keep; undefined if there are not so many. */
  async take(count: number): Promise<Bytes | undefined> {
    if (this.#block.length === 0 && count > 0) await this.#load();
    if (count <= this.#block.length) return this.#cut(count);
    const bytes = new Uint8Array(count);
    return await this.read(bytes) === count ? bytes : undefined;
  }

  /** Fills `into`; returns how many bytes there were. */
  async read(into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.length && await this.#load()) {
      const part = this.#cut(into.length - filled);
      into.set(part, filled);
      filled += part.length;
    }
    return filled;
  }

  /** Skips bytes; returns whether they were there. */
  async skip(count: number): Promise<boolean> {
    while (count > 0) {
      if (!await this.#load()) return false;
      count -= this.#cut(count).length;
    }
    return true;
  }

  /** At most `count` bytes of the block. */
  #cut(count: number): Bytes {
    const part = this.#block.subarray(0, count);
    this.#block = this.#block.subarray(part.length);
    return part;
  }

  /** Whether there are more bytes; the block then has some. */
  async #load(): Promise<boolean> {
    if (this.#block.length === 0) this.#block = await this.#reader.next() ?? this.#block;
    return this.#block.length > 0;
  }
}
