import type { Database } from "../../db/client/database.ts";
import { sleep } from "../../lib/sleep.ts";
import { type Pauses, readPauses } from "../schedules/pauses.ts";

/** How long what the catalog says may be out of date. */
const MAX_AGE_MS = 1_000;
/** If the catalog does not answer, what it said last counts: it must not hold up the shards. */
const WAIT_MS = 250;

/**
 * What is paused in a shard: what the catalog says, for all shards, and what the shard itself says.
 * The shards' workers of a process share one look at the catalog.
 */
export class SharedPauses {
  readonly #catalog: Database;
  #said: Pauses = { isAll: false, types: [], repoIds: [] };
  #readAt = -Infinity;
  #reading: Promise<void> | undefined;

  constructor(catalog: Database) {
    this.#catalog = catalog;
  }

  /** Reads what is paused in a shard. */
  async read(db: Database): Promise<Pauses> {
    const own = await readPauses(db);
    if (performance.now() - this.#readAt >= MAX_AGE_MS) {
      this.#reading ??= this.#readCatalog();
      const stop = new AbortController();
      await Promise.race([this.#reading, sleep(WAIT_MS, stop.signal).catch(() => {})]);
      stop.abort();
    }
    const said = this.#said;
    return {
      isAll: own.isAll || said.isAll,
      types: [...own.types, ...said.types],
      repoIds: [...own.repoIds, ...said.repoIds],
    };
  }

  /** Makes the next look ask the catalog: a pause has ended. */
  forget(): void {
    this.#readAt = -Infinity;
  }

  async #readCatalog(): Promise<void> {
    try {
      this.#said = await readPauses(this.#catalog);
    } catch {
      // The catalog's own worker says that it is away.
    } finally {
      this.#readAt = performance.now();
      this.#reading = undefined;
    }
  }
}
