/**
 * The real parts behind a command, wired by its settings: the database and the store.
 *
 * @module
 */

import process from "node:process";
import { type Config, loadConfig, SETTINGS } from "../config/config.ts";
import { connectDatabase, type ConnectOptions } from "../db/client/connect.ts";
import type { Database } from "../db/client/database.ts";
import { migrate, pendingMigrations } from "../db/schema/migrate.ts";
import { ConfigError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { openFolder } from "../stream/store/open_folder.ts";
import { databasePermissions, requirePermissions, storePermissions } from "./permissions.ts";

/** Reads the settings from the environment; only this function does. */
export function configFromEnv(): Config {
  const names = Object.values(SETTINGS).map(({ env }) => env);
  return loadConfig(Object.fromEntries(names.map((name) => [name, Deno.env.get(name)])));
}

/** An open database. */
export interface OpenedDatabase extends AsyncDisposable {
  /** The pool. */
  readonly db: Database;
  /** Whether it is the embedded server, which this process then holds open. */
  readonly isEmbedded: boolean;
  /** Opens another pool on the same server; whoever calls closes it. */
  readonly connect: (options: ConnectOptions) => Database;
}

/**
 * Opens the database named by `DATABASE_URL`, or the embedded one, whose tables are then made.
 *
 * @param options.isMigrating Whether the tables may be missing or old.
 */
export async function openDatabase(
  config: Config,
  options: { isMigrating?: boolean; maxConnections?: number } = {},
): Promise<OpenedDatabase> {
  const { isMigrating = false, maxConnections = config.databaseConnections } = options;
  const connect = (url: string) =>
    connectDatabase(url, { maxConnections, statementTimeoutMs: config.databaseTimeoutMs });
  if (config.databaseUrl !== undefined) {
    const db = connect(config.databaseUrl);
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
  const db = connect(server.url);
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
  const another = (options: ConnectOptions) => connectDatabase(server.url, options);
  return { db, isEmbedded: true, connect: another, [Symbol.asyncDispose]: close };
}

async function checkMigrated(db: Database): Promise<void> {
  const pending = await pendingMigrations(db);
  if (pending.length === 0) return;
  throw new ConfigError(
    `Cannot use ${db.label}: it lacks ${pending.join(", ")}; run "main.ts migrate" first`,
  );
}

/** Opens the store named by `MPACK_STORE`, or a folder under `MPACK_HOME`. */
export async function openBlobStore(
  config: Config,
  options: { isWriting?: boolean } = {},
): Promise<BlobStore> {
  const { isWriting = false } = options;
  const url = config.storeUrl ?? `${config.home}/blobs`;
  const store = openFolder(url, credentialsOf(config)) ?? await openUrl(url, config);
  requirePermissions(await storePermissions(store, { isWriting }));
  return store;
}

/** Opens the store that any URL names; an S3 client is loaded here and nowhere else. */
export async function openUrl(url: string, config: Config): Promise<BlobStore> {
  const { openStore } = await import("../stream/store/open_store.ts");
  return openStore(url, credentialsOf(config));
}

/** What opening any store takes from the settings. */
function credentialsOf(config: Config) {
  return {
    accessKeyId: config.accessKeyId,
    secretAccessKey: config.secretAccessKey,
    sessionToken: config.sessionToken,
    idleTimeoutMs: config.storeIdleMs,
    retries: config.storeRetries,
  };
}

/** This process, for the `locked_by` of a job: host and process id. */
export function workerName(): string {
  return `${Deno.hostname()}:${Deno.pid}`;
}

/**
 * Whether a worker was a process of this host that has ended. A wrong yes (another container with
 * this host's name) costs that worker its attempt and nothing else: the fence is raised.
 */
export function isGoneWorker(worker: string): boolean {
  const [, host, pid] = /^(.+):(\d+)$/.exec(worker) ?? [];
  if (host !== Deno.hostname()) return false;
  try {
    // Signal 0 asks whether there is such a process.
    return !process.kill(Number(pid), 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}
