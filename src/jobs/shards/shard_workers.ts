/**
 * A worker for each shard, as the catalog has them: shards may be added, moved and removed while a
 * process runs, and a server that is away concerns its own shards only.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import type { Shard } from "../../db/shards/shard.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import { ConfigError } from "../../errors.ts";
import { LinkedAbort } from "../../lib/abort.ts";
import { sleep } from "../../lib/sleep.ts";

/** How often the catalog is read while it has shards, besides its notifications. */
const READ_MS = 3_000;
const MIN_RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;

/** What works for one shard, on its open database. */
export interface ShardPart extends AsyncDisposable {
  readonly db: Database;
  /** Works until its signal fires, and then until its jobs have ended. Never throws. */
  run(): Promise<void>;
  wake(text?: string): void;
}

/** How to work for shards. */
export interface ShardWorkersOptions<Part extends ShardPart> {
  readonly pools: ShardPools;
  /** The names of the shards; undefined: all. */
  readonly names?: ReadonlySet<string>;
  /** Opens what works for a shard until `signal` fires. */
  readonly open: (shard: Shard, signal: AbortSignal) => Promise<Part>;
  /** Told when a shard is away (an error), and when it answers (again). */
  readonly onChange: (shard: string, error?: Error) => void;
  /** Told when this process works for a shard no longer. */
  readonly onEnd: (shard: string) => void;
  /** Told when the catalog cannot be read. */
  readonly onError: (error: Error) => void;
  readonly signal: AbortSignal;
  /** Whether to look once, and to return when no shard that answers has a job that is due. */
  readonly untilEmpty?: boolean;
  /** What to wait for before jobs are run. */
  readonly begin?: Promise<void>;
  /** Milliseconds between two looks at the catalog. Default 3,000. */
  readonly readMs?: number;
}

/** One shard under one URL. */
interface Life<Part> {
  readonly name: string;
  readonly version: number;
  readonly stop: LinkedAbort;
  readonly ended: Promise<void>;
  /** Settled when it was opened, or could not be. */
  readonly opened: PromiseWithResolvers<void>;
  part?: Part;
  /** Whether it answers; undefined: it was not asked yet. */
  isUp?: boolean;
}

/** Follows the catalog. One `run()` is its whole life. */
export class ShardWorkers<Part extends ShardPart> {
  readonly #options: ShardWorkersOptions<Part>;
  /** The lives that claim, by shard. */
  readonly #lives = new Map<string, Life<Part>>();
  /** All that have not ended: those of before a move let their jobs end. */
  readonly #ending = new Set<Life<Part>>();
  readonly #away = new Map<string, Error>();
  readonly #opened = Promise.withResolvers<void>();
  #pause = new AbortController();

  constructor(options: ShardWorkersOptions<Part>) {
    this.#options = options;
  }

  /** The database of a shard that answers, and whose jobs may run. */
  at(shard: string): Database | undefined {
    const life = this.#lives.get(shard);
    return life?.isUp ? life.part?.db : undefined;
  }

  /** Each shard that works here, and whether it answers. */
  get states(): ReadonlyMap<string, boolean> {
    return new Map([...this.#lives].map(([name, { isUp }]) => [name, isUp === true]));
  }

  /** What works for the shards that answer. */
  get parts(): readonly Part[] {
    return [...this.#lives.values()].flatMap(({ part, isUp }) => isUp && part ? [part] : []);
  }

  /** Shards that could not be opened, if it ends with the jobs. */
  get away(): ReadonlyMap<string, Error> {
    return this.#away;
  }

  /** Settled when each shard of the first look was opened, or could not be. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Reads the catalog now. */
  read(): void {
    this.#pause.abort();
  }

  /** Makes all shards' workers look at their queues. */
  wake(): void {
    for (const { part } of this.#lives.values()) part?.wake();
  }

  /** Notes that a shard could not be used, or could be used again. */
  note(shard: string, error?: Error): void {
    const life = this.#lives.get(shard);
    if (life !== undefined) this.#setUp(shard, life, error);
  }

  /** Works for the shards until `signal` fires. Never throws. */
  async run(): Promise<void> {
    const { signal, untilEmpty, onError, readMs = READ_MS } = this.#options;
    for (let isRead = false; !signal.aborted;) {
      this.#pause = new AbortController();
      try {
        const found = await this.#options.pools.all();
        this.#follow(found.flatMap(({ shard }) => shard ?? []));
        if (!isRead) this.#noteOpened();
        isRead = true;
      } catch (error) {
        onError(error as Error);
      }
      if (isRead && untilEmpty) break;
      const ended = AbortSignal.any([signal, this.#pause.signal]);
      // Without shards only a notification, or whoever counts them now and then, calls read().
      if (isRead && this.#lives.size === 0) await untilAborted(ended);
      else await sleep(readMs, ended).catch(() => {});
    }
    if (signal.aborted) this.#opened.resolve();
    while (this.#ending.size > 0) {
      await Promise.all([...this.#ending].map(({ ended }) => ended));
    }
  }

  #noteOpened(): void {
    const opened = [...this.#lives.values()].map(({ opened }) => opened.promise);
    Promise.all(opened).then(() => this.#opened.resolve());
  }

  #follow(found: readonly Shard[]): void {
    const { names, signal, untilEmpty, onEnd } = this.#options;
    const wanted = new Map(
      found.filter(({ name, state }) => state !== "moving" && (names?.has(name) ?? true))
        .map((shard) => [shard.name, shard]),
    );
    for (const [name, life] of this.#lives) {
      if (wanted.get(name)?.version === life.version) continue;
      this.#lives.delete(name);
      life.stop.abort(undefined);
    }
    if (signal.aborted) return;
    for (const [name, shard] of wanted) {
      if (this.#lives.has(name)) continue;
      const stop = new LinkedAbort(signal);
      const life: Life<Part> = {
        name,
        version: shard.version,
        stop,
        ended: Promise.resolve(),
        opened: Promise.withResolvers<void>(),
      };
      this.#lives.set(name, life);
      this.#ending.add(life);
      const ended = this.#live(shard, life).finally(() => {
        stop[Symbol.dispose]();
        this.#ending.delete(life);
        if (![...this.#ending].some((other) => other.name === name)) onEnd(name);
        if (!untilEmpty && this.#lives.get(name) === life) this.#lives.delete(name);
      });
      Object.assign(life, { ended });
    }
  }

  async #live(shard: Shard, life: Life<Part>): Promise<void> {
    const { name } = shard, { signal } = life.stop;
    let retryMs = MIN_RETRY_MS;
    while (!signal.aborted) {
      try {
        life.part = await this.#options.open(shard, signal);
        break;
      } catch (error) {
        this.#setUp(name, life, error as Error);
        if (this.#options.untilEmpty) {
          this.#away.set(name, error as Error);
          break;
        }
        await sleep(retryMs * (0.5 + Math.random() / 2), signal).catch(() => {});
        retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
      }
    }
    if (life.part !== undefined) this.#setUp(name, life);
    life.opened.resolve();
    if (life.part === undefined) return;
    await using part = life.part;
    await this.#options.begin;
    await part.run();
  }

  #setUp(name: string, life: Life<Part>, error?: Error): void {
    const isUp = error === undefined;
    if (life.isUp === isUp || life.stop.signal.aborted) return;
    life.isUp = isUp;
    this.#options.onChange(name, error);
  }
}

/**
 * Reads which shards `--shards` means.
 *
 * @param text Names with commas; `catalog` is the catalog itself.
 * @param known The names that exist.
 * @throws {ConfigError} If there is no such shard.
 */
export function readShardNames(text: string, known: readonly string[]): Set<string> {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if (known.includes(name)) continue;
    throw new ConfigError(
      `Cannot work for shard ${JSON.stringify(name)}: there is none of that name, ` +
        `only ${known.join(", ")}`,
    );
  }
  return new Set(names);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
