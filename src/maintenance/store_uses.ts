/**
 * Counts the use of stores while a process runs, so that an old backup is noticed later.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import type { Shard } from "../db/shards/shard.ts";
import type { ShardPools } from "../db/shards/shard_pools.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { claimStore } from "./store_owner.ts";

const COUNT_EVERY_MS = 60_000;

/** Counts every minute, until the process ends or the timer is cleared. */
export function countUses(
  count: () => Promise<unknown>,
  onError: (error: Error) => void,
): ReturnType<typeof setInterval> {
  const timer = setInterval(() => count().catch(onError), COUNT_EVERY_MS);
  Deno.unrefTimer(timer);
  return timer;
}

/** What a server uses. */
interface UsesOptions {
  /** The catalog. */
  readonly db: Database;
  /** The catalog's. */
  readonly store: BlobStore;
  readonly config: Config;
  readonly shards: ShardPools;
  readonly signal?: AbortSignal;
}

/** The stores that a server uses: the catalog's, and those of the shards that it has opened. */
export class StoreUses {
  readonly #options: UsesOptions;
  readonly #opened = new Map<
    string,
    { readonly version: number; readonly db: Database; readonly store: BlobStore }
  >();

  constructor(options: UsesOptions) {
    this.#options = options;
  }

  /** Notes that a shard is used from now on. */
  add({ name, version }: Shard, db: Database, store: BlobStore): void {
    this.#opened.set(name, { version, db, store });
  }

  /**
   * Counts one use of each. Not of a shard that is being moved or is elsewhere now: the database that
   * was opened is no longer its own.
   *
   * @throws What the first one that failed threw, after the others were counted.
   */
  async count(): Promise<void> {
    const { db, store, config, shards, signal } = this.#options;
    const all = this.#opened.size === 0 ? [] : await shards.all();
    const uses = all.flatMap(({ shard }) => {
      const use = shard && this.#opened.get(shard.name);
      const isThere = use?.version === shard?.version && shard?.state !== "moving";
      return use !== undefined && isThere ? [use] : [];
    });
    const counted = await Promise.allSettled(
      [{ db, store }, ...uses].map((use) => claimStore({ ...use, config, signal })),
    );
    const failed = counted.find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}
