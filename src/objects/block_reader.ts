import type { BlobReader, BlobStore, OpenOptions } from "../stream/store/blob_store.ts";
import { openAnyVersion } from "./open_version.ts";

/** One read of a folder takes 20 µs and more, whatever its length. */
const BLOCK_BYTES = 1024 * 1024;

type Block = Uint8Array<ArrayBuffer>;

/** Which bytes of a blob to read. */
export interface BlobRange {
  readonly blobKey: string;
  /** The version that was indexed. */
  readonly etag: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * Reads a range of a blob in blocks of 1 MiB, each while the one before it is in use: two are in
 * memory. The caller checks the bytes.
 */
export class BlockReader implements AsyncDisposable {
  readonly #reader: BlobReader;
  #leftBytes: number;
  #pending: Promise<Block> | undefined;

  private constructor(reader: BlobReader, lengthBytes: number) {
    this.#reader = reader;
    this.#leftBytes = lengthBytes;
    this.#readAhead();
  }

  /**
   * Opens the blob in its indexed version, or in another one, and begins to read.
   *
   * @throws {StoreError} If the blob is missing, or the store unavailable.
   */
  static async open(
    store: BlobStore,
    { blobKey, etag, offsetBytes, lengthBytes }: BlobRange,
    { signal }: Pick<OpenOptions, "signal"> = {},
  ): Promise<BlockReader> {
    const options = { offsetBytes, lengthBytes, etag, signal };
    return new BlockReader(await openAnyVersion(store, blobKey, options), lengthBytes);
  }

  /** The next block, which the caller may keep; undefined at the end of the range or of the blob. */
  async next(): Promise<Block | undefined> {
    const block = await this.#pending;
    if (block === undefined || block.length === 0) return undefined;
    this.#pending = undefined;
    this.#readAhead();
    return block;
  }

  #readAhead(): void {
    const sizeBytes = Math.min(BLOCK_BYTES, this.#leftBytes);
    if (sizeBytes === 0) return;
    const block = new Uint8Array(sizeBytes);
    this.#leftBytes -= sizeBytes;
    this.#pending = this.#reader.read(block).then((readBytes) => {
      if (readBytes < sizeBytes) this.#leftBytes = 0;
      return readBytes < sizeBytes ? block.subarray(0, readBytes) : block;
    });
    // The caller gets the rejection from `next()`. Until then it is not unhandled.
    this.#pending.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The buffer is written until then.
    await this.#pending?.catch(() => {});
    await this.#reader.close();
  }
}
