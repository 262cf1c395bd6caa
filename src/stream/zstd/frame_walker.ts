/**
 * Finds the frames of a zstd content without decoding it, and checks their headers.
 *
 * Deno's decoder, which decodes the frames, ignores whatever follows the first one, and ends a cut
 * one without an error (2.9.6). So it gets one whole frame at a time, and this walker says where each
 * one ends.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8878#section-3.1 | RFC 8878, section 3.1}
 * @module
 */

import { ZstdError } from "./zstd_error.ts";

/**
 * The most memory that a frame may ask a decoder for: what RFC 9659 allows for the content coding
 * `zstd`. The levels of zstd up to 19 stay below it.
 */
export const MAX_WINDOW_BYTES = 8 * 1024 * 1024;

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_BLOCK_BYTES = 128 * 1024;
/** Bytes that tell whether a content may be zstd. */
export const MAGIC_BYTES = 4;
/** Magic, descriptor, window descriptor, dictionary id, content size. */
const MAX_HEADER_BYTES = MAGIC_BYTES + 1 + 1 + 4 + 8;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];

const enum Part {
  Magic,
  Descriptor,
  Header,
  SkippableLength,
  BlockHeader,
  Body,
}

/** Walks over frames. */
export class FrameWalker {
  /** Whether the bytes so far end with a whole frame. */
  get isBetweenFrames(): boolean {
    return this.#part === Part.Magic && this.#keptBytes === 0;
  }
  /** The length of the frame's plain bytes, if its header says it. */
  plainBytes: number | undefined;

  readonly #kept = new Uint8Array(MAX_HEADER_BYTES);
  #keptBytes = 0;
  #part = Part.Magic;
  #neededBytes = MAGIC_BYTES;
  /** Bytes of the block, checksum or skippable frame still to come. */
  #bodyBytes = 0;
  #isLastBlock = false;
  #hasChecksum = false;

  /**
   * Reads `chunk` from `at` up to the frame's end.
   *
   * @returns Where the frame ends, or the chunk.
   * @throws {ZstdError} If this is not a frame, or not one that we decode.
   */
  walk(chunk: Uint8Array, at: number): number {
    while (at < chunk.length) {
      if (this.#part === Part.Body) {
        const end = Math.min(at + this.#bodyBytes, chunk.length);
        this.#bodyBytes -= end - at;
        at = end;
      } else {
        const end = Math.min(at + this.#neededBytes - this.#keptBytes, chunk.length);
        this.#kept.set(chunk.subarray(at, end), this.#keptBytes);
        this.#keptBytes += end - at;
        at = end;
        if (this.#keptBytes < this.#neededBytes) break;
        this.#partEnds();
      }
      // A block may be empty.
      while (this.#part === Part.Body && this.#bodyBytes === 0) {
        this.#bodyEnds();
        if (this.isBetweenFrames) return at;
      }
    }
    return at;
  }

  #partEnds(): void {
    const view = new DataView(this.#kept.buffer);
    switch (this.#part) {
      case Part.Magic: {
        const magic = view.getUint32(0, true);
        this.plainBytes = undefined;
        if (isSkippable(magic)) return this.#expect(Part.SkippableLength, 4);
        if (magic !== MAGIC) throw new ZstdError("they are not a zstd frame");
        // The header is needed as a whole, so it stays behind the magic number.
        this.#part = Part.Descriptor;
        this.#neededBytes = 5;
        return;
      }
      case Part.Descriptor:
        this.#part = Part.Header;
        this.#neededBytes = 5 + headerBytes(this.#kept[4]);
        if (this.#neededBytes > this.#keptBytes) return;
        return this.#headerEnds(view);
      case Part.Header:
        return this.#headerEnds(view);
      case Part.SkippableLength:
        this.#isLastBlock = true;
        this.#hasChecksum = false;
        return this.#startBody(view.getUint32(0, true));
      case Part.BlockHeader:
        return this.#startBlock(this.#kept[0] | this.#kept[1] << 8 | this.#kept[2] << 16);
    }
  }

  #headerEnds(view: DataView): void {
    const descriptor = this.#kept[4];
    if ((descriptor & 0x08) !== 0) throw new ZstdError("a zstd frame has a reserved bit set");
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    let at = 5, windowBytes = 0;
    if (!isSingleSegment) {
      const window = this.#kept[at++], base = 2 ** (10 + (window >>> 3));
      windowBytes = base + base / 8 * (window & 7);
    }
    for (let left = DICTIONARY_ID_BYTES[descriptor & 3]; left > 0; left--, at++) {
      if (this.#kept[at] !== 0) throw new ZstdError("a zstd frame needs a dictionary");
    }
    switch (descriptor >>> 6) {
      case 0:
        if (isSingleSegment) this.plainBytes = this.#kept[at];
        break;
      case 1:
        this.plainBytes = view.getUint16(at, true) + 256;
        break;
      case 2:
        this.plainBytes = view.getUint32(at, true);
        break;
      case 3:
        this.plainBytes = Number(view.getBigUint64(at, true));
        break;
    }
    if (isSingleSegment) windowBytes = this.plainBytes!;
    if (windowBytes > MAX_WINDOW_BYTES) {
      throw new ZstdError(
        `a zstd frame needs a window of ${windowBytes} bytes, the limit is ${MAX_WINDOW_BYTES}`,
      );
    }
    this.#expect(Part.BlockHeader, 3);
  }

  #startBlock(header: number): void {
    this.#isLastBlock = (header & 1) !== 0;
    const type = header >>> 1 & 3, sizeBytes = header >>> 3;
    if (type === 3) throw new ZstdError("a zstd block has a reserved type");
    if (sizeBytes > MAX_BLOCK_BYTES) {
      throw new ZstdError(`a zstd block has ${sizeBytes} bytes, the limit is ${MAX_BLOCK_BYTES}`);
    }
    // Of a run of one byte only that byte is there.
    this.#startBody(type === 1 ? 1 : sizeBytes);
  }

  #startBody(sizeBytes: number): void {
    this.#part = Part.Body;
    this.#bodyBytes = sizeBytes;
  }

  #bodyEnds(): void {
    if (!this.#isLastBlock) return this.#expect(Part.BlockHeader, 3);
    if (!this.#hasChecksum) return this.#expect(Part.Magic, MAGIC_BYTES);
    this.#hasChecksum = false;
    this.#bodyBytes = 4;
  }

  #expect(part: Part, neededBytes: number): void {
    this.#part = part;
    this.#neededBytes = neededBytes;
    this.#keptBytes = 0;
  }
}

/** Whether a frame begins with these four bytes. */
export function isZstdMagic(bytes: Uint8Array): boolean {
  const magic = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return magic === MAGIC || isSkippable(magic);
}

/** Whether it is the magic number of a frame that stands for no bytes. */
function isSkippable(magic: number): boolean {
  return (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC;
}

/** The bytes of a frame's header behind its descriptor. */
function headerBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0, sizeFlag = descriptor >>> 6;
  const sizeBytes = sizeFlag === 0 ? isSingleSegment ? 1 : 0 : 2 ** sizeFlag;
  return (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3] + sizeBytes;
}
