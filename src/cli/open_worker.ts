/**
 * Opens a worker with its handlers, listener, metrics and log.
 *
 * @module
 */

import { quotaDefaultsOf } from "../config/quotas.ts";
import { countAtLimits } from "../db/quotas/quotas.ts";
import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import { execute } from "../db/client/execute.ts";
import { forgetWorker, seeWorker } from "../db/workers.ts";
import { mpackdHandlers } from "../jobs/handlers.ts";
import { WorkerMetrics } from "../jobs/worker/worker_metrics.ts";
import { Listener } from "../jobs/worker/listener.ts";
import { countJobs } from "../jobs/queue/count_jobs.ts";
import { fireSchedules } from "../jobs/schedules/fire.ts";
import { countWithoutLease } from "../jobs/queue/count_without_lease.ts";
import { traced } from "../jobs/worker/tracing.ts";
import { Worker } from "../jobs/worker/worker.ts";
import { Deliverer } from "../jobs/webhooks/deliverer.ts";
import { parseAddresses } from "../lib/addresses.ts";
import type { WorkerEvent } from "../jobs/worker/worker_event.ts";
import type { Check } from "../http/probes.ts";
import { claimStore, type StoreAndDatabase } from "../maintenance/store_owner.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { readMarker } from "../stream/store/store_marker.ts";
import { logEvents, logNativeHash, logWithoutLease } from "./log.ts";
import { jobPermissions, requirePermissions } from "./permissions.ts";
import type { Resources } from "./resources.ts";
import { VERSION } from "./version.ts";
import { workerName } from "./worker_name.ts";

const PING_DEADLINE_MS = 2_000;
/** Probes come every few seconds, also to a store that asks money for each request. */
const STORE_CHECK_EVERY_MS = 5_000;
/** The text of a notification about webhooks: see webhooks_1.sql. */
const WEBHOOKS = "webhooks";
const COUNT_EVERY_MS = 60_000;
/** How late a schedule may fire. */
const FIRE_EVERY_MS = 10_000;
/** A sixth of the time after which a silent worker counts as gone. */
const SEEN_EVERY_MS = 10_000;

export interface WorkerEnd {
  /** Stops claiming. */
  readonly signal: AbortSignal;
  /** Releases running jobs at once. */
  readonly force: AbortSignal;
  /** Whether to end when no job is due. */
  readonly untilEmpty?: boolean;
}

/** A worker that is ready to run. */
export interface OpenedWorker extends AsyncDisposable {
  /** Runs jobs and delivers to webhooks, until it is stopped. Never throws. */
  run(): Promise<void>;
  readonly metrics: WorkerMetrics;
  /** The conditions of readiness. */
  readonly checks: Readonly<Record<string, Check>>;
}

/** Opens a worker. It listens for new jobs, but runs none before `run()`. */
export function openWorker(
  { db, store, connect }: Pick<Resources, "db" | "store" | "connect">,
  config: Config,
  { signal, force, untilEmpty }: WorkerEnd,
): OpenedWorker {
  const { concurrency, perRepo, pollMs, drainMs, leaseMs } = config;
  requirePermissions(jobPermissions());
  const name = workerName(config.home);
  const log = logEvents(name);
  if (config.hash === "native" && config.libcrypto === undefined) logNativeHash(name);
  const metrics = new WorkerMetrics({
    countJobs: () => countJobs(db),
    countWithoutLease: () => countWithoutLease(db),
    countAtLimits: () => countAtLimits(db, quotaDefaultsOf(config)),
    running: () => worker.running,
  });
  const observe = (event: WorkerEvent) => {
    metrics.observe(event);
    log(event);
  };
  const handlers = mpackdHandlers({
    db,
    store,
    config,
    onProgress: (progress, job) => observe({ type: "progress", job, progress }),
    onStartOver: (reason, job) => observe({ type: "start-over", job, reason }),
  });
  const worker = new Worker({
    db,
    handlers: traced(handlers),
    worker: name,
    leaseMs,
    concurrency,
    perRepo,
    pollMs,
    drainMs,
    signal,
    force,
    observe,
    untilEmpty,
  });
  countWithoutLease(db).then((jobs) => jobs > 0 && logWithoutLease(name, jobs), () => {});
  const deliverer = new Deliverer({
    db,
    allowed: parseAddresses(config.webhookAllow),
    pollMs,
    signal,
    force,
    untilEmpty,
    onAttempt: (delivery, sent) => observe({ type: "webhook", delivery, sent }),
    onError: (error) => observe({ type: "queue-error", error }),
  });
  const listener = new Listener({
    connect,
    onWake(text) {
      worker.wake();
      if (text === undefined || text === WEBHOOKS) deliverer.wake();
    },
    onChange: (error) => observe({ type: "listener", error }),
  });
  const counting = countUses({ db, store, config, signal }, (error) => {
    observe({ type: "queue-error", error });
  });
  // Only people look at it, so a failure is no reason to say more than the queue's own errors do.
  const see = () =>
    seeWorker(db, {
      worker: name,
      version: VERSION,
      concurrency,
      running: worker.running,
      isDraining: signal.aborted,
    }).catch(() => {});
  const fire = () =>
    fireSchedules(db).catch((error) => observe({ type: "queue-error", error })).then(() => {});
  let fired = untilEmpty || signal.aborted ? Promise.resolve() : fire();
  const firing = untilEmpty ? undefined : setInterval(() => fired = fire(), FIRE_EVERY_MS);
  if (firing !== undefined) Deno.unrefTimer(firing);
  let seen = see();
  const seeing = setInterval(() => seen = see(), SEEN_EVERY_MS);
  Deno.unrefTimer(seeing);
  return {
    async run() {
      await Promise.all([worker.run(), deliverer.run()]);
    },
    metrics,
    checks: {
      database: () => ping(db),
      store: storeCheck(store),
      not_draining: () => !signal.aborted,
      polled_lately: () => worker.silentMs < 3 * pollMs + config.databaseTimeoutMs,
    },
    async [Symbol.asyncDispose]() {
      clearInterval(counting);
      clearInterval(seeing);
      clearInterval(firing);
      await Promise.all([seen, fired]);
      await forgetWorker(db, name).catch(() => {});
      await listener[Symbol.asyncDispose]();
    },
  };
}

/** Counts the use of the store while the process runs, so that an old backup is noticed later. */
export function countUses(
  resources: StoreAndDatabase,
  onError: (error: Error) => void,
): ReturnType<typeof setInterval> {
  const timer = setInterval(() => claimStore(resources).catch(onError), COUNT_EVERY_MS);
  Deno.unrefTimer(timer);
  return timer;
}

/** Whether the database answers. */
export async function ping(db: Database): Promise<boolean> {
  const options = { action: "ping", deadlineMs: PING_DEADLINE_MS };
  return (await execute(db, db.sql`select 1`, options)).length === 1;
}

/** A condition of readiness: the store answers, and has its marker. */
export function storeCheck(store: BlobStore): Check {
  let last: { readonly at: number; readonly holds: Promise<boolean> } | undefined;
  return () => {
    if (last === undefined || performance.now() - last.at > STORE_CHECK_EVERY_MS) {
      const signal = AbortSignal.timeout(PING_DEADLINE_MS);
      const holds = readMarker(store, { signal }).then((found) => found !== undefined, () => false);
      last = { at: performance.now(), holds };
    }
    return last.holds;
  };
}
