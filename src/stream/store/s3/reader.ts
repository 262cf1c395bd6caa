/**
 * Reads one object of a bucket. When a connection fails, another one continues.
 *
 * @module
 */
import { StoreError } from "../../../errors.ts";
import type { BlobReader, BlobStat, OpenOptions } from "../blob_store.ts";
import { checkRange, checkRangeOptions } from "../byte_range.ts";
import type { S3Answer } from "./answer.ts";
import type { Backoff } from "./backoff.ts";
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";
import { answerExtent, isSameVersion, statObject, strongEtag } from "./stat.ts";

/** One object. */
export interface S3Target {
  /** The key in the store, for errors. */
  readonly key: string;
  /** The key in the bucket. */
  readonly objectKey: string;
}

/** Opens an object with one GET. Further connections ask for the rest of the same version. */
export async function openS3Reader(
  client: S3Client,
  target: S3Target,
  options: OpenOptions,
): Promise<BlobReader> {
  const { startBytes, lengthBytes } = checkRangeOptions(target.key, options);
  const backoff = client.backoff({ action: "read", key: target.key }, options.signal);
  const source = new S3Source(client, target, options.signal);
  const connection = await backoff.run(async () => {
    try {
      return await source.connect(startBytes, startBytes + lengthBytes, options.etag);
    } catch (error) {
      if (!(error instanceof S3Error) || error.status !== 416) throw error;
      // There is no byte at the offset: it is the object's end, or after it.
      return { stat: await source.stat(options.etag), answer: undefined, skipBytes: 0 };
    }
  });
  try {
    const { endBytes } = checkRange(target.key, connection.stat.sizeBytes, options);
    const isPinned = options.etag !== undefined;
    return new S3Reader({ source, backoff, startBytes, endBytes, connection, isPinned });
  } catch (error) {
    await connection.answer?.discard();
    throw error;
  }
}

interface Connection {
  readonly stat: BlobStat;
  /** The body; undefined if there is nothing to read. */
  readonly answer: S3Answer | undefined;
  /** How many bytes of the body come before the wanted ones. */
  readonly skipBytes: number;
}

class S3Source {
  readonly signal?: AbortSignal;
  readonly what: string;
  readonly #client: S3Client;
  readonly #target: S3Target;

  constructor(client: S3Client, target: S3Target, signal?: AbortSignal) {
    this.#client = client;
    this.#target = target;
    this.signal = signal;
    this.what = `Cannot read ${JSON.stringify(target.key)} in ${client.url}`;
  }

  async connect(startBytes: number, endBytes: number, etag?: string): Promise<Connection> {
    const headers: Record<string, string> = {};
    const last = endBytes === Infinity ? "" : endBytes - 1;
    if (startBytes > 0 || last !== "") headers["range"] = `bytes=${startBytes}-${last}`;
    if (etag !== undefined) headers["if-match"] = strongEtag(etag) ?? etag;
    const { objectKey } = this.#target;
    const answer = await this.#client.send({
      method: "GET",
      objectKey,
      headers,
      signal: this.signal,
    });
    try {
      const extent = answerExtent(answer);
      const stat = extent.stat ??
        await this.stat(etag ?? answer.headers.get("etag") ?? undefined);
      // Some stores and caches ignore If-Match.
      if (etag !== undefined && !isSameVersion(etag, stat.etag)) {
        throw new S3Error(`it has another version`, { isTransient: false, status: 412 });
      }
      const skipBytes = startBytes - extent.startBytes;
      if (skipBytes < 0) {
        const message = `asked from byte ${startBytes}, the store sent from ${extent.startBytes}`;
        throw new S3Error(message, { isTransient: false });
      }
      return { stat, answer, skipBytes };
    } catch (error) {
      await answer.discard();
      throw error;
    }
  }

  async stat(etag?: string): Promise<BlobStat> {
    const stat = await statObject(this.#client, this.#target.objectKey, this.signal);
    if (etag === undefined || isSameVersion(etag, stat.etag)) return stat;
    throw new S3Error(`it has another version`, { isTransient: false, status: 412 });
  }
}

const NOTHING = new Uint8Array(0);

class S3Reader implements BlobReader {
  readonly stat: BlobStat;
  readonly #source: S3Source;
  readonly #backoff: Backoff;
  readonly #endBytes: number;
  readonly #isPinned: boolean;
  #positionBytes: number;
  #connection: Connection | undefined;
  #skipBytes: number;
  /** The end of the last chunk, which did not fit into the caller's buffer. */
  #rest: Uint8Array = NOTHING;
  #isClosed = false;

  constructor(
    context: {
      source: S3Source;
      backoff: Backoff;
      startBytes: number;
      endBytes: number;
      connection: Connection;
      /** Whether the caller gave an ETag. */
      isPinned: boolean;
    },
  ) {
    this.stat = context.connection.stat;
    this.#source = context.source;
    this.#backoff = context.backoff;
    this.#positionBytes = context.startBytes;
    this.#endBytes = context.endBytes;
    this.#isPinned = context.isPinned;
    this.#connection = context.connection;
    this.#skipBytes = context.connection.skipBytes;
  }

  async read(into: Uint8Array): Promise<number> {
    const wantedBytes = Math.min(into.length, this.#endBytes - this.#positionBytes);
    let filledBytes = 0;
    while (filledBytes < wantedBytes) {
      this.#source.signal?.throwIfAborted();
      this.#throwIfClosed();
      if (this.#rest.length === 0) await this.#refill();
      const part = this.#rest.subarray(0, wantedBytes - filledBytes);
      into.set(part, filledBytes);
      filledBytes += part.length;
      this.#positionBytes += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    if (this.#positionBytes === this.#endBytes) await this.#disconnect();
    return filledBytes;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Gets one chunk, over a new connection if this one ends or is silent. */
  async #refill(): Promise<void> {
    await this.#backoff.run(async () => {
      try {
        this.#throwIfClosed();
        this.#connection ??= await this.#reconnect();
        // If the reader was closed meanwhile, this connection must be closed, too.
        this.#throwIfClosed();
        this.#rest = await this.#nextChunk(this.#connection);
      } catch (error) {
        await this.#disconnect();
        throw error;
      }
    });
    // An answer without bytes is no progress: otherwise retries would never end.
    if (this.#rest.length > 0) this.#backoff.reset();
  }

  async #nextChunk(connection: Connection): Promise<Uint8Array> {
    const chunk = await connection.answer?.nextChunk();
    if (chunk === undefined) {
      const message = `the body ended at byte ${this.#positionBytes}, before ${this.#endBytes}`;
      throw new S3Error(message, { isTransient: true });
    }
    const skippedBytes = Math.min(this.#skipBytes, chunk.length);
    this.#skipBytes -= skippedBytes;
    return chunk.subarray(skippedBytes);
  }

  async #reconnect(): Promise<Connection> {
    const { etag, sizeBytes } = this.stat;
    try {
      const connection = await this.#source.connect(this.#positionBytes, this.#endBytes, etag);
      this.#skipBytes = connection.skipBytes;
      if (connection.stat.sizeBytes === sizeBytes) return connection;
      await connection.answer?.discard();
    } catch (error) {
      // 416: the object is now shorter than before.
      if (!(error instanceof S3Error) || (error.status !== 412 && error.status !== 416)) {
        throw error;
      }
    }
    throw new StoreError(
      "blob-missing",
      `${this.#source.what}: it was replaced while being read, at byte ${this.#positionBytes} ` +
        `of ${sizeBytes}`,
      // Opening it again gives the new version, unless the caller gave an ETag.
      { status: 412, retryable: !this.#isPinned },
    );
  }

  #throwIfClosed(): void {
    if (this.#isClosed) throw new TypeError(`${this.#source.what}: the reader is closed`);
  }

  async #disconnect(): Promise<void> {
    const answer = this.#connection?.answer;
    this.#connection = undefined;
    this.#rest = NOTHING;
    await answer?.discard();
  }
}
