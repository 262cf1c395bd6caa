/**
 * The metrics of a worker, made from its events.
 *
 * @module
 */

import type { IndexResult } from "../index/result.ts";
import type { TenantsAtLimits } from "../../db/quotas/quotas.ts";
import { orAborted } from "../../lib/abort.ts";
import { MetricsRegistry, type Readings } from "./metrics.ts";
import type { QueueCounts } from "../queue/count_jobs.ts";
import type { Job } from "../queue/job.ts";
import type { WorkerEvent } from "./worker_event.ts";

/** In seconds: from a pack of a few objects to one of many gigabytes. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
/** Counting jobs reads the whole table, so all gauges and scrapers within this time share one count. */
const COUNTS_MAX_AGE_MS = 5_000;

/** A shard that answers later than this has no value in a scrape. */
const SHARD_DEADLINE_MS = 2_000;

/** What the gauges read of one database at each scrape. */
export interface GaugeSource {
  /** The shard's name; undefined: the catalog, which has no label. */
  readonly shard: string | undefined;
  readonly countJobs: () => Promise<QueueCounts>;
  readonly countWithoutLease: () => Promise<number>;
  /** Tenants who use so much of a limit. */
  readonly countAtLimits: () => Promise<TenantsAtLimits>;
  /** Number of its jobs running in this process. */
  readonly running: () => number;
}

/** A source whose jobs are not counted at each scrape. */
export function gaugeSource(source: GaugeSource): GaugeSource {
  return { ...source, countJobs: cached(source.countJobs, COUNTS_MAX_AGE_MS) };
}

/** Where the gauges read. */
interface GaugeSources {
  /** One for each database that answers. */
  readonly sources: () => readonly GaugeSource[];
  /** Whether each shard answers; empty without shards. */
  readonly shardsUp: () => ReadonlyMap<string, boolean>;
}

/** The metrics of a process: `observe()` feeds the counters, the gauges read their sources. */
export class WorkerMetrics {
  readonly registry: MetricsRegistry = new MetricsRegistry();
  /** Progress counted so far, by running job. */
  readonly #counted = new WeakMap<Job, { bytes: number; objects: number }>();
  readonly #listening = new Map<string | undefined, boolean>([[undefined, false]]);

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

  constructor({ sources, shardsUp }: GaugeSources) {
    const gauge = (
      { labels = [], ...options }: { name: string; help: string; labels?: readonly string[] },
      read: (source: GaugeSource) => Promise<Readings> | Readings,
    ) =>
      this.registry.gauge(
        { ...options, labels: [...labels, "shard"] },
        () => readEach(sources(), read),
      );
    gauge(
      { name: "jobs", help: "Jobs in the table by status.", labels: ["status"] },
      async ({ countJobs }) =>
        Object.entries((await countJobs()).byStatus).map(([status, n]) => [n, { status }]),
    );
    gauge({
      name: "oldest_pending_seconds",
      help: "How long the job that waits longest could have been claimed; 0 without one.",
    }, async ({ countJobs }) => [[(await countJobs()).oldestPendingMs / 1000, {}]]);
    gauge({
      name: "jobs_without_lease",
      help: "Running jobs that no worker holds a lease on: another program's, or left behind.",
    }, async ({ countWithoutLease }) => [[await countWithoutLease(), {}]]);
    gauge({
      name: "tenants_at_limits",
      help: "Owners and repos that use 80 % of a quota or more (near), or all of it (full).",
      labels: ["level"],
    }, async ({ countAtLimits }) => {
      const { near, full } = await countAtLimits();
      return [[near, { level: "near" }], [full, { level: "full" }]];
    });
    gauge(
      { name: "running_jobs", help: "Jobs running in this process." },
      ({ running }) => [[running(), {}]],
    );
    this.registry.gauge(
      { name: "listening", help: "1 while LISTEN works, else 0.", labels: ["shard"] },
      () => [...this.#listening].map(([shard, isOn]) => [isOn ? 1 : 0, ofShard(shard)]),
    );
    this.registry.gauge(
      { name: "shard_up", help: "1 while the shard answers, else 0.", labels: ["shard"] },
      () => [...shardsUp()].map(([shard, isUp]) => [isUp ? 1 : 0, { shard }]),
    );
  }

  /** Tells no longer whether a shard is listened to: this process does not work for it any more. */
  forget(shard: string): void {
    this.#listening.delete(shard);
  }

  /** Counts an event, of a shard or of the catalog. */
  observe(event: WorkerEvent, shard?: string): void {
    switch (event.type) {
      case "claimed":
        for (const { jobType: job_type, isRescue } of event.jobs) {
          this.#claims(1, { job_type }, shard);
          if (isRescue) this.#rescues(1, { job_type }, shard);
        }
        break;
      case "progress":
        this.#progress(event, shard);
        break;
      case "ended":
        this.#ended(event, shard);
        break;
      case "start-over":
        this.#startOvers(1, { job_type: event.job.jobType }, shard);
        break;
      case "webhook":
        this.#webhookAttempts(
          1,
          { outcome: event.sent.error === null ? "delivered" : "failed" },
          shard,
        );
        break;
      case "queue-error":
        this.#queueErrors(1, {}, shard);
        break;
      case "listener":
        this.#listening.set(shard, event.error === undefined);
        break;
    }
  }

  #progress(
    { job, progress }: Extract<WorkerEvent, { type: "progress" }>,
    shard: string | undefined,
  ): void {
    const { bytes, objects } = progress;
    const counted = this.#counted.get(job) ?? resumedAt(job);
    // Less than before: the attempt started over.
    this.#bytes(bytes >= counted.bytes ? bytes - counted.bytes : bytes, {}, shard);
    this.#objects(objects >= counted.objects ? objects - counted.objects : objects, {}, shard);
    this.#counted.set(job, { bytes, objects });
  }

  #ended(
    { job, outcome, elapsedMs }: Extract<WorkerEvent, { type: "ended" }>,
    shard: string | undefined,
  ): void {
    const job_type = job.jobType;
    const error = outcome.status === "done" ? undefined : outcome.error;
    const code = error === undefined ? "" : "code" in error ? String(error.code) : "internal";
    this.#attempts(1, { job_type, outcome: outcome.status, code }, shard);
    this.#attemptTime(elapsedMs, { job_type, outcome: outcome.status }, shard);
    if (outcome.status === "lost") this.#lostLeases(1, { job_type }, shard);
    if (outcome.status !== "done") return;
    const result = outcome.result as Partial<IndexResult> | undefined;
    if (result?.phases_ms === undefined) return;
    for (const [phase, ms] of Object.entries(result.phases_ms)) {
      this.#phaseTime(ms, { phase }, shard);
    }
    this.#rows(result.objects_written ?? 0, { table: "musehub_objects" }, shard);
    this.#rows(result.object_refs_written ?? 0, { table: "musehub_object_refs" }, shard);
  }
}

function resumedAt({ checkpoint }: Job): { bytes: number; objects: number } {
  const { offset_bytes, rows_staged } = (checkpoint ?? {}) as Record<string, unknown>;
  return { bytes: Number(offset_bytes ?? 0), objects: Number(rows_staged ?? 0) };
}

function ofShard(shard: string | undefined): Record<string, string> {
  return shard === undefined ? {} : { shard };
}

/** Reads all databases at once; a shard that fails or is late has no value. */
async function readEach(
  sources: readonly GaugeSource[],
  read: (source: GaugeSource) => Promise<Readings> | Readings,
): Promise<Readings> {
  const found = await Promise.allSettled(sources.map(async (source) => {
    const values = Promise.resolve(read(source));
    const readings = await (source.shard === undefined
      ? values
      : orAborted(values, AbortSignal.timeout(SHARD_DEADLINE_MS)));
    return readings.map(([value, labels]) =>
      [value, { ...labels, ...ofShard(source.shard) }] as const
    );
  }));
  return found.flatMap((each) => each.status === "fulfilled" ? each.value : []);
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
