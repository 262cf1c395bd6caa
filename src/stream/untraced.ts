/**
 * Keeps what is sent to a store out of traces, as far as the runtime can be told to.
 *
 * @module
 */
import { context, trace, TraceFlags } from "@opentelemetry/api";

/** Stands in where nothing is being traced; all zeros would count as no parent at all. */
const NOBODY = { traceId: `${"0".repeat(31)}1`, spanId: `${"0".repeat(15)}1` };

/**
 * Calls `send` under a parent that is not sampled. Deno makes a span of every fetch, and its
 * attributes hold the whole URL; under `OTEL_TRACES_SAMPLER=parentbased_always_on` it then makes
 * none. Without that setting Deno asks no parent: see docs/s3.md.
 */
export function untraced<T>(send: () => T): T {
  const active = context.active();
  const parent = { ...(trace.getSpanContext(active) ?? NOBODY), traceFlags: TraceFlags.NONE };
  return context.with(trace.setSpan(active, trace.wrapSpanContext(parent)), send);
}
