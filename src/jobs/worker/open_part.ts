/**
 * What works for one database, a catalog or a shard: a worker, and a deliverer of webhooks.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import type { Database } from "../../db/client/database.ts";
import { countAtLimits } from "../../db/quotas/quotas.ts";
import { forgetWorker, seeWorker } from "../../db/workers.ts";
import { parseAddresses } from "../../lib/addresses.ts";
import { claimStore } from "../../maintenance/store_owner.ts";
import { countUses } from "../../maintenance/store_uses.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { mpackdHandlers } from "../handlers.ts";
import { countJobs } from "../queue/count_jobs.ts";
import { countWithoutLease } from "../queue/count_without_lease.ts";
import { Deliverer } from "../webhooks/deliverer.ts";
import type { Slots } from "./slots.ts";
import { traced } from "./tracing.ts";
import { Worker, type WorkerOptions } from "./worker.ts";
import type { Observer } from "./worker_event.ts";
import { type GaugeSource, gaugeSource } from "./worker_metrics.ts";

/** The text of a notification about webhooks: see webhooks_1.sql. */
const WEBHOOKS = "webhooks";
/** A sixth of the time after which a silent worker counts as gone. */
const SEEN_EVERY_MS = 10_000;

/** What a part works with. */
export interface PartOptions extends Pick<WorkerOptions, "forward" | "readPauses" | "untilEmpty"> {
  readonly db: Database;
  readonly store: BlobStore;
  readonly config: Config;
  /** The catalog's other databases. */
  readonly shards: ShardPools;
  /** The name left on the rows of its jobs. */
  readonly worker: string;
  /** The release it runs. */
  readonly version: string;
  /** Shared by all parts of a process. */
  readonly slots: Slots;
  readonly observe: Observer;
  /** Stops claiming. */
  readonly signal: AbortSignal;
  /** Releases running jobs at once. */
  readonly force: AbortSignal;
  /** Told when claims fail, and when they work again (no error). */
  readonly onAway?: (error?: Error) => void;
  /** Told now and then whether the database has shards. */
  readonly onSeen?: (hasShards: boolean) => void;
}

/** A worker and a deliverer that are ready to run. */
export interface Part extends AsyncDisposable {
  readonly db: Database;
  /** What the gauges read. */
  readonly source: GaugeSource;
  /** Milliseconds since its last claim; 0 while it needs no jobs. */
  readonly silentMs: number;
  /** Runs jobs and delivers to webhooks, until it is stopped. Never throws. */
  run(): Promise<void>;
  /** Makes it look at its queue now; with the text of a notification, only where that says so. */
  wake(text?: string): void;
}

/** Opens a part. It runs nothing before `run()`. */
export function openPart(options: PartOptions): Part {
  const { db, store, config, worker: name, version, slots, observe, signal, force } = options;
  const { perRepo, pollMs, drainMs, leaseMs } = config, { untilEmpty, onSeen, onAway } = options;
  const worker = new Worker({
    db,
    handlers: traced(mpackdHandlers({
      db,
      store,
      config,
      shards: options.shards,
      onProgress: (progress, job) => observe({ type: "progress", job, progress }),
      onStartOver: (reason, job) => observe({ type: "start-over", job, reason }),
    })),
    worker: name,
    leaseMs,
    concurrency: slots.capacity,
    slots,
    perRepo,
    pollMs,
    drainMs,
    signal,
    force,
    observe(event) {
      observe(event);
      if (event.type === "queue-error") onAway?.(event.error);
      if (event.type === "queue-works") onAway?.();
    },
    untilEmpty,
    forward: options.forward,
    readPauses: options.readPauses,
  });
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
  const counting = countUses(
    () => claimStore({ db, store, config, signal }),
    (error) => observe({ type: "queue-error", error }),
  );
  // Only people look at it, so a failure is no reason to say more than the queue's own errors do.
  const see = () =>
    seeWorker(db, {
      worker: name,
      version,
      concurrency: slots.capacity,
      running: worker.running,
      isDraining: signal.aborted,
    }).then(onSeen, () => {});
  let seen = see();
  const seeing = setInterval(() => seen = see(), SEEN_EVERY_MS);
  Deno.unrefTimer(seeing);
  return {
    db,
    source: gaugeSource({
      shard: db.shard,
      countJobs: () => countJobs(db),
      countWithoutLease: () => countWithoutLease(db),
      countAtLimits: () => countAtLimits(db, quotaDefaultsOf(config)),
      running: () => worker.running,
    }),
    get silentMs() {
      return worker.silentMs;
    },
    async run() {
      await Promise.all([worker.run(), deliverer.run()]);
    },
    wake(text) {
      worker.wake();
      if (text === undefined || text === WEBHOOKS) deliverer.wake();
    },
    async [Symbol.asyncDispose]() {
      clearInterval(counting);
      clearInterval(seeing);
      await seen;
      await forgetWorker(db, name).catch(() => {});
    },
  };
}
