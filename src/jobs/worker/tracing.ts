/**
 * Spans of attempts through OpenTelemetry's API: live under `OTEL_DENO=true`, otherwise nothing.
 *
 * @module
 */

import { type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { IndexResult } from "../index/result.ts";
import type { Handler } from "../attempt/handler.ts";
import type { Handlers } from "../handlers.ts";

const PHASES = ["open", "stream", "publish"] as const;

/** The same handlers, each attempt in a span; requests to the store become its children. */
export function traced(handlers: Handlers): Handlers {
  return Object.fromEntries(
    Object.entries(handlers).map(([jobType, handler]) => [jobType, tracedHandler(handler)]),
  );
}

function tracedHandler(handler: Handler<object>): Handler<object> {
  const tracer = trace.getTracer("mpackd");
  return (job, scope) => {
    const attributes = {
      "mpackd.job_id": job.jobId,
      "mpackd.repo_id": job.repoId,
      "mpackd.attempt": job.attempt,
      "mpackd.fence": job.fence,
      "mpackd.is_rescue": job.isRescue,
    };
    const options = { attributes, kind: SpanKind.CONSUMER };
    return tracer.startActiveSpan(job.jobType, options, async (span) => {
      const startedAt = Date.now();
      try {
        const result = await handler(job, scope);
        describe(span, startedAt, result);
        return result;
      } catch (error) {
        span.recordException(error as Error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: (error as Error).message });
        throw error;
      } finally {
        span.end();
      }
    });

    function describe(span: Span, startedAt: number, result: Partial<IndexResult>): void {
      for (const [name, value] of Object.entries(result)) {
        if (typeof value === "number") span.setAttribute(`mpackd.${name}`, value);
      }
      // The phases follow one another, and the result knows how long each of them took.
      let at = startedAt;
      for (const phase of PHASES) {
        const ms = result.phases_ms?.[phase];
        if (ms === undefined) return;
        span.addEvent(phase, { "mpackd.elapsed_ms": ms }, new Date(at));
        at += ms;
      }
    }
  };
}
