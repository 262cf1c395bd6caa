/**
 * Sends streamed answers, and cuts them off if the client reads too slowly or the source fails.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { HttpProblem } from "./problem.ts";
import type { Recheck } from "./recheck.ts";
import { startDeadline } from "../lib/deadline.ts";
import type { Answer } from "./server/answer.ts";
import type { Peer } from "./server/connection.ts";

export interface SendOptions {
  readonly config: Pick<Config, "httpIdleMs" | "httpTotalMs">;
  readonly peer: Peer;
  readonly recheck: Recheck;
  /** Counts the request as running until the result is disposed of. */
  readonly hold: () => Disposable;
  /** Gets the error of a source that failed after the head of the answer was sent. */
  readonly onError?: (error: unknown) => void;
}

/**
 * Sends bytes that are in memory, without a stream. They must be nobody else's.
 *
 * The connection is closed if the client has not taken them after `httpIdleMs`, and they are freed as
 * soon as it has: left to the garbage collector, contents of 1 MiB made it run so often that it took a
 * quarter of the processor time. Whoever still sends them has a hold of its own on the memory.
 */
export function sendWhole(
  content: Uint8Array<ArrayBuffer>,
  { config: { httpIdleMs }, peer, hold }: Pick<SendOptions, "config" | "peer" | "hold">,
): Pick<Answer, "body" | "onSent"> {
  const held = hold(), stop = startDeadline(httpIdleMs, () => peer.close());
  const onSent = () => {
    stop();
    held[Symbol.dispose]();
    content.buffer.transfer(0);
  };
  return { body: content, onSent };
}

/**
 * Passes `source` on until the client has not read for `httpIdleMs`, `httpTotalMs` are over, or the
 * caller has lost access.
 *
 * Then the connection is closed. The stream does not end with an error: Deno would print that,
 * beside the log. To the client both look the same, a cut answer.
 */
export function cutSlowReader(
  source: ReadableStream<Uint8Array<ArrayBuffer>>,
  { config: { httpIdleMs, httpTotalMs }, peer, recheck, hold, onError }: SendOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = source.getReader();
  const endsAt = performance.now() + httpTotalMs;
  let held: Disposable | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = (controller: ReadableStreamDefaultController) => {
    // First the connection: the end of the stream must not look like the end of the answer.
    peer.close();
    controller.close();
    held?.[Symbol.dispose]();
    reader.cancel().catch(() => {});
  };
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(timer);
      // Only now: nobody tells about a body that is never asked for, such as that of a HEAD.
      held ??= hold();
      const leftMs = endsAt - performance.now();
      // A client that reads a little just in time is slow, too.
      if (leftMs <= 0) return giveUp(controller);
      try {
        await recheck();
        const { done, value } = await reader.read();
        // It may have waited for long: what came then is not for a caller who lost access.
        await recheck();
        if (done) {
          held?.[Symbol.dispose]();
          return controller.close();
        }
        controller.enqueue(value);
      } catch (error) {
        if (!(error instanceof HttpProblem)) onError?.(error);
        return giveUp(controller);
      }
      timer = setTimeout(() => giveUp(controller), Math.min(httpIdleMs, leftMs));
    },
    async cancel(reason) {
      clearTimeout(timer);
      held?.[Symbol.dispose]();
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
