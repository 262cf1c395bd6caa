/**
 * A job's progress as server-sent events, until it has ended.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html | the format}
 * @module
 */

import { pause } from "../jobs/index/follow_job.ts";
import { getJob } from "../jobs/queue/list.ts";
import type { JobRow } from "../jobs/queue/job.ts";
import { resultForTenant } from "../jobs/index/result.ts";
import type { ApiParts } from "./context.ts";
import { camelKeys } from "./reply.ts";
import { cutSlowReader } from "./slow_reader.ts";

/** How often the job's row is read, in milliseconds. */
const POLL_MS = 500;
/**
 * The answer that tells of a job until it has ended, the client hangs up, or time is up. While there
 * is no news, a comment every half of `httpIdleMs` keeps proxies from closing a silent connection.
 */
export function jobEvents(jobId: string, parts: ApiParts, hangup: AbortSignal): Response {
  const stop = new AbortController();
  const signal = AbortSignal.any([
    stop.signal,
    hangup,
    parts.signal,
    AbortSignal.timeout(parts.config.httpTotalMs),
  ]);
  const events = eventsOf(jobId, parts, signal);
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await events.next();
      if (done) controller.close();
      else controller.enqueue(new TextEncoder().encode(value));
    },
    async cancel() {
      stop.abort();
      await events.return();
    },
  }, { highWaterMark: 0 });
  return new Response(cutSlowReader(body, parts.config), {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store, no-transform" },
  });
}

async function* eventsOf(
  jobId: string,
  { db, config }: ApiParts,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const keepAliveMs = config.httpIdleMs / 2;
  let last = "", saidAt = performance.now();
  while (!signal.aborted) {
    const job = await getJob(db, jobId);
    if (job === undefined) return yield event("failed", { code: "job-not-found" });
    if (isOver(job)) return yield event(job.status, outcomeOf(job));
    const text = event("progress", { status: job.status, ...(job.progress ?? {}) });
    const isNew = text !== last;
    if (isNew || performance.now() - saidAt >= keepAliveMs) {
      saidAt = performance.now();
      yield isNew ? last = text : ": still here\n\n";
    }
    await pause(Math.min(POLL_MS, keepAliveMs), signal);
  }
}

function isOver({ status }: JobRow): boolean {
  return status !== "pending" && status !== "running";
}

function outcomeOf({ status, result, lastError }: JobRow): object {
  return resultForTenant((status === "done" ? result : lastError) as object | null ?? {});
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(camelKeys(data))}\n\n`;
}
