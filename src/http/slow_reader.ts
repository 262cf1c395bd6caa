/**
 * Cuts off clients that read an answer too slowly: each holds a connection to the store.
 *
 * @module
 */

import type { Config } from "../config/config.ts";

/** Passes `source` on; fails after `httpIdleMs` without a read, or after `httpTotalMs` in all. */
export function cutSlowReader(
  source: ReadableStream<Uint8Array<ArrayBuffer>>,
  { httpIdleMs, httpTotalMs }: Pick<Config, "httpIdleMs" | "httpTotalMs">,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = source.getReader();
  const endsAt = performance.now() + httpTotalMs;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = (controller: ReadableStreamDefaultController) => {
    controller.error(new Error("Cannot send the answer: the client reads too slowly"));
    reader.cancel().catch(() => {});
  };
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(timer);
      const leftMs = endsAt - performance.now();
      // A client that reads a little just in time is slow, too.
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
