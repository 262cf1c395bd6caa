/**
 * Reads a body and writes it to a store at the same time.
 *
 * The store gets every byte as it is read, but not the end of the body: the blob appears under its
 * key only after `commit()`. If the reading ends without it, nothing is left in the store.
 *
 * @module
 */
import { ConfigError } from "../../errors.ts";
import type { BlobReader, BlobStat, BlobStore } from "./blob_store.ts";
import { BodyQueue } from "./body_queue.ts";

/** What to upload. */
export interface UploadOptions {
  /** The blob's key; a function if it is known only at `commit()`. */
  readonly key: string | (() => string);
  /** The bytes. A chunk is used before the next one is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The length of the body in bytes, if it is known. */
  readonly sizeBytes?: number;
}

/** A reader of bytes that are being uploaded. */
export class UploadReader implements BlobReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #queue: BodyQueue;
  readonly #stop = new AbortController();
  readonly #written: Promise<BlobStat>;
  readonly #declaredBytes: number | undefined;
  #rest: Uint8Array = new Uint8Array();
  #readBytes = 0;
  #isBuffered = false;
  #etag = "";
  #storeError: Error | undefined;
  #wake: (() => void) | undefined;
  #isClosed = false;

  /** Begins to write; the store takes bytes as they are read. */
  constructor(store: BlobStore, { key, body, sizeBytes }: UploadOptions) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#declaredBytes = sizeBytes;
    this.#queue = new BodyQueue(() => {
      this.#isBuffered = false;
      this.#wake?.();
    });
    const putOptions = { signal: this.#stop.signal, sizeBytes };
    this.#written = typeof key === "string"
      ? store.put(key, this.#queue, putOptions)
      : putUnnamed(store, key, this.#queue, putOptions);
    this.#written.catch((error) => {
      this.#storeError = error;
      this.#wake?.();
    });
  }

  /**
   * The size is the declared one, or else what was read so far. The ETag is empty before
   * `commit()` or `discard()`.
   */
  get stat(): BlobStat {
    return { sizeBytes: this.#declaredBytes ?? this.#readBytes, etag: this.#etag };
  }

  /**
   * Reads as any reader does, and waits until the store has used what was read: so the bytes need no
   * buffer of their own, and a slow store slows the body. Throws the errors of both.
   */
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
    // The end of the body is checked while it is written: most packs are no longer than that.
    if (filledBytes === into.length) await this.#write(into);
    else if (filledBytes > 0) this.#queue.push(into.slice(0, filledBytes));
    return filledBytes;
  }

  /**
   * Makes the blob appear under its key. Call it after the last byte was read.
   *
   * @throws {StoreError} `store-unavailable`; the blob is then not there.
   */
  async commit(): Promise<void> {
    this.#queue.end();
    const { etag } = await this.#written;
    this.#etag = etag;
  }

  /** Drops the upload in favour of a blob that is already under the key. */
  async discard({ etag }: BlobStat): Promise<void> {
    this.#etag = etag;
    await this.#abort();
  }

  /** Ends the upload; without `commit()` nothing is left. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Not awaited: a silent body may never answer.
    Promise.resolve(this.#chunks.return?.()).catch(() => {});
    await this.#abort();
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #abort(): Promise<void> {
    const reason = new Error("The upload was aborted");
    // Neither has an effect after `commit()`.
    this.#queue.fail(reason);
    this.#stop.abort(reason);
    await this.#written.catch(() => {});
  }

  /** Gets the next chunk. */
  async #next(): Promise<boolean> {
    if (this.#storeError !== undefined) throw this.#storeError;
    const { done, value } = await this.#chunks.next();
    if (done) return false;
    this.#rest = value;
    return true;
  }

  /** Waits until the store asks for more, and so has used these bytes. */
  async #write(bytes: Uint8Array): Promise<void> {
    this.#isBuffered = true;
    this.#queue.push(bytes);
    while (this.#isBuffered && this.#storeError === undefined) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#storeError !== undefined) throw this.#storeError;
  }
}

function putUnnamed(
  store: BlobStore,
  keyOf: () => string,
  body: BodyQueue,
  options: { readonly signal: AbortSignal; readonly sizeBytes?: number },
): Promise<BlobStat> {
  if (store.putUnnamed) return store.putUnnamed(keyOf, body, options);
  return Promise.reject(
    new ConfigError(`Cannot write a blob without a key to ${store.url}: this store cannot do that`),
  );
}
