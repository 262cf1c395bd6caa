/**
 * Clients of one shard that read from the catalog where it is, as servers do.
 *
 * @module
 */

import { loadConfig } from "../../../src/config/config.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { DatabaseError } from "../../../src/errors.ts";
import { indexHandler } from "../../../src/jobs/index/index_handler.ts";
import { MPACK_INDEX } from "../../../src/jobs/index/payload.ts";
import { pushMpack } from "../../../src/jobs/index/push_mpack.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { Worker } from "../../../src/jobs/worker/worker.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { buildMpack, mpackKey, object } from "../mpack/mpacks.ts";
import type { ShardedCatalog } from "./two_servers.ts";
import { until } from "../until.ts";
import type { Shard } from "../../../src/db/shards/shard.ts";

const ENCODER = new TextEncoder();

/** A pack of one object with this text. */
export function packOf(text: string): Uint8Array {
  return buildMpack({ objects: [object({ content: ENCODER.encode(text) })] });
}

/** A pool on the shard where it was when it was last looked at. */
export class RoutedShard {
  readonly #test: ShardedCatalog;
  readonly #pools = new Map<string, Database>();
  #current: Database | undefined;

  constructor(test: ShardedCatalog) {
    this.#test = test;
  }

  /** Does something in the shard, and again where it is then if it has moved. */
  async do<T>(work: (db: Database) => Promise<T>): Promise<T> {
    for (;;) {
      this.#current ??= await this.#open();
      try {
        return await work(this.#current);
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.code !== "shard-moved") throw error;
        this.#current = undefined;
      }
    }
  }

  async #open(): Promise<Database> {
    let shard: Shard | undefined;
    await until("the shard does not move", async () => {
      shard = await findShard(this.#test.catalog, "s1");
      return shard!.state !== "moving";
      // Longer than any failover in its middle: what fails there says more.
    }, { found: () => shard, withinMs: 400_000 });
    const known = this.#pools.get(shard!.url) ?? this.#test.open(shard!.url);
    this.#pools.set(shard!.url, known);
    return known;
  }
}

/** A client of one repo. */
interface ClientOptions {
  readonly store: BlobStore;
  readonly repoId: string;
  /** What its packs begin with. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/** Pushes packs until it is stopped; returns the keys of those that the server has accepted. */
export async function keepPushing(
  shard: RoutedShard,
  { store, repoId, name, signal }: ClientOptions,
): Promise<string[]> {
  const keys: string[] = [];
  for (let n = 0; !signal.aborted; n++) {
    const bytes = packOf(`${name} ${n}`), key = mpackKey(bytes);
    const body = () => ReadableStream.from([bytes]);
    await shard.do((db) =>
      pushMpack({
        db,
        store,
        config: loadConfig({}),
        repoId,
        mpackKey: key,
        sizeBytes: bytes.length,
        body: body(),
        worker: name,
      })
    );
    keys.push(key);
    await sleep(5);
  }
  return keys;
}

/** Stores packs and queues them until it is stopped; returns their keys. */
export async function keepQueueing(
  shard: RoutedShard,
  { store, repoId, name, signal }: ClientOptions,
): Promise<string[]> {
  const keys: string[] = [];
  for (let n = 0; !signal.aborted; n++) {
    const bytes = packOf(`${name} ${n}`), key = mpackKey(bytes);
    await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]), {
      sizeBytes: bytes.length,
    });
    const job = { repoId, jobType: MPACK_INDEX, payload: { mpack_key: key } };
    await shard.do((db) => enqueue(db, job));
    keys.push(key);
    await sleep(10);
  }
  return keys;
}

/** A worker on one place of the shard. It does not look whether the shard moves. */
export function workerOn(
  db: Database,
  store: BlobStore,
  options: { readonly signal: AbortSignal; readonly untilEmpty?: boolean },
): Worker {
  return new Worker({
    db,
    handlers: { [MPACK_INDEX]: indexHandler({ db, store, config: loadConfig({}) }) },
    worker: crypto.randomUUID(),
    leaseMs: 5_000,
    concurrency: 2,
    perRepo: 2,
    pollMs: 50,
    drainMs: 1_000,
    ...options,
  });
}
