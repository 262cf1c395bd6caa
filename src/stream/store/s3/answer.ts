/**
 * An HTTP answer whose every wait has a deadline.
 *
 * @module
 */
import { LinkedAbort } from "../../../lib/abort.ts";
import { withDeadline } from "../../../lib/deadline.ts";
import { errorOfNetwork, S3Error } from "./s3_error.ts";

/** The longest document that is read whole, except for the page of a listing. */
const MAX_TEXT_BYTES = 64 * 1024;

/** How many bytes one read of a body asks for. */
const CHUNK_BYTES = 64 * 1024;

/** Ends one request: when the caller's signal fires, or when a wait takes too long. */
export class RequestEnd extends LinkedAbort {
  /**
   * Waits for `promise` until `waitMs` are over; then ends the request with a transient error.
   *
   * The wait ends even if `promise` ignores the signal. In Deno 2.9.6 a fetch refers to its signal
   * weakly once the answer's head is there: after a garbage collection no abort reaches the body.
   */
  async within<T>(waitMs: number, what: string, promise: () => Promise<T>): Promise<T> {
    const { signal } = this;
    const error = () => {
      this.abort(new S3Error(`${what} for ${waitMs} ms`, { isTransient: true }));
      return signal.reason;
    };
    try {
      return await withDeadline(promise(), { deadlineMs: waitMs, error, signal });
    } catch (error) {
      throw signal.aborted ? signal.reason : errorOfNetwork(error);
    }
  }
}

/** An answer whose body is not read yet. Read it to the end, or discard it. */
export class S3Answer {
  /** The HTTP status. */
  readonly status: number;
  /** The HTTP headers. */
  readonly headers: Headers;
  readonly #reader?: ReadableStreamBYOBReader;
  readonly #end: RequestEnd;
  readonly #idleTimeoutMs: number;
  #buffer?: Uint8Array<ArrayBuffer>;

  /** Takes ownership of the body and of `end`. */
  constructor(response: Response, end: RequestEnd, idleTimeoutMs: number) {
    this.status = response.status;
    this.headers = response.headers;
    this.#reader = response.body?.getReader({ mode: "byob" });
    this.#end = end;
    this.#idleTimeoutMs = idleTimeoutMs;
    if (this.#reader === undefined) end[Symbol.dispose]();
  }

  /**
   * Returns the next bytes, or undefined at the end. The next call overwrites them: a new buffer for
   * each chunk kept 30 MB of garbage alive.
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
      // The stream detaches the buffer and returns its memory in a new view.
      this.#buffer = new Uint8Array(value.buffer);
      return value;
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  /** Most objects are shorter than 64 KiB: a buffer of that length would be mostly garbage. */
  #chunkBytes(): number {
    const bodyBytes = Number(this.headers.get("content-length") ?? CHUNK_BYTES);
    return bodyBytes > 0 && bodyBytes < CHUNK_BYTES ? bodyBytes : CHUNK_BYTES;
  }

  /**
   * Returns the whole body as text.
   *
   * @throws {S3Error} If it has more than `maxBytes`.
   */
  async text(maxBytes: number = MAX_TEXT_BYTES): Promise<string> {
    const { text, isCut } = await this.#textUpTo(maxBytes);
    if (!isCut) return text;
    const message = `the store sent a document of more than ${maxBytes} bytes`;
    throw new S3Error(message, { isTransient: false });
  }

  /** Returns the beginning of the body as text: whatever an error's page holds, its status counts. */
  async errorText(): Promise<string> {
    return (await this.#textUpTo(MAX_TEXT_BYTES)).text;
  }

  async #textUpTo(maxBytes: number): Promise<{ text: string; isCut: boolean }> {
    const decoder = new TextDecoder();
    let text = "", leftBytes = maxBytes;
    while (true) {
      const chunk = await this.nextChunk();
      if (chunk === undefined) return { text: text + decoder.decode(), isCut: false };
      text += decoder.decode(chunk.subarray(0, leftBytes), { stream: true });
      leftBytes -= chunk.length;
      if (leftBytes >= 0) continue;
      await this.discard();
      return { text, isCut: true };
    }
  }

  /** Closes the connection. */
  async discard(): Promise<void> {
    this.#end[Symbol.dispose]();
    // The body of a broken connection rejects its cancel().
    await this.#reader?.cancel().catch(() => {});
  }
}
