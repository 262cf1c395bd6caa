/**
 * The database that needs no installation: a real PostgreSQL server. The first process that opens it
 * starts the server, later ones join it, and the last one stops it.
 *
 * Two file locks of the kernel coordinate the processes, so a killed process leaves nothing to clean
 * up. A process takes `lock` while it starts or stops the server, and holds `users` in shared mode
 * while it uses the server. If it can lock `users` exclusively, no other process uses the server. A
 * server whose last user was killed keeps running, and the next process joins it.
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

/** A first start with all its steps may take so long on a slow disk. */
const LOCK_WAIT_MS = 180_000;

/** How to open the embedded database. */
export interface EmbeddedOptions {
  /** The folder of the database, its log and its locks. It is made on first use. */
  readonly dataDir: string;
  /** Server settings on top of the usual ones. They count only if this call starts the server. */
  readonly settings?: ServerSettings;
  /** Ends the wait with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A running embedded database. Close it, or use `await using`. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** The URL to connect to, with the password. */
  readonly url: string;
  /** PostgreSQL's version: "18.4". */
  readonly version: string;
  /**
   * Makes sure that the server runs, if it may have been killed; returns the URL to connect to.
   *
   * It keeps its port, unless another program has taken that.
   */
  revive(): Promise<string>;
  /** Stops the server, unless other processes use it. May be called twice. */
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
    const preferredPort = Number(new URL(url).port);
    const revive = async () => {
      using _lock = await lockFile(join(home.path, "lock"), { waitMs: LOCK_WAIT_MS });
      const running = await findServer(clusterOf(home)) ??
        await start(home, { settings: options.settings, preferredPort });
      return running.url;
    };
    return { url, version, revive, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    if (error instanceof MpackdError || signal?.aborted) throw error;
    throw new ConfigError(
      `Cannot open the embedded database in "${dataDir}": ${(error as Error).message}; ` +
        `choose another folder, or set DATABASE_URL to use a server of your own`,
      { cause: error },
    );
  }
}

/** Joins the server, or starts it if this process is the first. */
async function enter(
  home: EmbeddedHome,
  { settings, signal }: EmbeddedOptions,
): Promise<{ server: RunningServer; users: Deno.FsFile }> {
  using _lock = await lockFile(join(home.path, "lock"), { waitMs: LOCK_WAIT_MS, signal });
  const users = await openLockFile(join(home.path, "users"));
  try {
    if (home.user) {
      // The folder may belong to another user, who must be able to open the lock files again.
      const { uid, gid } = home.user;
      for (const name of ["lock", "users"]) await Deno.chown(join(home.path, name), uid, gid);
    }
    // This succeeds: `users` is locked exclusively only under `lock`, which we hold.
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

/** Starts the server; lays out its binaries and creates the cluster first if they are missing. */
async function start(
  home: EmbeddedHome,
  { settings, preferredPort, signal }: Omit<EmbeddedOptions, "dataDir"> & {
    readonly preferredPort?: number;
  },
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
  return await startServer(cluster, { binDir, settings, preferredPort, signal });
}

/** Leaves the server, and stops it if no other process uses it. */
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
