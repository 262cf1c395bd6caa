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
  /** Whether the upload is done or given up. */
  #isEnded = false;

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

  /** Copies what `lend()` gives. */
  async read(into: Uint8Array): Promise<number> {
    let filledBytes = 0;
    while (filledBytes < into.length) {
      if (this.#rest.length === 0) this.#rest = await this.lend();
      if (this.#rest.length === 0) break;
      const part = this.#rest.subarray(0, into.length - filledBytes);
      into.set(part, filledBytes);
      filledBytes += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return filledBytes;
  }

  /**
   * Lends the body's next chunk while the store writes it, after the store has used the one before: so
   * the bytes need no buffer of their own, and a slow store slows the body. Throws the errors of both.
   */
  async lend(): Promise<Uint8Array> {
    await this.#used();
    let chunk: IteratorResult<Uint8Array>;
    do {
      chunk = await this.#chunks.next();
      if (chunk.done) return new Uint8Array();
    } while (chunk.value.length === 0);
    const bytes = chunk.value;
    this.#readBytes += bytes.length;
    // After the last chunk the body is asked for its end, which a copy need not wait for. Most packs are
    // one chunk.
    if (this.#readBytes === this.#declaredBytes) this.#queue.push(bytes.slice());
    else {
      this.#isBuffered = true;
      this.#queue.push(bytes);
    }
    return bytes;
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
    this.#isEnded = true;
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
    if (this.#isEnded) return;
    this.#isEnded = true;
    const reason = new Error("The upload was aborted");
    this.#queue.fail(reason);
    this.#stop.abort(reason);
    await this.#written.catch(() => {});
  }

  /** Waits until the store asks for more, and so has used what was lent. */
  async #used(): Promise<void> {
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
