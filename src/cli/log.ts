/**
 * Structured logs on stderr: one line per record, JSON unless stderr is a terminal.
 *
 * @module
 */

import {
  configureSync,
  getAnsiColorFormatter,
  getLogger,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import type { Config } from "../config/config.ts";
import type { Job } from "../jobs/queue/job.ts";
import type { WorkerEvent } from "../jobs/worker/worker_event.ts";
import { counted } from "../lib/numbers.ts";
import { redact } from "../lib/redact.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { showControls, tellAsRecords, tellRaw } from "./output.ts";
import { VERSION } from "./version.ts";

/** Sends the logs of this process to stderr, from `level` up. */
export function openLog(
  { level, isTerminal = Deno.stderr.isTerminal() }: {
    readonly level: LogLevel;
    readonly isTerminal?: boolean;
  },
): void {
  const format = isTerminal
    ? getAnsiColorFormatter({ timestamp: "time", value: (value) => showControls(String(value)) })
    : jsonLine;
  configureSync({
    reset: true,
    // Synchronous, so that the last records of a process are not lost.
    sinks: { stderr: (record) => tellRaw(redact(format(record))) },
    loggers: [
      { category: "mpackd", sinks: ["stderr"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
  if (isTerminal) return;
  const log = getLogger(["mpackd", "cli"]);
  tellAsRecords((text, level) => level === "error" ? log.error`${text}` : log.warn`${text}`);
}

/** logtape's own formatter puts quotes around the values in a message. */
function jsonLine({ timestamp, level, category, message, properties }: LogRecord): string {
  return `${
    JSON.stringify({
      time: new Date(timestamp).toISOString(),
      level,
      logger: category.join("."),
      message: message.join(""),
      ...properties,
    })
  }\n`;
}

/** Says what runs and with what, so that a log answers it without its machine. */
export function logStart(
  command: "serve" | "worker",
  { db, store }: { readonly db: { readonly label: string }; readonly store: BlobStore },
  { httpPort, hash }: Config,
  { jobs }: { readonly jobs: number },
): void {
  getLogger(["mpackd", command]).with({
    version: VERSION,
    deno: Deno.version.deno,
    pid: Deno.pid,
    database: db.label,
    store: store.url,
    hash,
    jobs,
    ...(httpPort === 0 ? {} : { probe_port: httpPort }),
  }).info(
    "mpackd {version} starts: database {database}, store {store}, " +
      `${counted(jobs, "job")} at once`,
  );
}

/** Logs once what the native hash engine cannot do. */
export function logNativeHash(worker: string): void {
  getLogger(["mpackd", "worker"]).with({ worker })
    .info("Hashing natively (MPACK_HASH): faster, but an interrupted job starts over");
}

/** Names the jobs that this worker never claims, once. */
export function logWithoutLease(worker: string, jobs: number): void {
  getLogger(["mpackd", "worker"]).with({ worker, jobs }).warn(
    `${
      counted(jobs, "running job has", "running jobs have")
    } no lease: another program runs such a job, ` +
      'or has left it behind. It is not claimed. To run it again, set its status to "pending"',
  );
}

/** Logs a worker's events. Each record about a job has the ids of job and repo. */
export function logEvents(worker: string): (event: WorkerEvent, shard?: string) => void {
  const logger = getLogger(["mpackd", "worker"]).with({ worker });
  return (event, shard) => {
    const log = shard === undefined ? logger : logger.with({ shard });
    switch (event.type) {
      case "claimed":
        for (const job of event.jobs) {
          if (job.isRescue) about(log, job).info("Job {job_id} rescued, attempt {attempt}");
          else about(log, job).debug("Job {job_id} claimed, attempt {attempt}");
        }
        break;
      case "ended":
        logEnd(log, event);
        break;
      case "start-over":
        about(log, event.job).with({ reason: event.reason })
          .warn("Job {job_id} starts over: {reason}");
        break;
      case "webhook":
        logDelivery(log, event);
        break;
      case "queue-error":
        if (shard === undefined) log.with(errorFields(event.error)).warn("{error}");
        // That a shard is away is logged once: see logShard().
        else log.with(errorFields(event.error)).debug("{error}");
        break;
      case "listener":
        if (event.error === undefined) log.info("Listening for new jobs");
        else log.with(errorFields(event.error)).warn("Not listening, only polling: {error}");
        break;
      case "draining":
        log.with({ running: event.running, drain_ms: event.drainMs })
          .info(`Stopping: ${counted(event.running, "job")} may continue for {drain_ms} ms`);
        break;
      case "releasing":
        log.with({ running: event.running }).warn(`Releasing ${counted(event.running, "job")}`);
        break;
    }
  };
}

/** Logs that a shard is away, or answers. */
export function logShard(worker: string, shard: string, error?: Error): void {
  const log = getLogger(["mpackd", "worker"]).with({ worker, shard });
  if (error === undefined) log.info("Working for shard {shard}");
  else log.with(errorFields(error)).warn("Shard {shard} is away: {error}");
}

/** Logs what went wrong with forwarded jobs, or with the list of shards. */
export function logShardError(worker: string, error: Error, shard?: string): void {
  const log = getLogger(["mpackd", "worker"]).with({ worker });
  (shard === undefined ? log : log.with({ shard })).with(errorFields(error)).warn("{error}");
}

function about(log: Logger, { jobId, repoId, jobType, attempt, fence }: Job): Logger {
  return log.with({ job_id: jobId, repo_id: repoId, job_type: jobType, attempt, fence });
}

/** Receivers' URLs may hold secrets, and their answers anything: neither is logged. */
function logDelivery(log: Logger, { delivery, sent }: Extract<WorkerEvent, { type: "webhook" }>) {
  const { deliveryId: delivery_id, webhookId: webhook_id, attempt } = delivery;
  const record = log.with({
    ...{ delivery_id, webhook_id, attempt, status: sent.status },
    elapsed_ms: sent.duration_ms,
  });
  if (sent.error === null) record.debug("Delivery {delivery_id} of {webhook_id} was taken");
  else {
    record.with({ error: sent.error })
      .warn("Delivery {delivery_id} of {webhook_id} failed, attempt {attempt}: {error}");
  }
}

function logEnd(log: Logger, event: Extract<WorkerEvent, { type: "ended" }>): void {
  const { job, outcome } = event;
  const elapsed_ms = Math.round(event.elapsedMs);
  const record = about(log, job).with({ outcome: outcome.status, elapsed_ms });
  if (outcome.status === "done") {
    return record.with({ result: outcome.result }).info("Job {job_id} done in {elapsed_ms} ms");
  }
  const failed = record.with(errorFields(outcome.error));
  switch (outcome.status) {
    case "failed":
      return failed.error("Job {job_id} failed: {error}");
    case "retrying":
      return failed.with({ run_at: outcome.runAt?.toISOString() })
        .warn("Job {job_id} will be tried again after {run_at}: {error}");
    case "released":
      return failed.info("Job {job_id} released");
    case "postponed":
      return failed.warn("Job {job_id} postponed, its attempt is not counted: {error}");
    case "cancelled":
      return failed.info("Job {job_id} cancelled");
    case "lost":
      return failed.warn("Job {job_id} left to the worker that holds it: {error}");
  }
}

function errorFields(error: Error): { error: string; code: string } {
  return {
    error: error.message,
    code: "code" in error ? String(error.code) : "internal",
  };
}
