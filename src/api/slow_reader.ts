/**
 * Answers that are taken slowly: who takes nothing for too long is cut off, so that it holds a
 * socket and not a connection to the store.
 *
 * @module
 */

import type { Config } from "../config.ts";

/** The stream, ended with an error when nobody asks for more of it in time. */
export function patientBody(
  source: ReadableStream<Uint8Array<ArrayBuffer>>,
  { httpIdleMs, httpTotalMs }: Pick<Config, "httpIdleMs" | "httpTotalMs">,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = source.getReader();
  const endsAt = performance.now() + httpTotalMs;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const rest = (controller: ReadableStreamDefaultController) => {
    const waitMs = Math.max(0, Math.min(httpIdleMs, endsAt - performance.now()));
    timer = setTimeout(() => {
      controller.error(new Error("Cannot wait any longer for the client to read"));
      reader.cancel().catch(() => {});
    }, waitMs);
  };
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(timer);
      const { done, value } = await reader.read();
      if (done) return controller.close();
      controller.enqueue(value);
      rest(controller);
    },
    async cancel(reason) {
      clearTimeout(timer);
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
