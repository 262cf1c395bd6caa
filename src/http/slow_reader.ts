/**
 * Answers that are taken slowly: who takes nothing for too long is cut off, so that it holds a
 * socket and not a connection to the store.
 *
 * @module
 */

import type { Config } from "../config/config.ts";

/** The stream, ended with an error when nobody asks for more of it in time, or for too long. */
export function cutSlowReader(
  source: ReadableStream<Uint8Array<ArrayBuffer>>,
  { httpIdleMs, httpTotalMs }: Pick<Config, "httpIdleMs" | "httpTotalMs">,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = source.getReader();
  const endsAt = performance.now() + httpTotalMs;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = (controller: ReadableStreamDefaultController) => {
    controller.error(new Error("Cannot wait any longer for the client to read"));
    reader.cancel().catch(() => {});
  };
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(timer);
      const leftMs = endsAt - performance.now();
      // Who asks now and then, just in time, is slow all the same.
      if (leftMs <= 0) return giveUp(controller);
      const { done, value } = await reader.read();
      if (done) return controller.close();
      controller.enqueue(value);
      timer = setTimeout(() => giveUp(controller), Math.min(httpIdleMs, leftMs));
    },
    async cancel(reason) {
      clearTimeout(timer);
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
