/**
 * Bytes on their way into a store, read while they pass.
 *
 * The blob comes to be under its key when its reader says so (`keep()`), and not before: until then
 * the store has been given every byte but not the end. Whatever ends the reading early takes the
 * blob with it.
 *
 * @module
 */

import type { BlobReader, BlobStat, BlobStore } from "./blob_store.ts";
import { BodyQueue } from "./body_queue.ts";

/** Bytes read that the store has not taken yet; more make the reader wait. */
const MAX_HELD_BYTES = 2 * 1024 * 1024;

/** What goes where. */
export interface UploadOptions {
  /** The blob's key. */
  readonly key: string;
  /** The bytes; a chunk must not change after it was given. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Their number, where it is known beforehand. */
  readonly sizeBytes?: number;
}

/** Reads a body and writes it to a store at once. */
export class UploadReader implements BlobReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #queue: BodyQueue;
  readonly #stop = new AbortController();
  readonly #written: Promise<BlobStat>;
  readonly #declaredBytes: number | undefined;
  #rest: Uint8Array = new Uint8Array();
  #readBytes = 0;
  #heldBytes = 0;
  #etag = "";
  #storeFailure: Error | undefined;
  #wake: (() => void) | undefined;
  #isClosed = false;

  /** Starts to write; the store asks for bytes as they are read. */
  constructor(store: BlobStore, { key, body, sizeBytes }: UploadOptions) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#declaredBytes = sizeBytes;
    this.#queue = new BodyQueue((freedBytes) => {
      this.#heldBytes -= freedBytes;
      this.#wake?.();
    });
    const { signal } = this.#stop;
    this.#written = store.put(key, this.#queue, {
      signal,
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
    });
    this.#written.catch((error) => {
      this.#storeFailure = error;
      this.#wake?.();
    });
  }

  /**
   * The blob: its length as declared or, where nobody did, as read so far. Its ETag is known when
   * it is there.
   */
  get stat(): BlobStat {
    return { sizeBytes: this.#declaredBytes ?? this.#readBytes, etag: this.#etag };
  }

  /** As any reader; throws what the body throws, and what the store does. */
  async read(into: Uint8Array): Promise<number> {
    let filledBytes = 0;
    while (filledBytes < into.length) {
      if (this.#rest.length === 0 && !await this.#next()) break;
      const part = this.#rest.subarray(0, into.length - filledBytes);
      into.set(part, filledBytes);
      filledBytes += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    this.#readBytes += filledBytes;
    return filledBytes;
  }

  /**
   * Lets the blob come to be; to be called after the last byte was read.
   *
   * @throws {StoreError} `store-unavailable`; then it is not there.
   */
  async keep(): Promise<void> {
    this.#queue.end();
    const { etag } = await this.#written;
    this.#etag = etag;
  }

  /** Leaves the store as it was: a blob of this key that is there already is as good. */
  async forgo({ etag }: BlobStat): Promise<void> {
    this.#etag = etag;
    await this.#abandon();
  }

  /** Ends it; without `keep()` nothing is left. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Not waited for: a silent body may never answer.
    Promise.resolve(this.#chunks.return?.()).catch(() => {});
    await this.#abandon();
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #abandon(): Promise<void> {
    const reason = new Error("The upload was broken off");
    this.#queue.fail(reason);
    this.#stop.abort(reason);
    // After `keep()` both come too late, and change nothing.
    await this.#written.catch(() => {});
  }

  /** Gets the next chunk, once the store has taken enough of those before. */
  async #next(): Promise<boolean> {
    while (this.#heldBytes > MAX_HELD_BYTES && this.#storeFailure === undefined) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#storeFailure !== undefined) throw this.#storeFailure;
    const { done, value } = await this.#chunks.next();
    if (done) return false;
    this.#rest = value;
    this.#heldBytes += value.length;
    this.#queue.push(value);
    return true;
  }
}
