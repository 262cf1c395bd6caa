/**
 * An HTTP answer whose every wait has a deadline.
 *
 * @module
 */
import { LinkedAbort, orAborted } from "../../../lib/abort.ts";
import { errorOfNetwork, S3Error } from "./s3_error.ts";

/** The longest document (an error, a page of a listing) that is taken in whole. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** What one read of a body takes in. */
const CHUNK_BYTES = 64 * 1024;

/** Ends one request: by the caller's signal, or by its own clock. */
export class RequestEnd extends LinkedAbort {
  /**
   * Waits for `promise`; ends the request with a passing fault after `waitMs`.
   *
   * Nothing relies on `promise` hearing of that: once the answer's head is there, Deno 2.9.6 holds a
   * fetch's signal weakly, and after the next garbage collection no abort reaches its body.
   */
  async within<T>(waitMs: number, what: string, promise: () => Promise<T>): Promise<T> {
    const { signal } = this;
    const timer = setTimeout(() => {
      const message = `${what} for ${waitMs} ms`;
      this.abort(new S3Error(message, { isTransient: true }));
    }, waitMs);
    try {
      return await orAborted(promise(), signal);
    } catch (error) {
      throw signal.aborted ? signal.reason : errorOfNetwork(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** An answer with its body still to come. Read it to the end, or discard it. */
export class S3Answer {
  /** The HTTP status. */
  readonly status: number;
  /** The HTTP headers. */
  readonly headers: Headers;
  readonly #reader?: ReadableStreamBYOBReader;
  readonly #end: RequestEnd;
  readonly #idleTimeoutMs: number;
  #buffer?: Uint8Array<ArrayBuffer>;

  /** Takes over the body and `end`. */
  constructor(response: Response, end: RequestEnd, idleTimeoutMs: number) {
    this.status = response.status;
    this.headers = response.headers;
    this.#reader = response.body?.getReader({ mode: "byob" });
    this.#end = end;
    this.#idleTimeoutMs = idleTimeoutMs;
    if (this.#reader === undefined) end[Symbol.dispose]();
  }

  /**
   * The next bytes as they came, or undefined at the end. They stand in the one buffer that the next
   * call fills again: a buffer for each chunk was 30 MB of garbage at any time.
   */
  async nextChunk(): Promise<Uint8Array | undefined> {
    const reader = this.#reader;
    if (reader === undefined) return undefined;
    const buffer = this.#buffer ?? new Uint8Array(this.#chunkBytes());
    try {
      const { done, value } = await this.#end.within(
        this.#idleTimeoutMs,
        "no byte of the body came",
        () => reader.read(buffer),
      );
      if (done || value === undefined) {
        this.#end[Symbol.dispose]();
        return undefined;
      }
      // The stream took the buffer and hands it back under another view.
      this.#buffer = new Uint8Array(value.buffer);
      return value;
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  /** Most objects are shorter than a chunk: 64 KiB for each of them would be mostly garbage. */
  #chunkBytes(): number {
    const bodyBytes = Number(this.headers.get("content-length") ?? CHUNK_BYTES);
    return bodyBytes > 0 && bodyBytes < CHUNK_BYTES ? bodyBytes : CHUNK_BYTES;
  }

  /** The whole body as text. */
  async text(): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    let sizeBytes = 0;
    while (true) {
      const chunk = await this.nextChunk();
      if (chunk === undefined) return text + decoder.decode();
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_TEXT_BYTES) {
        await this.discard();
        const message = `the store sent a document of more than ${MAX_TEXT_BYTES} bytes`;
        throw new S3Error(message, { isTransient: false });
      }
      text += decoder.decode(chunk, { stream: true });
    }
  }

  /** Lets go of the connection. */
  async discard(): Promise<void> {
    this.#end[Symbol.dispose]();
    // A broken body rejects its own cancelling.
    await this.#reader?.cancel().catch(() => {});
  }
}
