/**
 * What a worker measures of itself, made of its events.
 *
 * @module
 */

import type { IndexResult } from "../index/result.ts";
import { Meter } from "./metrics.ts";
import type { QueueCounts } from "../queue/count_jobs.ts";
import type { Job } from "../queue/job.ts";
import type { WorkerEvent } from "./worker_event.ts";

/** Seconds: from a pack of a few objects to one of many gigabytes. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
/** Counting reads the whole table: once for all gauges of a scrape, and not for every scraper. */
const COUNTS_MAX_AGE_MS = 5_000;

/** What the gauges read. */
export interface InstrumentSources {
  /** Counts the queue. */
  readonly countJobs: () => Promise<QueueCounts>;
  /** How many jobs run here. */
  readonly running: () => number;
}

/** A worker's instruments. `observe` feeds all but the gauges, which ask their sources. */
export class Instruments {
  /** Where they can be read. */
  readonly meter: Meter = new Meter();
  readonly #seen = new WeakMap<Job, { bytes: number; objects: number }>();
  #isListening = false;

  readonly #claims = this.meter.counter({
    name: "claims",
    help: "Jobs claimed, attempts counted.",
    labels: ["job_type"],
  });
  readonly #rescues = this.meter.counter({
    name: "rescues",
    help: "Jobs taken back from a worker that let its lease lapse.",
    labels: ["job_type"],
  });
  readonly #attempts = this.meter.counter({
    name: "attempts",
    help: "Attempts that ended, by how and by error code.",
    labels: ["job_type", "outcome", "code"],
  });
  readonly #lostLeases = this.meter.counter({
    name: "lost_leases",
    help: "Attempts that ended because another worker had the job.",
    labels: ["job_type"],
  });
  readonly #startOvers = this.meter.counter({
    name: "start_overs",
    help: "Attempts that could not use the checkpoint of the one before.",
    labels: ["job_type"],
  });
  readonly #troubles = this.meter.counter({
    name: "queue_troubles",
    help: "Times the queue could not be asked.",
  });
  readonly #bytes = this.meter.counter({ name: "bytes", help: "Bytes of packs read." });
  readonly #objects = this.meter.counter({ name: "objects", help: "Objects decoded." });
  readonly #rows = this.meter.counter({
    name: "rows",
    help: "Rows published, by table.",
    labels: ["table"],
  });
  readonly #attemptTime = this.meter.duration({
    name: "attempt_duration",
    help: "How long attempts took.",
    labels: ["job_type", "outcome"],
  }, { buckets: BUCKETS });
  readonly #phaseTime = this.meter.duration({
    name: "phase_duration",
    help: "How long the phases of successful attempts took.",
    labels: ["phase"],
  }, { buckets: BUCKETS });

  /** Makes the instruments; the gauges ask `sources` when they are read. */
  constructor({ countJobs, running }: InstrumentSources) {
    const counts = remembered(countJobs, COUNTS_MAX_AGE_MS);
    this.meter.gauge(
      { name: "jobs", help: "Jobs in the table by status.", labels: ["status"] },
      async () => Object.entries((await counts()).byStatus).map(([status, n]) => [n, { status }]),
    );
    this.meter.gauge({
      name: "oldest_pending_seconds",
      help: "Age of the oldest job that could be claimed now; 0 if there is none.",
    }, async () => [[(await counts()).oldestPendingMs / 1000, {}]]);
    this.meter.gauge(
      { name: "running_jobs", help: "Jobs running in this process." },
      () => [[running(), {}]],
    );
    this.meter.gauge(
      { name: "listening", help: "1 while announcements of new jobs arrive, else 0." },
      () => [[this.#isListening ? 1 : 0, {}]],
    );
  }

  /** Counts what a worker says. */
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
      case "trouble":
        this.#troubles(1, {});
        break;
      case "listener":
        this.#isListening = event.error === undefined;
        break;
    }
  }

  #progress({ job, progress }: Extract<WorkerEvent, { type: "progress" }>): void {
    const { bytes, objects } = progress;
    const seen = this.#seen.get(job) ?? resumedAt(job);
    // Less than before: the attempt could not use its checkpoint and started over.
    this.#bytes(bytes >= seen.bytes ? bytes - seen.bytes : bytes, {});
    this.#objects(objects >= seen.objects ? objects - seen.objects : objects, {});
    this.#seen.set(job, { bytes, objects });
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

/** The same answer for everybody who asks within `maxAgeMs`. */
function remembered<T>(ask: () => Promise<T>, maxAgeMs: number): () => Promise<T> {
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
