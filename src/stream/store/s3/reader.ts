/**
 * Reads one object of a bucket, over as many connections as it takes.
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
import { answerExtent, isSameVersion, statObject } from "./stat.ts";

/** Which object, under which name in errors. */
export interface S3Target {
  /** The key as the caller knows it. */
  readonly key: string;
  /** The key in the bucket. */
  readonly objectKey: string;
}

/**
 * Opens an object with one GET. Later connections ask for the rest of the same version only.
 */
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
      // Nothing lies at the offset: an empty object, or the offset is its end or beyond.
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
  /** The body; undefined where there is nothing to read. */
  readonly answer: S3Answer | undefined;
  /** Bytes of the body before the first one wanted. */
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
    if (etag !== undefined) headers["if-match"] = etag;
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
      // For stores and caches that pass over If-Match.
      if (etag !== undefined && !isSameVersion(etag, stat.etag)) {
        throw new S3Error(`it is another version`, { isTransient: false, status: 412 });
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
    throw new S3Error(`it is another version`, { isTransient: false, status: 412 });
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
  /** What of the last chunk did not fit into the caller's buffer. */
  #rest: Uint8Array = NOTHING;
  #isClosed = false;

  constructor(
    parts: {
      source: S3Source;
      backoff: Backoff;
      startBytes: number;
      endBytes: number;
      connection: Connection;
      /** Whether the caller asked for this version. */
      isPinned: boolean;
    },
  ) {
    this.stat = parts.connection.stat;
    this.#source = parts.source;
    this.#backoff = parts.backoff;
    this.#positionBytes = parts.startBytes;
    this.#endBytes = parts.endBytes;
    this.#isPinned = parts.isPinned;
    this.#connection = parts.connection;
    this.#skipBytes = parts.connection.skipBytes;
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

  /** Takes one chunk, from another connection if this one ends or stalls. */
  async #refill(): Promise<void> {
    await this.#backoff.run(async () => {
      try {
        this.#throwIfClosed();
        this.#connection ??= await this.#reconnect();
        // Closed in the meantime, it would never be closed again.
        this.#throwIfClosed();
        this.#rest = await this.#nextChunk(this.#connection);
      } catch (error) {
        await this.#disconnect();
        throw error;
      }
    });
    // Only bytes are progress: a store that answers and then says nothing must not go on for ever.
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
      // 416: what is there now is shorter than what was.
      if (!(error instanceof S3Error) || (error.status !== 412 && error.status !== 416)) {
        throw error;
      }
    }
    throw new StoreError(
      "blob-missing",
      `${this.#source.what}: it was replaced while being read, at byte ${this.#positionBytes} ` +
        `of ${sizeBytes}`,
      // Who opens it again gets the new version, unless the old one was asked for.
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
