/**
 * Opens the database and the store that the settings name.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { connectDatabase, type ConnectOptions } from "../db/client/connect.ts";
import type { Database } from "../db/client/database.ts";
import { migrate, pendingMigrations } from "../db/schema/migrate.ts";
import { ConfigError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import type { RepoHome, Shard } from "../db/shards/shard.ts";
import { ShardPools, type ShardPoolsOptions } from "../db/shards/shard_pools.ts";
import { ownedStore, readableStore } from "../maintenance/owned_store.ts";
import { claimStore, olderText } from "../maintenance/store_owner.ts";
import { openFolder } from "../stream/store/open_folder.ts";
import { tell } from "./output.ts";
import { databasePermissions, requirePermissions, storePermissions } from "./permissions.ts";

/** The database of some repos. */
export interface DatabaseAt {
  readonly db: Database;
  /** Undefined: the catalog. */
  readonly shard: Shard | undefined;
}

/** An open database. */
export interface OpenedDatabase extends AsyncDisposable {
  /** The catalog. */
  readonly db: Database;
  /** Its shards. */
  readonly shards: ShardPools;
  /** Opens the shard of a repo; undefined: the catalog. */
  at(home: RepoHome | undefined): Promise<DatabaseAt>;
  /** Whether it is the embedded server, which runs until this is disposed of. */
  readonly isEmbedded: boolean;
  /** Opens another pool on the same server. The caller closes it. */
  readonly connect: (options: ConnectOptions) => Database;
}

/** An open database and the store. */
export interface Resources extends OpenedDatabase {
  readonly store: BlobStore;
  at(home: RepoHome | undefined): Promise<DatabaseAt & { readonly store: BlobStore }>;
  /** Opens the store as a shard's database may use it; undefined: the catalog. */
  storeOf(shard: Shard | undefined, db: Database): Promise<BlobStore>;
}

interface DatabaseOptions {
  /** Whether the tables may be missing or old. */
  readonly isMigrating?: boolean;
  readonly maxConnections?: number;
  /** As that of `connectDatabase()`. */
  readonly isForWorker?: boolean;
}

/**
 * Opens the store, then the database. Before a command that writes, the store is claimed for it.
 *
 * @throws {ConfigError} If a command wants to write, and the store belongs to another database.
 */
export async function openResources(
  config: Config,
  options: DatabaseOptions & { readonly isWriting: boolean; readonly keepOpenMs?: number },
): Promise<Resources> {
  const store = await openBlobStore(config, options);
  const opened = await openDatabase(config, options);
  const storeOf = (shard: Shard | undefined, db: Database) =>
    openStoreFor(db, { store, shard, config, ...options });
  const at = async (home: RepoHome | undefined) => {
    if (home === undefined) return resources;
    const { db, shard } = await opened.shards.at(home);
    return { db, shard, store: await storeOf(shard, db) };
  };
  const resources = { ...opened, shard: undefined, store, storeOf, at };
  try {
    resources.store = await storeOf(undefined, opened.db);
    return resources;
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens the store of a shard, for reading: its own, or the one of the settings. */
export async function openStoreOf(shard: Shard | undefined, config: Config): Promise<BlobStore> {
  return await openBlobStore({ ...config, storeUrl: shard?.storeUrl ?? config.storeUrl });
}

/** The store as the database of a catalog or a shard may use it. */
async function openStoreFor(
  db: Database,
  { store: shared, shard, config, isWriting, keepOpenMs }: {
    readonly store: BlobStore;
    readonly shard: Shard | undefined;
    readonly config: Config;
    readonly isWriting: boolean;
    readonly keepOpenMs?: number;
  },
): Promise<BlobStore> {
  const store = shard?.storeUrl == null
    ? shared
    : await openBlobStore({ ...config, storeUrl: shard.storeUrl }, { isWriting, keepOpenMs });
  if (!isWriting) return readableStore(store, db);
  const { ownership, databaseId } = await claimStore({ db, store, config });
  if (ownership === "older-database") tell(`Warning: ${olderText({ db, store })}`, "warning");
  return ownedStore(store, databaseId, db.shard);
}

/** Opens the database of `DATABASE_URL`, or the embedded one, whose tables it creates. */
export async function openDatabase(
  config: Config,
  options: DatabaseOptions = {},
): Promise<OpenedDatabase> {
  const { isMigrating = false, maxConnections = config.databaseConnections, isForWorker } = options;
  const poolOptions = {
    maxConnections,
    statementTimeoutMs: config.databaseTimeoutMs,
    isForWorker,
  };
  if (config.databaseUrl !== undefined) {
    const db = connectDatabase(config.databaseUrl, poolOptions);
    try {
      requirePermissions(databasePermissions(db));
      if (!isMigrating) await checkMigrated(db);
    } catch (error) {
      await db.close();
      throw error;
    }
    const another = (options: ConnectOptions) => connectDatabase(config.databaseUrl!, options);
    const shards = openShards(db, config.databaseUrl, { ...poolOptions, connect: connectShard });
    return {
      db,
      shards,
      isEmbedded: false,
      connect: another,
      at: (home) => shards.at(home),
      async [Symbol.asyncDispose]() {
        await shards[Symbol.asyncDispose]();
        await db.close();
      },
    };
  }
  const { openEmbedded } = await import("../db/embedded/open_embedded.ts");
  const server = await openEmbedded({ dataDir: `${config.home}/pg` });
  // A server that was killed is started again, perhaps at another port.
  const relocate = () => server.revive();
  const db = connectDatabase(server.url, { ...poolOptions, relocate });
  const shards = openShards(db, server.url, {
    ...poolOptions,
    // A shard may be a schema of the embedded server, too.
    connect: (url, options) =>
      new URL(url).host === new URL(server.url).host
        ? connectDatabase(url, { relocate, ...options })
        : connectShard(url, options),
  });
  const close = async () => {
    await shards[Symbol.asyncDispose]();
    await db.close();
    await server.close();
  };
  try {
    await migrate(db);
  } catch (error) {
    await close();
    throw error;
  }
  const another = (options: ConnectOptions) =>
    connectDatabase(server.url, { relocate, ...options });
  return {
    db,
    shards,
    isEmbedded: true,
    connect: another,
    at: (home) => shards.at(home),
    [Symbol.asyncDispose]: close,
  };
}

function openShards(
  catalog: Database,
  catalogUrl: string,
  options: Omit<ShardPoolsOptions, "catalog" | "catalogUrl">,
): ShardPools {
  return new ShardPools({ catalog, catalogUrl, ...options });
}

function connectShard(url: string, options: ConnectOptions): Database {
  const db = connectDatabase(url, options);
  requirePermissions(databasePermissions(db));
  return db;
}

async function checkMigrated(db: Database): Promise<void> {
  const pending = await pendingMigrations(db);
  if (pending.length === 0) return;
  throw new ConfigError(
    `Cannot use ${db.label}: it lacks ${pending.join(", ")}; run "mpackd migrate" first`,
  );
}

/** Opens the store of `MPACK_STORE`, or a folder under `MPACK_HOME`. */
export async function openBlobStore(
  config: Config,
  options: { readonly isWriting?: boolean; readonly keepOpenMs?: number } = {},
): Promise<BlobStore> {
  const { isWriting = false, keepOpenMs } = options;
  const url = config.storeUrl ?? `${config.home}/blobs`;
  const store = openFolder(url, { ...storeOptions(config), keepOpenMs }) ??
    await openUrl(url, config);
  requirePermissions(await storePermissions(store, { isWriting }));
  return store;
}

/** Opens the store of any URL. The S3 client is loaded only here. */
export async function openUrl(url: string, config: Config): Promise<BlobStore> {
  const { openStore } = await import("../stream/store/open_store.ts");
  return openStore(url, storeOptions(config));
}

function storeOptions(config: Config) {
  return {
    accessKeyId: config.accessKeyId,
    secretAccessKey: config.secretAccessKey,
    sessionToken: config.sessionToken,
    idleTimeoutMs: config.storeIdleMs,
    retries: config.storeRetries,
  };
}
