/**
 * Decodes a zstd content as it streams by.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { pipeline, Readable } from "node:stream";
import { constants, createZstdDecompress } from "node:zlib";
import { FrameWalker, MAX_WINDOW_BYTES } from "./frame_walker.ts";
import { ZstdError } from "./zstd_error.ts";

/** Plain bytes per chunk. Smaller chunks cost more calls, larger ones more memory. */
const CHUNK_BYTES = 256 * 1024;
/**
 * Deno decodes on the main thread, and a bomb decodes at a gigabyte a second without waiting for
 * anything. After so many bytes the timers get their turn.
 */
const TURN_BYTES = 8 * 1024 * 1024;

/** The options that Deno has and @types/node does not. */
type ZstdOptions = Parameters<typeof createZstdDecompress>[0];

const OPTIONS: ZstdOptions = {
  chunkSize: CHUNK_BYTES,
  params: { [constants.ZSTD_d_windowLogMax]: Math.log2(MAX_WINDOW_BYTES) },
};

/**
 * Decodes frames of zstd. Memory is bounded by the window of 8 MiB and a few chunks, whatever the
 * frames declare.
 *
 * @param chunks The encoded bytes. They are read ahead by a chunk, and closed when the plain ones are.
 * @param options.maxBytes The most plain bytes.
 * @throws {ZstdError} If the bytes are not whole frames, need a dictionary or a larger window, have
 * another length than they declare, or decode to more than `maxBytes`.
 * @throws The error of `chunks`.
 */
export async function* decodeZstd(
  chunks: AsyncIterable<Uint8Array>,
  { maxBytes }: { readonly maxBytes: number },
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const frames = new Frames(chunks[Symbol.asyncIterator]());
  let plainBytes = 0, turnBytes = 0, isEmpty = true;
  try {
    while (await frames.hasMore()) {
      isEmpty = false;
      const beforeBytes = plainBytes;
      for await (const chunk of decodeFrame(frames)) {
        const { plainBytes: declared = Infinity } = frames.walker;
        plainBytes += chunk.length;
        if (plainBytes > maxBytes || plainBytes - beforeBytes > declared) {
          throw new ZstdError(
            plainBytes > maxBytes
              ? `they decode to more than ${maxBytes} bytes`
              : `a zstd frame declares ${declared} bytes and has more`,
          );
        }
        yield chunk;
        turnBytes += chunk.length;
        if (turnBytes < TURN_BYTES) continue;
        turnBytes = 0;
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      frames.requireWhole(plainBytes - beforeBytes);
    }
    if (isEmpty) throw new ZstdError("they are not a zstd frame");
  } finally {
    await frames.close();
  }
}

/** Decodes the frame at which `frames` stands. */
async function* decodeFrame(
  frames: Frames,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const decoder = createZstdDecompress(OPTIONS);
  const source = Readable.from(frames.bytes(), { objectMode: true, highWaterMark: 1 });
  let failure: unknown;
  pipeline(source, decoder, (error) => failure = error);
  try {
    for await (const chunk of decoder) {
      const { buffer, byteOffset, length } = chunk as Buffer<ArrayBuffer>;
      yield new Uint8Array(buffer, byteOffset, length);
    }
  } catch (error) {
    throw frames.failure ?? new ZstdError("they cannot be decoded", { cause: failure ?? error });
  } finally {
    decoder.destroy();
    source.destroy();
  }
}

/** The frames of the encoded bytes, one after the other. */
class Frames {
  readonly walker = new FrameWalker();
  /** Why the encoded bytes cannot be read on. */
  failure: unknown;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** The bytes of the frame, up to its end. */
  async *bytes(): AsyncGenerator<Buffer, void, undefined> {
    const { walker } = this;
    try {
      while (await this.hasMore()) {
        const begin = this.#at;
        this.#at = walker.walk(this.#chunk, begin);
        const { buffer, byteOffset, length } = this.#chunk.subarray(begin, this.#at);
        yield Buffer.from(buffer, byteOffset, length);
        if (walker.isBetweenFrames) return;
      }
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  /** Checks that the frame has ended, and has as many plain bytes as it declares. */
  requireWhole(plainBytes: number): void {
    if (!this.walker.isBetweenFrames) throw new ZstdError("they are cut short");
    const { plainBytes: declared = plainBytes } = this.walker;
    if (declared === plainBytes) return;
    throw new ZstdError(`a zstd frame declares ${declared} bytes and has ${plainBytes}`);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** Reads until there are bytes; false at the end. */
  async hasMore(): Promise<boolean> {
    while (this.#at === this.#chunk.length) {
      const { done, value } = await this.#chunks.next();
      if (done) return false;
      this.#chunk = value;
      this.#at = 0;
    }
    return true;
  }
}
