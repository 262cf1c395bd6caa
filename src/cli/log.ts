/**
 * Structured logs on stderr: one line a record, JSON unless a person is looking.
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
import type { Job } from "../jobs/queue/job.ts";
import type { WorkerEvent } from "../jobs/worker/worker_event.ts";

const ENCODER = new TextEncoder();

/** Sends the process's logs to stderr, from `level` up. */
export function openLog(
  { level, isTerminal = Deno.stderr.isTerminal() }: {
    readonly level: LogLevel;
    readonly isTerminal?: boolean;
  },
): void {
  const format = isTerminal
    ? getAnsiColorFormatter({ timestamp: "time", value: String })
    : jsonLine;
  configureSync({
    reset: true,
    // Synchronous, so that the last words of a process are not lost.
    sinks: { stderr: (record) => void Deno.stderr.writeSync(ENCODER.encode(format(record))) },
    loggers: [
      { category: "mpackd", sinks: ["stderr"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
}

/** logtape's own formatter would put the values in a message into quotes. */
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

/** Says once what the native hash engine cannot do. */
export function logNativeHash(worker: string): void {
  getLogger(["mpackd", "worker"]).with({ worker })
    .info("Hashing natively (MPACK_HASH): faster, but an interrupted job starts over");
}

/** Writes what a worker says of itself; each record about a job has its id and its repo's. */
export function logEvents(worker: string): (event: WorkerEvent) => void {
  const log = getLogger(["mpackd", "worker"]).with({ worker });
  return (event) => {
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
      case "queue-error":
        log.with(errorFields(event.error)).warn("{error}");
        break;
      case "listener":
        if (event.error === undefined) log.info("Listening for new jobs");
        else log.with(errorFields(event.error)).warn("Not listening, only polling: {error}");
        break;
      case "draining":
        log.with({ running: event.running, drain_ms: event.drainMs })
          .info("Stopping: {running} jobs may go on for {drain_ms} ms");
        break;
      case "releasing":
        log.with({ running: event.running }).warn("Giving {running} jobs back");
        break;
    }
  };
}

function about(log: Logger, { jobId, repoId, jobType, attempt, fence }: Job): Logger {
  return log.with({ job_id: jobId, repo_id: repoId, job_type: jobType, attempt, fence });
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
      return failed.info("Job {job_id} given back");
    case "cancelled":
      return failed.info("Job {job_id} cancelled");
    case "lost":
      return failed.warn("Job {job_id} left to whoever holds it: {error}");
  }
}

function errorFields(error: Error): { error: string; code: string } {
  return {
    error: error.message,
    code: "code" in error ? String(error.code) : "internal",
  };
}
