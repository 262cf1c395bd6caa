/**
 * What the death of one of two servers costs the jobs of the other one's shards.
 *
 * @module
 */

import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { ShardPools } from "../../src/db/shards/shard_pools.ts";
import { completeJob } from "../../src/jobs/queue/complete_job.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { ServerListeners } from "../../src/jobs/shards/server_listeners.ts";
import { ShardWorkers } from "../../src/jobs/shards/shard_workers.ts";
import { Listener } from "../../src/jobs/worker/listener.ts";
import { Slots } from "../../src/jobs/worker/slots.ts";
import { Worker } from "../../src/jobs/worker/worker.ts";
import { startTestServer } from "../../tests/support/postgres/test_server.ts";
import { addRepoIn, addShard } from "../../tests/support/shards/catalog_with.ts";
import type { Percentiles } from "./measure.ts";

const SHARDS_PER_SERVER = 8, TYPE = "noop", CONCURRENCY = 4;
const PAUSE_MS = 10, WARM_UP = 50;
/** Both servers, one of them killed, and so on: what else the machine does falls on both. */
const ROUNDS = 6;

/** Waits of the jobs of one server's shards. */
export interface ShardWaits {
  /** While both servers are there. */
  readonly both: Percentiles;
  /** From when the other one is killed, until it is started again. */
  readonly killed: Percentiles;
  /** The longest of each. */
  readonly longest: { readonly both: number; readonly killed: number };
  /** How many times as long the 99th percentile was, by round, in order. */
  readonly ratios: readonly number[];
}

/** Measures the time from an enqueue to the start of the job, in `samples` jobs of each kind. */
export async function shardWaits(
  settings: Readonly<Record<string, string>>,
  { samples }: { readonly samples: number },
): Promise<ShardWaits> {
  await using first = await startTestServer({ settings });
  await using second = await startTestServer({ settings });
  await using stack = new AsyncDisposableStack();
  const catalog = stack.adopt(
    connectDatabase(first.url, { maxConnections: 4 }),
    (db) => db.close(),
  );
  await migrate(catalog);
  const shards: Database[] = [];
  for (const [at, { url }] of [first, second].entries()) {
    for (let i = 0; i < SHARDS_PER_SERVER; i++) {
      const shard = await addShard({ db: catalog, url: first.url }, `s${at}_${i}`, url);
      stack.defer(() => shard.close());
      await addRepoIn(catalog, shard, `repo-${at}-${i}`);
      shards.push(shard);
    }
  }
  let begun = () => {};
  await using workers = startWorkers(catalog, first.url, () => begun());
  const sample = async (number: number) => {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const { promise, resolve } = Promise.withResolvers<void>();
    begun = resolve;
    const at = performance.now(), i = number % SHARDS_PER_SERVER;
    const payload = { mpack_key: crypto.randomUUID() };
    await enqueue(shards[i], { repoId: `repo-0-${i}`, jobType: TYPE, payload });
    await promise;
    return performance.now() - at;
  };
  const both: number[] = [], killed: number[] = [], ratios: number[] = [];
  const measure = async (into: number[], count: number) => {
    const found: number[] = [];
    for (let i = 0; i < count; i++) found.push(await sample(i));
    into.push(...found);
    return percentiles(found).p99;
  };
  for (let round = 0; round < ROUNDS; round++) {
    await workers.reached(2 * SHARDS_PER_SERVER);
    await measure([], WARM_UP);
    const before = await measure(both, samples / ROUNDS);
    await second.kill();
    ratios.push(await measure(killed, samples / ROUNDS) / before);
    await second.start();
  }
  await workers.reached(2 * SHARDS_PER_SERVER);
  return {
    both: percentiles(both),
    killed: percentiles(killed),
    longest: { both: Math.max(...both), killed: Math.max(...killed) },
    ratios: ratios.sort((a, b) => a - b),
  };
}

/** What `mpackd worker` runs, with a job that does nothing. */
function startWorkers(catalog: Database, catalogUrl: string, onJob: () => void) {
  const stop = new AbortController(), { signal } = stop, slots = new Slots(CONCURRENCY);
  const pools = new ShardPools({ catalog, catalogUrl, maxConnections: CONCURRENCY + 2 });
  const listener = new Listener({
    connect: (options) => connectDatabase(catalogUrl, options),
    onWake: () => {},
  });
  const listeners = new ServerListeners({ listener, url: catalogUrl });
  const workers = new ShardWorkers({
    pools,
    async open(shard, signal) {
      const { db } = await pools.at({ shard: shard.name, version: shard.version });
      const [{ channel }] = await db.sql`select mpackd_channel_1() as channel`;
      const worker = new Worker({
        db,
        handlers: {
          async [TYPE](job) {
            onJob();
            await completeJob(db, job, {});
            return {};
          },
        },
        ...{ worker: "bench", leaseMs: 30_000, concurrency: CONCURRENCY, slots, perRepo: 100 },
        ...{ pollMs: 5_000, drainMs: 0, signal },
        observe(event) {
          if (event.type === "queue-error") workers.note(shard.name, event.error);
          if (event.type === "queue-works") workers.note(shard.name);
        },
      });
      const leave = listeners.hear(pools.urlOf(shard), {
        channel,
        onWake: () => worker.wake(),
        onChange: (error) => error && worker.wake(),
      });
      return {
        db,
        run: () => worker.run(),
        wake: () => worker.wake(),
        [Symbol.asyncDispose]: leave,
      };
    },
    onChange: () => {},
    onEnd: () => {},
    onError: () => {},
    signal,
  });
  const over = workers.run();
  return {
    /** Waits until so many shards answer. */
    async reached(count: number): Promise<void> {
      while (workers.parts.length < count) await new Promise((resolve) => setTimeout(resolve, 50));
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await over;
      await listeners[Symbol.asyncDispose]();
      await listener[Symbol.asyncDispose]();
      await pools[Symbol.asyncDispose]();
    },
  };
}

function percentiles(found: number[]): Percentiles {
  found.sort((a, b) => a - b);
  return {
    p50: found[Math.floor(0.5 * found.length)],
    p99: found[Math.floor(0.99 * found.length)],
  };
}
