/**
 * Opens a worker with its handlers, listener, metrics and log.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import { execute } from "../db/client/execute.ts";
import { CATALOG } from "../db/shards/shard.ts";
import type { Check } from "../http/probes.ts";
import { countWithoutLease } from "../jobs/queue/count_without_lease.ts";
import { listFired } from "../jobs/schedules/copy_fired.ts";
import { fireSchedules } from "../jobs/schedules/fire.ts";
import { NO_REPO } from "../jobs/schedules/task.ts";
import { Forwarder } from "../jobs/shards/forwarder.ts";
import { ServerListeners } from "../jobs/shards/server_listeners.ts";
import { openShardPart } from "../jobs/shards/open_shard_part.ts";
import { SharedPauses } from "../jobs/shards/shared_pauses.ts";
import { ShardWorkers } from "../jobs/shards/shard_workers.ts";
import { Listener } from "../jobs/worker/listener.ts";
import { openPart } from "../jobs/worker/open_part.ts";
import { Slots } from "../jobs/worker/slots.ts";
import type { WorkerEvent } from "../jobs/worker/worker_event.ts";
import { WorkerMetrics } from "../jobs/worker/worker_metrics.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { readMarker } from "../stream/store/store_marker.ts";
import { logEvents, logNativeHash, logShard, logShardError, logWithoutLease } from "./log.ts";
import { jobPermissions, requirePermissions } from "./permissions.ts";
import type { Resources } from "./resources.ts";
import { VERSION } from "./version.ts";
import { workerName } from "./worker_name.ts";

const PING_DEADLINE_MS = 2_000;
/** Probes come every few seconds, also to a store that asks money for each request. */
const STORE_CHECK_EVERY_MS = 5_000;
/** How late a schedule may fire. */
const FIRE_EVERY_MS = 10_000;
/** The texts of notifications that are not about the catalog's own jobs: see channels_1.sql. */
const SHARDS = "shards", RESUMED = "resumed";

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
  /** Shards whose jobs were not run, because they could not be opened; only with `untilEmpty`. */
  readonly away: ReadonlyMap<string, Error>;
  /** The conditions of readiness. */
  readonly checks: Readonly<Record<string, Check>>;
}

/** What a worker works with. */
export type WorkerResources = Pick<Resources, "db" | "store" | "connect" | "shards" | "at">;

/**
 * Opens a worker. It listens for new jobs, but runs none before `run()`.
 *
 * @param names The shards to work for, `catalog` among them or not; undefined: the catalog and all.
 */
export function openWorker(
  { db, store, connect, shards: pools, at }: WorkerResources,
  config: Config,
  { signal, force, untilEmpty }: WorkerEnd,
  names?: ReadonlySet<string>,
): OpenedWorker {
  const { concurrency, pollMs } = config;
  requirePermissions(jobPermissions());
  const name = workerName(config.home);
  const log = logEvents(name);
  if (config.hash === "native" && config.libcrypto === undefined) logNativeHash(name);
  const metrics = new WorkerMetrics({
    sources: () => [catalog, ...shards.parts].flatMap((part) => part?.source ?? []),
    shardsUp: () => shards.states,
  });
  const observe = (event: WorkerEvent, shard?: string) => {
    metrics.observe(event, shard);
    log(event, shard);
  };
  const pauses = new SharedPauses(db);
  const forwarder = new Forwarder({
    catalog: db,
    at: (shard) => shards.at(shard),
    onError: (error, shard) => logShardError(name, error, shard),
    onDue: () => catalog?.wake(""),
    signal,
  });
  const ofAll = {
    config,
    shards: pools,
    worker: name,
    version: VERSION,
    slots: new Slots(concurrency),
    force,
    untilEmpty,
  };
  const catalog = names?.has(CATALOG) === false ? undefined : openPart({
    ...ofAll,
    db,
    store,
    signal,
    observe(event) {
      observe(event);
      // A schedule has fired: its jobs in the shards need not wait for the next look.
      if (event.type === "claimed" && event.jobs.some(({ repoId }) => repoId === NO_REPO)) {
        carryOrTell();
      }
    },
    forward: (jobs) => forwarder.forward(jobs),
    onSeen: (hasShards) => {
      if (hasShards && shards.states.size === 0) shards.read();
    },
  });
  countWithoutLease(db).then((jobs) => jobs > 0 && logWithoutLease(name, jobs), () => {});
  const begin = Promise.withResolvers<void>();
  if (!untilEmpty) begin.resolve();
  const shards = new ShardWorkers({
    pools,
    names,
    begin: begin.promise,
    async open(shard, signal) {
      const opened = await at({ shard: shard.name, version: shard.version });
      return await openShardPart({
        ...ofAll,
        ...opened,
        signal,
        observe(event) {
          observe(event, shard.name);
          if (event.type === "ended") forwarder.wake();
        },
        onAway: (error) => shards.note(shard.name, error),
        readPauses: () => pauses.read(opened.db),
      }, { listeners, url: pools.urlOf(shard) });
    },
    onChange: (shard, error) => logShard(name, shard, error),
    onEnd: (shard) => metrics.forget(shard),
    onError: (error) => logShardError(name, error),
    signal,
    untilEmpty,
  });
  const listener = new Listener({
    connect,
    onWake(text) {
      if (text === undefined || text === SHARDS) shards.read();
      if (text === RESUMED) {
        pauses.forget();
        shards.wake();
      }
      if (text !== SHARDS) catalog?.wake(text);
    },
    onChange: (error) => observe({ type: "listener", error }),
  });
  const listeners = new ServerListeners({ listener, url: pools.urlOf(undefined) });
  const carry = async () => {
    if (shards.parts.length === 0) return;
    const fired = await listFired(db);
    // A shard that is away gets it when it is back.
    await Promise.all(shards.parts.map((part) => part.carry(fired).catch(() => {})));
  };
  const tell = (error: Error) => observe({ type: "queue-error", error });
  const carryOrTell = () => carry().catch(tell);
  const fireOrTell = () => fireSchedules(db).then(carry).catch(tell);
  const isFiring = !untilEmpty && catalog !== undefined;
  let fired = isFiring && !signal.aborted ? fireOrTell() : Promise.resolve();
  const firing = isFiring ? setInterval(() => fired = fireOrTell(), FIRE_EVERY_MS) : undefined;
  if (firing !== undefined) Deno.unrefTimer(firing);
  return {
    async run() {
      const others = shards.run();
      if (!untilEmpty) {
        await Promise.all([catalog?.run(), others, catalog && forwarder.run()]);
        return;
      }
      // First what the catalog forwards, then what is in the shards, then what came of it.
      await shards.opened;
      await catalog?.run();
      begin.resolve();
      await others;
      if (catalog && shards.states.size > 0) await forwarder.follow().catch(() => {});
    },
    metrics,
    get away() {
      return shards.away;
    },
    checks: {
      database: () => ping(db),
      store: storeCheck(store),
      not_draining: () => !signal.aborted,
      polled_lately: () =>
        catalog === undefined || catalog.silentMs < 3 * pollMs + config.databaseTimeoutMs,
    },
    async [Symbol.asyncDispose]() {
      clearInterval(firing);
      await fired;
      await catalog?.[Symbol.asyncDispose]();
      await listeners[Symbol.asyncDispose]();
      await listener[Symbol.asyncDispose]();
    },
  };
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
