/**
 * A job's progress as server-sent events, until the job ends.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html | the format}
 * @module
 */

import { SSEStreamingApi } from "hono/streaming";
import { sleep } from "../lib/sleep.ts";
import { getJob } from "../jobs/queue/get_job.ts";
import type { JobRow } from "../jobs/queue/job.ts";
import { resultForTenant } from "../jobs/index/result.ts";
import type { ApiContext } from "./context.ts";
import type { Call } from "./route.ts";
import { publicError } from "./problem.ts";
import { camelKeys } from "./reply.ts";
import type { Answer } from "./server/answer.ts";
import { cutSlowReader } from "./slow_reader.ts";

/** How often the job's row is read, in milliseconds. */
const POLL_MS = 500;

/**
 * Sends `progress` events until the job ends, the client hangs up, or `httpTotalMs` is over.
 * Without news, a comment every half `httpIdleMs` keeps proxies from closing the connection.
 */
export function jobEvents(
  jobId: string,
  { request, context, sending }: Pick<Call, "request" | "context" | "sending">,
): Answer {
  const { config } = context, hangup = new AbortController();
  const signal = AbortSignal.any([
    hangup.signal,
    request.signal,
    context.signal,
    AbortSignal.timeout(config.httpTotalMs),
  ]);
  const { readable, writable } = new TransformStream();
  const stream = new SSEStreamingApi(writable, readable);
  stream.onAbort(() => hangup.abort());
  // On an error the stream just ends, and clients connect again.
  sendEvents(stream, jobId, context, signal).catch(() => {}).finally(() => stream.close());
  const headers = {
    "content-type": "text/event-stream",
    "cache-control": "no-store, no-transform",
  };
  return { status: 200, headers, body: cutSlowReader(stream.responseReadable, sending) };
}

async function sendEvents(
  stream: SSEStreamingApi,
  jobId: string,
  { db, config }: ApiContext,
  signal: AbortSignal,
): Promise<void> {
  const keepAliveMs = config.httpIdleMs / 2;
  const send = (event: string, data: object) =>
    stream.writeSSE({ event, data: JSON.stringify(camelKeys(data)) });
  let last = "", sentAt = performance.now();
  while (!signal.aborted) {
    const job = await getJob(db, jobId);
    if (job === undefined) return void await send("failed", { code: "job-not-found" });
    if (hasEnded(job)) return void await send(job.status, outcomeOf(job));
    const progress = { status: job.status, ...(job.progress ?? {}) };
    const text = JSON.stringify(progress);
    const isNew = text !== last;
    if (isNew || performance.now() - sentAt >= keepAliveMs) {
      sentAt = performance.now();
      last = text;
      await (isNew ? send("progress", progress) : stream.write(": still here\n\n"));
    }
    await sleep(Math.min(POLL_MS, keepAliveMs), signal).catch(() => {});
  }
}

function hasEnded({ status }: JobRow): boolean {
  return status !== "pending" && status !== "running";
}

function outcomeOf({ status, result, lastError }: JobRow): object {
  return status === "done"
    ? resultForTenant(result as object | null ?? {})
    : publicError(lastError as object | null) ?? {};
}
