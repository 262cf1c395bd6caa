/**
 * Headers that improve a request, but that not every engine accepts.
 *
 * @module
 */
import { isDigestRefusal } from "./digest_support.ts";
import { S3Error } from "./s3_error.ts";

/** Sends one kind of header until the engine refuses it. */
export class OptionalHeaders {
  #isRefused = false;

  /** Whether the engine refused them. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /**
   * Runs `attempt` with the headers. If the engine refuses it (400 or 501), runs it without them; if
   * that succeeds, the headers were the reason, and no later request has them.
   */
  async run<T>(
    headers: Record<string, string>,
    attempt: (headers: Record<string, string>) => Promise<T>,
  ): Promise<T> {
    if (this.#isRefused) return await attempt({});
    try {
      return await attempt(headers);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const result = await attempt({});
      this.#isRefused = true;
      return result;
    }
  }
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof S3Error) || error.isTransient || isDigestRefusal(error)) return false;
  return error.status === 400 || error.status === 501;
}
