/**
 * Opens the database and the store that the settings name.
 *
 * @module
 */

import { type Config, loadConfig, refuseUnknownSettings, SETTINGS } from "../config/config.ts";
import { connectDatabase, type ConnectOptions } from "../db/client/connect.ts";
import type { Database } from "../db/client/database.ts";
import { migrate, pendingMigrations } from "../db/schema/migrate.ts";
import { ConfigError } from "../errors.ts";
import { addSecrets, passwordsOf } from "../lib/redact.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { readIdentity } from "../db/store_owner.ts";
import { ownedStore, readableStore } from "../maintenance/owned_store.ts";
import { claimStore, olderText } from "../maintenance/store_owner.ts";
import { openFolder } from "../stream/store/open_folder.ts";
import { tell } from "./output.ts";
import { databasePermissions, requirePermissions, storePermissions } from "./permissions.ts";

/** Reads the settings from the environment. */
export function configFromEnv(): Config {
  // A process that may only read some variables cannot list them.
  if (Deno.permissions.querySync({ name: "env" }).state === "granted") {
    refuseUnknownSettings(Object.keys(Deno.env.toObject()));
  }
  const names = Object.values(SETTINGS).map(({ env }) => env);
  const env = Object.fromEntries(names.map((name) => [name, Deno.env.get(name)]));
  addSecrets([env.AWS_SECRET_ACCESS_KEY, env.AWS_SESSION_TOKEN, ...passwordsOf(env.DATABASE_URL)]);
  return loadConfig(env);
}

/** An open database. */
export interface OpenedDatabase extends AsyncDisposable {
  readonly db: Database;
  /** Whether it is the embedded server, which runs until this is disposed of. */
  readonly isEmbedded: boolean;
  /** Opens another pool on the same server. The caller closes it. */
  readonly connect: (options: ConnectOptions) => Database;
}

/** An open database and the store. */
export interface Resources extends OpenedDatabase {
  readonly store: BlobStore;
}

interface DatabaseOptions {
  /** Whether the tables may be missing or old. */
  readonly isMigrating?: boolean;
  readonly maxConnections?: number;
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
  const { db, isEmbedded, connect, [Symbol.asyncDispose]: close } = opened;
  const resources = { db, isEmbedded, connect, store, [Symbol.asyncDispose]: close };
  if (!options.isWriting) return { ...resources, store: readableStore(store, db) };
  try {
    const ownership = await claimStore({ db, store, config });
    if (ownership === "older-database") tell(`Warning: ${olderText(resources)}`, "warning");
    const { databaseId } = await readIdentity(db);
    return { ...resources, store: ownedStore(store, databaseId) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the database of `DATABASE_URL`, or the embedded one, whose tables it creates. */
export async function openDatabase(
  config: Config,
  options: DatabaseOptions = {},
): Promise<OpenedDatabase> {
  const { isMigrating = false, maxConnections = config.databaseConnections } = options;
  const poolOptions = { maxConnections, statementTimeoutMs: config.databaseTimeoutMs };
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
    const close = () => db.close();
    return { db, isEmbedded: false, connect: another, [Symbol.asyncDispose]: close };
  }
  const { openEmbedded } = await import("../db/embedded/open_embedded.ts");
  const server = await openEmbedded({ dataDir: `${config.home}/pg` });
  // A server that was killed is started again, perhaps at another port.
  const relocate = () => server.revive();
  const db = connectDatabase(server.url, { ...poolOptions, relocate });
  const close = async () => {
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
  return { db, isEmbedded: true, connect: another, [Symbol.asyncDispose]: close };
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
