/**
 * The metrics of a worker, made from its events.
 *
 * @module
 */

import type { IndexResult } from "../index/result.ts";
import type { TenantsAtLimits } from "../../db/quotas/quotas.ts";
import { MetricsRegistry } from "./metrics.ts";
import type { QueueCounts } from "../queue/count_jobs.ts";
import type { Job } from "../queue/job.ts";
import type { WorkerEvent } from "./worker_event.ts";

/** In seconds: from a pack of a few objects to one of many gigabytes. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
/** Counting jobs reads the whole table, so all gauges and scrapers within this time share one count. */
const COUNTS_MAX_AGE_MS = 5_000;

/** What the gauges read at each scrape. */
interface GaugeSources {
  readonly countJobs: () => Promise<QueueCounts>;
  readonly countWithoutLease: () => Promise<number>;
  /** Tenants who use so much of a limit. */
  readonly countAtLimits: () => Promise<TenantsAtLimits>;
  /** Number of jobs running in this process. */
  readonly running: () => number;
}

/** A worker's metrics: `observe()` feeds the counters, the gauges read their sources. */
export class WorkerMetrics {
  readonly registry: MetricsRegistry = new MetricsRegistry();
  /** Progress counted so far, by running job. */
  readonly #counted = new WeakMap<Job, { bytes: number; objects: number }>();
  #isListening = false;

  readonly #claims = this.registry.counter({
    name: "claims",
    help: "Jobs claimed, attempts counted.",
    labels: ["job_type"],
  });
  readonly #rescues = this.registry.counter({
    name: "rescues",
    help: "Jobs claimed after the lease of another worker had lapsed.",
    labels: ["job_type"],
  });
  readonly #attempts = this.registry.counter({
    name: "attempts",
    help: "Attempts that ended, by outcome and error code.",
    labels: ["job_type", "outcome", "code"],
  });
  readonly #lostLeases = this.registry.counter({
    name: "lost_leases",
    help: "Attempts that ended because the lease was lost.",
    labels: ["job_type"],
  });
  readonly #startOvers = this.registry.counter({
    name: "start_overs",
    help: "Attempts that started over from the first byte.",
    labels: ["job_type"],
  });
  readonly #webhookAttempts = this.registry.counter({
    name: "webhook_attempts",
    help: "Attempts to deliver to webhooks, by outcome: delivered or failed.",
    labels: ["outcome"],
  });
  readonly #queueErrors = this.registry.counter({
    name: "queue_errors",
    help: "Claims that failed.",
  });
  readonly #bytes = this.registry.counter({ name: "bytes", help: "Bytes of packs read." });
  readonly #objects = this.registry.counter({ name: "objects", help: "Objects decoded." });
  readonly #rows = this.registry.counter({
    name: "rows",
    help: "Rows published, by table.",
    labels: ["table"],
  });
  readonly #attemptTime = this.registry.duration({
    name: "attempt_duration",
    help: "How long attempts took.",
    labels: ["job_type", "outcome"],
  }, { buckets: BUCKETS });
  readonly #phaseTime = this.registry.duration({
    name: "phase_duration",
    help: "How long the phases of successful attempts took.",
    labels: ["phase"],
  }, { buckets: BUCKETS });

  constructor({ countJobs, countWithoutLease, countAtLimits, running }: GaugeSources) {
    const counts = cached(countJobs, COUNTS_MAX_AGE_MS);
    this.registry.gauge(
      { name: "jobs", help: "Jobs in the table by status.", labels: ["status"] },
      async () => Object.entries((await counts()).byStatus).map(([status, n]) => [n, { status }]),
    );
    this.registry.gauge({
      name: "oldest_pending_seconds",
      help: "How long the job that waits longest could have been claimed; 0 without one.",
    }, async () => [[(await counts()).oldestPendingMs / 1000, {}]]);
    this.registry.gauge({
      name: "jobs_without_lease",
      help: "Running jobs that no worker holds a lease on: another program's, or left behind.",
    }, async () => [[await countWithoutLease(), {}]]);
    this.registry.gauge({
      name: "tenants_at_limits",
      help: "Owners and repos that use 80 % of a quota or more (near), or all of it (full).",
      labels: ["level"],
    }, async () => {
      const { near, full } = await countAtLimits();
      return [[near, { level: "near" }], [full, { level: "full" }]];
    });
    this.registry.gauge(
      { name: "running_jobs", help: "Jobs running in this process." },
      () => [[running(), {}]],
    );
    this.registry.gauge(
      { name: "listening", help: "1 while LISTEN works, else 0." },
      () => [[this.#isListening ? 1 : 0, {}]],
    );
  }

  observe(event: WorkerEvent): void {
    switch (event.type) {
      case "claimed":
        for (const { jobType: job_type, isRescue } of event.jobs) {
          this.#claims(1, { job_type });
          if (isRescue) this.#rescues(1, { job_type });
        }
        break;
      case "progress":
        this.#progress(event);
        break;
      case "ended":
        this.#ended(event);
        break;
      case "start-over":
        this.#startOvers(1, { job_type: event.job.jobType });
        break;
      case "webhook":
        this.#webhookAttempts(1, { outcome: event.sent.error === null ? "delivered" : "failed" });
        break;
      case "queue-error":
        this.#queueErrors(1, {});
        break;
      case "listener":
        this.#isListening = event.error === undefined;
        break;
    }
  }

  #progress({ job, progress }: Extract<WorkerEvent, { type: "progress" }>): void {
    const { bytes, objects } = progress;
    const counted = this.#counted.get(job) ?? resumedAt(job);
    // Less than before: the attempt started over.
    this.#bytes(bytes >= counted.bytes ? bytes - counted.bytes : bytes, {});
    this.#objects(objects >= counted.objects ? objects - counted.objects : objects, {});
    this.#counted.set(job, { bytes, objects });
  }

  #ended({ job, outcome, elapsedMs }: Extract<WorkerEvent, { type: "ended" }>): void {
    const job_type = job.jobType;
    const error = outcome.status === "done" ? undefined : outcome.error;
    const code = error === undefined ? "" : "code" in error ? String(error.code) : "internal";
    this.#attempts(1, { job_type, outcome: outcome.status, code });
    this.#attemptTime(elapsedMs, { job_type, outcome: outcome.status });
    if (outcome.status === "lost") this.#lostLeases(1, { job_type });
    if (outcome.status !== "done") return;
    const result = outcome.result as Partial<IndexResult> | undefined;
    if (result?.phases_ms === undefined) return;
    for (const [phase, ms] of Object.entries(result.phases_ms)) this.#phaseTime(ms, { phase });
    this.#rows(result.objects_written ?? 0, { table: "musehub_objects" });
    this.#rows(result.object_refs_written ?? 0, { table: "musehub_object_refs" });
  }
}

function resumedAt({ checkpoint }: Job): { bytes: number; objects: number } {
  const { offset_bytes, rows_staged } = (checkpoint ?? {}) as Record<string, unknown>;
  return { bytes: Number(offset_bytes ?? 0), objects: Number(rows_staged ?? 0) };
}

/** Caches an answer for `maxAgeMs`. */
function cached<T>(ask: () => Promise<T>, maxAgeMs: number): () => Promise<T> {
  let askedAt = -Infinity;
  let answer: Promise<T>;
  return () => {
    if (performance.now() - askedAt < maxAgeMs) return answer;
    askedAt = performance.now();
    answer = ask();
    answer.catch(() => askedAt = -Infinity);
    return answer;
  };
}
