/**
 * Creates, starts, finds and stops one PostgreSQL server on this machine. Nothing here takes a lock:
 * the caller makes sure that one process does so at a time.
 *
 * @module
 */
import { ConfigError, DatabaseError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { ServerUser } from "./home.ts";
import { lastLines, runProgram } from "./binaries.ts";
import { isAlive, probe, readPidFile, replacePid } from "./postmaster.ts";

/** The superuser of every cluster. */
const SUPERUSER = "mpackd";
const ANSWER_MS = 60_000;
const STOP_MS = 30_000;
const START_ATTEMPTS = 10;
const LOG_KEEP_BYTES = 1024 * 1024;
const POLL_MS = 20;

/** Server settings by name, as in postgresql.conf. */
export type ServerSettings = Readonly<Record<string, string>>;

/** The files of one cluster, and the user that its server runs as. */
export interface Cluster {
  /** The cluster's folder: an absolute path without symlinks. `createCluster()` makes it. */
  readonly dataDir: string;
  /** The server's log. */
  readonly logFile: string;
  /** The superuser's password; only the owner can read it. */
  readonly passwordFile: string;
  /** The user to run as. Default: this process's user. */
  readonly user?: ServerUser;
}

/** How to create a cluster. */
export interface CreateOptions {
  /** The folder with initdb, pg_ctl and postgres. */
  readonly binDir: string;
  /** Ends the work with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How to start a server. */
export interface StartOptions extends CreateOptions {
  /** Settings on top of those that every embedded server has. */
  readonly settings?: ServerSettings;
  /** The port to listen on. Default: a free one. */
  readonly port?: number;
  /** A port to listen on unless another program has it. */
  readonly preferredPort?: number;
}

/** A server that accepts connections. */
export interface RunningServer {
  /** The URL to connect to, with the password. */
  readonly url: string;
  /** PostgreSQL's version: "18.4". */
  readonly version: string;
  /** The id of its main process. */
  readonly pid: number;
}

const SETTINGS: ServerSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  shared_buffers: "128MB",
  max_connections: "50",
  jit: "off",
  log_checkpoints: "off",
  timezone: "UTC",
  log_timezone: "UTC",
};

/** Runs initdb. The folder gets its name at the end, so a killed run leaves no half cluster. */
export async function createCluster(
  { dataDir, passwordFile, user }: Cluster,
  { binDir, signal }: CreateOptions,
): Promise<void> {
  const unfinished = `${dataDir}.new`;
  await Deno.remove(unfinished, { recursive: true }).catch(() => {});
  await Deno.mkdir(unfinished, { mode: 0o700 });
  const password = crypto.randomUUID().replaceAll("-", "");
  await Deno.writeTextFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user) {
    for (const path of [unfinished, passwordFile]) await Deno.chown(path, user.uid, user.gid);
  }
  const { isSuccess, output } = await runProgram(binDir, "initdb", {
    args: [
      `--pgdata=${unfinished}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
    ],
    user,
    signal,
  });
  if (!isSuccess) {
    const cannot = `Cannot create the embedded database: initdb said:\n${output}`;
    // A container that runs as an arbitrary user: PostgreSQL wants a name for it.
    if (output.includes("could not look up effective user ID")) {
      throw new ConfigError(
        `${cannot}\nRun as a user that has a line in /etc/passwd, or set DATABASE_URL`,
      );
    }
    throw new DatabaseError(cannot);
  }
  await Deno.rename(unfinished, dataDir);
}

/**
 * Starts the server of a cluster, in a session of its own: a Ctrl-C on our terminal must not stop it.
 *
 * @throws {DatabaseError} With the last lines of its log, if it does not start.
 */
export async function startServer(
  cluster: Cluster,
  { binDir, settings, port, preferredPort, signal }: StartOptions,
): Promise<RunningServer> {
  const options = Object.entries({ ...SETTINGS, ...settings })
    .map(([name, value]) => ` -c ${name}='${value.replaceAll("'", `'\\''`)}'`).join("");
  await openLog(cluster);
  let isTaken = false;
  for (let attempt = 1;; attempt++) {
    const { size: logBytes } = await Deno.stat(cluster.logFile);
    const chosenPort = port ?? (isTaken ? undefined : preferredPort) ?? freePort();
    const { isSuccess, output } = await runProgram(binDir, "pg_ctl", {
      args: [
        "start",
        `--timeout=${ANSWER_MS / 1000}`,
        `--pgdata=${cluster.dataDir}`,
        `--log=${cluster.logFile}`,
        `--options=-p ${chosenPort}${options}`,
      ],
      user: cluster.user,
      signal,
    });
    const server = isSuccess ? await findServer(cluster, { signal }) : undefined;
    if (server) return server;
    const log = (await Deno.readTextFile(cluster.logFile)).slice(logBytes);
    // Another program took the port, or processes of a killed server have not ended yet.
    isTaken ||= /could not bind/.test(log);
    const isTransient = isTaken || /is still in use/.test(log);
    if (!isTransient || attempt === START_ATTEMPTS) {
      throw new DatabaseError(
        `Cannot start the embedded database: ${lastLines(output)}\n` +
          `The end of "${cluster.logFile}":\n${lastLines(log)}\n` +
          `Mend what it names, or set DATABASE_URL to use a server of your own`,
      );
    }
    await sleep(100 * attempt);
  }
}

/**
 * Finds the server that runs on a cluster. It waits while the server starts or stops.
 *
 * @returns Undefined if none runs; the caller may start one.
 * @throws {DatabaseError} If a server runs on the cluster and does not answer.
 */
export async function findServer(
  cluster: Cluster,
  { signal, isBusyEnough = false }: { signal?: AbortSignal; isBusyEnough?: boolean } = {},
): Promise<RunningServer | undefined> {
  const giveUpAt = performance.now() + ANSWER_MS;
  for (;;) {
    const file = await readPidFile(cluster.dataDir);
    if (!file) return undefined;
    if (!isAlive(file.pid)) {
      // A power cut may have left the file empty, and PostgreSQL does not start with an empty one.
      await replacePid(cluster.dataDir);
      return undefined;
    }
    const password = (await Deno.readTextFile(cluster.passwordFile)).trim();
    const url = `postgres://${SUPERUSER}:${password}@127.0.0.1:${file.port}/postgres`;
    const { state, version } = await probe(url, cluster.dataDir);
    if (state === "ready" || (state === "busy" && isBusyEnough)) {
      return { url, version, pid: file.pid };
    }
    const isLate = performance.now() > giveUpAt;
    if (state === "absent" && (file.status === "ready" || isLate)) {
      // Its process has ended, and another one has its id, or it is a zombie.
      await replacePid(cluster.dataDir);
      return undefined;
    }
    if (isLate) {
      throw new DatabaseError(
        `Cannot join the embedded database: its server (process ${file.pid}, port ${file.port}) ` +
          `has not answered for ${ANSWER_MS} ms; see "${cluster.logFile}"`,
      );
    }
    signal?.throwIfAborted();
    await sleep(POLL_MS);
  }
}

/**
 * Stops the server of a cluster, if one runs. After 30 s it is stopped without a checkpoint.
 *
 * @throws {DatabaseError} If it cannot be stopped.
 */
export async function stopServer(cluster: Cluster): Promise<void> {
  const server = await findServer(cluster, { isBusyEnough: true });
  if (!server) return;
  for (const signalName of ["SIGINT", "SIGQUIT"] as const) {
    Deno.kill(server.pid, signalName);
    const giveUpAt = performance.now() + STOP_MS;
    while (performance.now() < giveUpAt) {
      // The pid file says when it has ended. The process may stay as a zombie.
      if ((await readPidFile(cluster.dataDir))?.pid !== server.pid) return;
      await sleep(POLL_MS);
    }
  }
  throw new DatabaseError(
    `Cannot stop the embedded database: process ${server.pid} did not end within ` +
      `${2 * STOP_MS} ms; see "${cluster.logFile}"`,
  );
}

/** Makes the log file. A file over 1 MiB is renamed first. */
async function openLog({ logFile, user }: Cluster): Promise<void> {
  const info = await Deno.stat(logFile).catch(() => undefined);
  if (info && info.size > LOG_KEEP_BYTES) await Deno.rename(logFile, `${logFile}.1`);
  (await Deno.open(logFile, { append: true, create: true, mode: 0o600 })).close();
  if (user) await Deno.chown(logFile, user.uid, user.gid);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
