/**
 * A span for each attempt, through OpenTelemetry's API: exported under `OTEL_DENO=true`.
 *
 * @module
 */

import { type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { IndexResult } from "../index/result.ts";
import type { JobHandler } from "../attempt/handler.ts";
import type { JobHandlers } from "../handlers.ts";

const PHASES = ["open", "stream", "publish"] as const;

/** Wraps handlers so that each attempt has a span. Requests to the store become its children. */
export function traced(handlers: JobHandlers): JobHandlers {
  return Object.fromEntries(
    Object.entries(handlers).map(([jobType, handler]) => [jobType, tracedHandler(handler)]),
  );
}

function tracedHandler(handler: JobHandler<object>): JobHandler<object> {
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
        addResult(span, startedAt, result);
        return result;
      } catch (error) {
        span.recordException(error as Error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: (error as Error).message });
        throw error;
      } finally {
        span.end();
      }
    });

    function addResult(span: Span, startedAt: number, result: Partial<IndexResult>): void {
      for (const [name, value] of Object.entries(result)) {
        if (typeof value === "number") span.setAttribute(`mpackd.${name}`, value);
      }
      // The phases followed one another; the result has their durations.
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
