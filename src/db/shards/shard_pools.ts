/**
 * The pools of a catalog's shards.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { addSecrets, passwordsOf } from "../../lib/redact.ts";
import { ConnectionBudget } from "../client/connection_budget.ts";
import { connectDatabase, type ConnectOptions } from "../client/connect.ts";
import type { Database } from "../client/database.ts";
import { readIdentity } from "../store_owner.ts";
import { findShard, listShards, requireShard } from "./catalog.ts";
import { CATALOG, type RepoHome, type Shard, shardUrl, standbyUrl } from "./shard.ts";

/** A connection that nobody has used for so long is closed. */
const IDLE_MS = 10_000;
/**
 * Connections are opened anew after this. They are used in turn, so that a pool which needs one of
 * its eight leaves none idle.
 */
const LIFETIME_MS = 60_000;

/** Repos of a shard that are remembered. */
const MOST_COPIED = 10_000;

/** How to reach the shards. */
export interface ShardPoolsOptions {
  /** The database that knows the shards. Who opened it closes it. */
  readonly catalog: Database;
  /** Completes the URLs of shards. */
  readonly catalogUrl: string;
  /** Connections of all shards together, besides one for each that is used. The catalog has its own. */
  readonly maxConnections: number;
  /** Milliseconds a statement may take unless its caller says otherwise. Default 30,000. */
  readonly statementTimeoutMs?: number;
  /** The name shown in `pg_stat_activity`. Default `mpackd`. */
  readonly applicationName?: string;
  /** Opens a pool in place of `connectDatabase()`: an embedded server may change its port. */
  readonly connect?: (url: string, options: ConnectOptions) => Database;
}

/** The database of some repos. */
export interface OpenShard {
  /** The shard's name, or `catalog`. */
  readonly name: string;
  /** Undefined: the catalog itself. */
  readonly shard: Shard | undefined;
  /** Its pool. */
  readonly db: Database;
  /**
   * Repos whose row it is known to have a copy of.
   *
   * @ignore
   */
  readonly copied: { has(repoId: string): boolean; add(repoId: string): void };
}

/** A database that is opened when it is needed. */
export interface ShardToOpen extends Omit<OpenShard, "db" | "copied"> {
  /**
   * Opens it.
   *
   * @throws As {@link ShardPools.at}.
   */
  open(): Promise<Database>;
}

interface Entry {
  readonly version: number;
  readonly opened: Promise<OpenShard>;
}

/**
 * Opens each shard's pool when it is first needed. A shard that cannot be reached fails those who
 * asked for it, and is tried again by the next one.
 */
export class ShardPools implements AsyncDisposable {
  readonly #options: ShardPoolsOptions;
  readonly #budget: ConnectionBudget;
  readonly #entries = new Map<string, Entry>();
  /** Every pool. One of an old version has no connections soon after its last statement. */
  readonly #pools = new Set<Database>();
  readonly #catalog: OpenShard;
  #catalogId: Promise<string> | undefined;
  #listed: { readonly at: number; readonly shards: Promise<Shard[]> } | undefined;

  /** Connects to nothing yet. */
  constructor(options: ShardPoolsOptions) {
    this.#options = options;
    this.#budget = new ConnectionBudget(options.maxConnections);
    this.#catalog = {
      name: CATALOG,
      shard: undefined,
      db: options.catalog,
      copied: new Set(),
    };
  }

  /** The database that knows the shards. */
  get catalog(): Database {
    return this.#options.catalog;
  }

  /**
   * Opens a pool of another database in the same way.
   *
   * @ignore
   */
  get connect(): (url: string, options: ConnectOptions) => Database {
    return this.#options.connect ?? connectDatabase;
  }

  /**
   * The database of a repo. Once it is open, this sends no statement.
   *
   * @param home Undefined: the catalog.
   * @throws {DatabaseError} If the shard cannot be reached.
   * @throws {ConfigError} If there is no such shard, or its URL leads to another schema.
   */
  async at(home: RepoHome | undefined): Promise<OpenShard> {
    if (home === undefined) return this.#catalog;
    const known = this.#entries.get(home.shard);
    if (known !== undefined && known.version >= home.version) return await known.opened;
    const shard = await findShard(this.#options.catalog, home.shard);
    if (shard !== undefined) return await this.#open(shard);
    throw new ConfigError(`Cannot find shard ${home.shard}: "mpackd shard list" shows all`);
  }

  /**
   * The catalog, then its shards by name.
   *
   * @param options.maxAgeMs How old the list may be, in milliseconds. Default 0: one look at the
   * catalog.
   */
  async all({ maxAgeMs = 0 }: { readonly maxAgeMs?: number } = {}): Promise<ShardToOpen[]> {
    const shards = await this.#list(maxAgeMs);
    return [
      { name: CATALOG, shard: undefined, open: () => Promise.resolve(this.#catalog.db) },
      ...shards.map((shard) => ({
        name: shard.name,
        shard,
        open: async () => (await this.#open(shard)).db,
      })),
    ];
  }

  #list(maxAgeMs: number): Promise<Shard[]> {
    const now = performance.now();
    if (this.#listed !== undefined && now - this.#listed.at < maxAgeMs) return this.#listed.shards;
    const listed = { at: now, shards: listShards(this.#options.catalog) };
    this.#listed = listed;
    listed.shards.catch(() => {
      if (this.#listed === listed) this.#listed = undefined;
    });
    return listed.shards;
  }

  /**
   * More pools of the same shards, with a cap of their own. The caller disposes of them.
   *
   * @ignore
   */
  another(maxConnections: number): ShardPools {
    return new ShardPools({ ...this.#options, maxConnections });
  }

  /** Where a shard is, completed with what its URL lacks; undefined: the catalog. */
  urlOf(shard: Pick<Shard, "url"> | undefined): string {
    const { catalogUrl } = this.#options;
    return shard === undefined ? catalogUrl : shardUrl(shard.url, catalogUrl);
  }

  /**
   * A pool on a standby of a shard. It connects when it is used, and is closed with the others.
   *
   * @param url What it lacks is taken from the shard's URL, but for the host.
   * @throws {ConfigError} If it is not such a URL.
   */
  standby(url: string, shard: Shard | undefined): Database {
    const { statementTimeoutMs, applicationName, maxConnections } = this.#options;
    const full = standbyUrl(url, this.urlOf(shard));
    addSecrets(passwordsOf(full));
    const db = this.connect(full, {
      maxConnections: maxConnections + 1,
      statementTimeoutMs,
      applicationName,
      idleTimeoutMs: IDLE_MS,
      maxLifetimeMs: LIFETIME_MS,
      budget: this.#budget,
      ...(shard === undefined ? {} : { shard: shard.name }),
    });
    this.#pools.add(db);
    return db;
  }

  /** Opens a shard as it is in the catalog, or finds it open. */
  #open(shard: Shard): Promise<OpenShard> {
    const known = this.#entries.get(shard.name);
    if (known !== undefined && known.version >= shard.version) return known.opened;
    const entry = { version: shard.version, opened: this.#connect(shard) };
    this.#entries.set(shard.name, entry);
    entry.opened.catch(() => {
      if (this.#entries.get(shard.name) === entry) this.#entries.delete(shard.name);
    });
    return entry.opened;
  }

  async #connect(shard: Shard): Promise<OpenShard> {
    const { statementTimeoutMs, applicationName } = this.#options;
    const url = this.urlOf(shard);
    addSecrets(passwordsOf(url));
    const db = this.connect(url, {
      maxConnections: this.#options.maxConnections + 1,
      statementTimeoutMs,
      applicationName,
      idleTimeoutMs: IDLE_MS,
      maxLifetimeMs: LIFETIME_MS,
      budget: this.#budget,
      shard: shard.name,
    });
    try {
      const catalogId = this.#catalogId ??= readIdentity(this.#options.catalog)
        .then(({ databaseId }) => databaseId);
      await requireShard(
        db,
        shard.name,
        await catalogId.catch((error) => {
          this.#catalogId = undefined;
          throw error;
        }),
      );
    } catch (error) {
      await db.close();
      throw error;
    }
    this.#pools.add(db);
    return { name: shard.name, shard, db, copied: recent() };
  }

  /** Closes the pools of all shards, after their running statements. Not the catalog's. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#entries.values()].map(({ opened }) => opened));
    await Promise.all([...this.#pools].map((db) => db.close()));
  }
}

/** A set that forgets its first members. */
function recent(): OpenShard["copied"] {
  const members = new Set<string>();
  return {
    has: (repoId) => members.has(repoId),
    add(repoId) {
      members.add(repoId);
      if (members.size > MOST_COPIED) members.delete(members.values().next().value!);
    },
  };
}
