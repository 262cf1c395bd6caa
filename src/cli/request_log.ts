/**
 * The log and the metrics of the HTTP API's requests.
 *
 * @module
 */

import { getLogger } from "@logtape/logtape";
import type { RequestRecord } from "../http/context.ts";
import type { MetricsRegistry } from "../jobs/worker/metrics.ts";

const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** Refusals of callers without an identity that are logged in one second: a flood fills no disk. */
const STRANGERS_PER_SECOND = 10;

/**
 * Counts every request, and logs those that were refused or failed.
 *
 * A defect is an error with its stack, a database or store that is away a warning, a refusal an info;
 * the rest is debug.
 */
export function observeRequests(metrics: MetricsRegistry): (record: RequestRecord) => void {
  const log = getLogger(["mpackd", "http"]);
  const isWithinLimit = perSecond(STRANGERS_PER_SECOND);
  const requests = metrics.counter({
    name: "http_requests",
    help: "Answered requests, by route and status.",
    labels: ["method", "route", "status"],
  });
  const durations = metrics.duration({
    name: "http_request",
    help: "Time from the head of a request to the head of its answer.",
    labels: ["route"],
  }, { buckets: BUCKETS });
  const quotaRefusals = metrics.counter({
    name: "quota_refusals",
    help: "Requests refused because a quota is used up, by route.",
    labels: ["route"],
  });
  return ({ requestId, method, route, status, elapsedMs, handle, refusal, error }) => {
    requests(1, { method, route, status: String(status) });
    durations(elapsedMs, { route });
    if (refusal?.code === "quota-exceeded") quotaRefusals(1, { route });
    const record = () =>
      log.with({
        request_id: requestId,
        method,
        route,
        status,
        elapsed_ms: Math.round(elapsedMs),
        ...(handle === undefined ? {} : { handle }),
        ...(refusal === undefined ? {} : {
          code: refusal.code,
          detail: refusal.detail,
          ...(error === undefined ? {} : { error: error.stack ?? error.message }),
          ...(refusal.repo === undefined ? {} : { repo: refusal.repo }),
          ...(refusal.mpackKey === undefined ? {} : { mpack_key: refusal.mpackKey }),
        }),
      });
    if (error !== undefined) return record().error("{method} {route} {status}");
    if (refusal === undefined) {
      if (log.isEnabledFor("debug")) record().debug("{method} {route} {status}");
      return;
    }
    if (handle === undefined && !isWithinLimit()) return;
    const isOutage = status >= 500 && refusal.code !== "busy";
    if (isOutage) record().warn("{method} {route} {status}: {detail}");
    else record().info("{method} {route} {status}: {detail}");
  };
}

/** Tells whether something may be done once more in this second. */
function perSecond(limit: number): () => boolean {
  let second = 0, done = 0;
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      second = now;
      done = 0;
    }
    return ++done <= limit;
  };
}
