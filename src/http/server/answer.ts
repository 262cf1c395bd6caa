/**
 * Answers as data.
 *
 * @module
 */

/**
 * An answer before it is sent. The headers that every answer has are added when it is: Deno writes
 * those that a Response was made with, and starts over if one is set later.
 */
export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Called when the body has been sent, or cannot be. */
  readonly onSent?: () => void;
  readonly body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null;
}
