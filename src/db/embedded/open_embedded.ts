/**
 * The database that needs no installation: a real PostgreSQL server, started by the first process
 * that wants it, shared by those that come while it runs, stopped by the last.
 *
 * Two locks of the kernel's decide who does what, so that a killed process leaves nothing to clean
 * up: `lock` is held while starting and stopping, and everybody who uses the server holds `users`
 * in shared mode. Who can have `users` alone was the last. A server whose last user was killed
 * stays, and the next user joins it.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, MpackdError } from "../../errors.ts";
import { type EmbeddedHome, openHome } from "./home.ts";
import { lockFile, openLockFile } from "./file_lock.ts";
import { prepareBinaries } from "./binaries.ts";
import {
  type Cluster,
  createCluster,
  findServer,
  type RunningServer,
  type ServerSettings,
  startServer,
  stopServer,
} from "./server.ts";

/** As long as a first start with all its steps may take on a slow disk. */
const LOCK_WAIT_MS = 180_000;

/** Where the embedded database lies. */
export interface EmbeddedOptions {
  /** The folder of the database and of all that belongs to it; made on first use. */
  readonly dataDir: string;
  /** Server settings on top of the usual ones. Used if this call starts the server. */
  readonly settings?: ServerSettings;
  /** Ends the wait with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A running embedded database. Close it, or use `await using`. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** Where to connect, password included. */
  readonly url: string;
  /** PostgreSQL's version: "18.4". */
  readonly version: string;
  /** Stops the server, unless others still use it. May be called twice. */
  close(): Promise<void>;
}

/**
 * Opens the embedded database under `dataDir`: joins its server, or starts it, or first creates it.
 *
 * @throws {DatabaseError} If the server does not start or answer.
 * @throws {ConfigError} If the folder or the platform cannot be used.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { dataDir, signal } = options;
  try {
    const home = await openHome(dataDir);
    const { server, users } = await enter(home, options);
    let closed: Promise<void> | undefined;
    const close = () => closed ??= leave(home, users);
    const { url, version } = server;
    return { url, version, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    if (error instanceof MpackdError || signal?.aborted) throw error;
    throw new ConfigError(
      `Cannot open the embedded database in "${dataDir}": ${(error as Error).message}; ` +
        `choose another folder, or set DATABASE_URL to use a server of your own`,
      { cause: error },
    );
  }
}

/** Becomes one of the server's users, starting it for the first. */
async function enter(
  home: EmbeddedHome,
  { settings, signal }: EmbeddedOptions,
): Promise<{ server: RunningServer; users: Deno.FsFile }> {
  using _lock = await lockFile(join(home.path, "lock"), { waitMs: LOCK_WAIT_MS, signal });
  const users = await openLockFile(join(home.path, "users"));
  try {
    if (home.user) {
      // Root may be a guest in another user's folder, and that user has to get in again.
      const { uid, gid } = home.user;
      for (const name of ["lock", "users"]) await Deno.chown(join(home.path, name), uid, gid);
    }
    // Succeeds: only who holds `lock` ever has it alone.
    await users.tryLock(false);
    const server = await findServer(clusterOf(home), { signal }) ??
      await start(home, { settings, signal });
    return { server, users };
  } catch (error) {
    users.close();
    await stopIfLast(home).catch(() => {});
    throw error;
  }
}

/** Starts the server, after making what it needs where that is not there yet. */
async function start(
  home: EmbeddedHome,
  { settings, signal }: Omit<EmbeddedOptions, "dataDir">,
): Promise<RunningServer> {
  const cluster = clusterOf(home);
  const { binDir, version } = await prepareBinaries(home.path);
  const madeBy = await Deno.readTextFile(join(cluster.dataDir, "PG_VERSION")).catch(() =>
    undefined
  );
  if (madeBy === undefined) {
    await createCluster(cluster, { binDir, signal });
  } else if (madeBy.trim() !== version.split(".")[0]) {
    throw new ConfigError(
      `Cannot open the embedded database in "${home.path}": PostgreSQL ${madeBy.trim()} made it, ` +
        `and this is ${version}; move the folder away, or set DATABASE_URL to such a server`,
    );
  }
  return await startServer(cluster, { binDir, settings, signal });
}

/** Is no user any more, and stops the server if no other is left. */
async function leave(home: EmbeddedHome, users: Deno.FsFile): Promise<void> {
  users.close();
  using _lock = await lockFile(join(home.path, "lock"), { waitMs: LOCK_WAIT_MS });
  await stopIfLast(home);
}

async function stopIfLast(home: EmbeddedHome): Promise<void> {
  using users = await openLockFile(join(home.path, "users"));
  if (await users.tryLock(true)) await stopServer(clusterOf(home));
}

function clusterOf({ path, user }: EmbeddedHome): Cluster {
  return {
    dataDir: join(path, "data"),
    logFile: join(path, "server.log"),
    passwordFile: join(path, "password"),
    user,
  };
}
