/**
 * PostgreSQL servers that live no longer than the test run.
 *
 * @module
 */
import { join } from "node:path";
import { openHome } from "../../../src/db/embedded/home.ts";
import { lockFile } from "../../../src/db/embedded/file_lock.ts";
import { prepareBinaries, runProgram } from "../../../src/db/embedded/binaries.ts";
import {
  type Cluster,
  createCluster,
  findServer,
  type RunningServer,
  type ServerSettings,
  startServer,
  stopServer,
} from "../../../src/db/embedded/server.ts";
import { until } from "../until.ts";
import { isListening } from "../process/free_port.ts";

/** Where Debian keeps the oldest PostgreSQL that mpackd supports. */
export const POSTGRES_15_BIN = "/usr/lib/postgresql/15/bin";

/** Names the run's folder. Test files share a process and its environment, but no variables. */
const RUN_DIR = "MPACKD_TEST_RUN_DIR";
const LOCK_WAIT_MS = 60_000;

/** Tests lose their data anyway; waiting for the disk would only make them slow. */
const SETTINGS: ServerSettings = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
};

/** Outlives the run, even a killed one, then stops its servers and deletes its folder. */
const REAPER = `
(
  trap '' HUP INT
  while [ -d "$2" ] && kill -0 "$1" && ! grep -q ') Z' "/proc/$1/stat"; do sleep 1; done
  for file in "$2"/*/data/postmaster.pid; do
    [ -f "$file" ] && kill -QUIT "$(head -n 1 "$file")"
    while [ -f "$file" ]; do sleep 0.05; i=$((i + 1)); [ "$i" -gt 200 ] && break; done
  done
  rm -rf "$2"
) </dev/null >/dev/null 2>&1 &`;

/** How to start a throw-away server. */
export interface TestServerOptions {
  /** The folder with initdb, pg_ctl and postgres. Default: the embedded ones. */
  readonly binDir?: string;
  /** On top of the usual ones. */
  readonly settings?: ServerSettings;
  /** Its folder in the run's folder, so that several files can share it. Default: a new one. */
  readonly name?: string;
  /** URL of a server to follow by streaming replication; needs `binDir` with pg_basebackup. */
  readonly standbyOf?: string;
  /** Default: a free one. */
  readonly port?: number;
}

/** A throw-away server. Its URL stays the same however often it is stopped and started. */
export interface TestServer extends AsyncDisposable {
  /** Where to connect as superuser. */
  readonly url: string;
  /** PostgreSQL's version. */
  readonly version: string;
  /** The file that it logs to. */
  readonly logFile: string;
  /** The id of its main process. */
  pid(): Promise<number>;
  /** Cuts all connections and starts again, with crash recovery. */
  restart(): Promise<void>;
  /** Kills the main process with SIGKILL, and waits until its port is closed. */
  kill(): Promise<void>;
  /** Starts it after `kill()` or `stop()`. */
  start(): Promise<void>;
  /** Stops it with a checkpoint. */
  stop(): Promise<void>;
  /** Puts a line first in pg_hba.conf, and lines into pg_ident.conf, and reloads. */
  allow(hbaLine: string, ...identLines: string[]): Promise<void>;
}

/** The folder of this test run; it and all servers in it go when the process ends. */
export async function openRunDir(): Promise<string> {
  const known = Deno.env.get(RUN_DIR);
  if (known) return known;
  const dir = await Deno.realPath(await Deno.makeTempDir({ prefix: "mpackd-test-" }));
  Deno.env.set(RUN_DIR, dir);
  // The server's user must get through.
  await Deno.chmod(dir, 0o711);
  await new Deno.Command("sh", {
    args: ["-c", REAPER, "reaper", String(Deno.pid), dir],
    cwd: "/",
    // A Ctrl-C on the terminal is for the tests.
    detached: true,
  }).output();
  return dir;
}

/** Starts a throw-away server, or joins the one of that name. */
export async function startTestServer(
  {
    binDir,
    settings,
    name = `server-${crypto.randomUUID().slice(0, 8)}`,
    standbyOf,
    port: wanted,
  }: TestServerOptions = {},
): Promise<TestServer> {
  const runDir = await openRunDir();
  using _lock = await lockFile(join(runDir, "lock"), { waitMs: LOCK_WAIT_MS });
  const home = await openHome(join(runDir, name));
  const cluster: Cluster = {
    dataDir: join(home.path, "data"),
    logFile: join(home.path, "server.log"),
    passwordFile: join(home.path, "password"),
    user: home.user,
  };
  const start = async (port?: number): Promise<RunningServer> =>
    await findServer(cluster) ?? await startServer(cluster, {
      binDir: binDir ?? (await prepareBinaries(runDir)).binDir,
      settings: { ...SETTINGS, ...settings },
      port,
    });
  if (!await Deno.stat(cluster.dataDir).catch(() => undefined)) {
    if (standbyOf === undefined) {
      await createCluster(cluster, { binDir: binDir ?? (await prepareBinaries(runDir)).binDir });
    } else {
      await copyCluster(cluster, binDir!, standbyOf);
    }
  }
  const { url, version } = await start(wanted);
  const port = Number(new URL(url).port);
  const pid = async () => {
    const server = await findServer(cluster);
    if (!server) throw new Error(`no server runs in ${home.path}`);
    return server.pid;
  };
  const signal = async (name: Deno.Signal) => {
    Deno.kill(await pid(), name);
    const hasEnded = async () => !await isListening(port);
    await until(`no server listens at ${port} after ${name}`, hasEnded, { everyMs: 10 });
  };
  return {
    url,
    version,
    logFile: cluster.logFile,
    pid,
    start: async () => void await start(port),
    stop: () => stopServer(cluster),
    kill: () => signal("SIGKILL"),
    restart: async () => {
      await signal("SIGQUIT");
      await start(port);
    },
    allow: async (hbaLine, ...identLines) => {
      const hba = join(cluster.dataDir, "pg_hba.conf");
      await Deno.writeTextFile(hba, `${hbaLine}\n${await Deno.readTextFile(hba)}`);
      const ident = join(cluster.dataDir, "pg_ident.conf");
      await Deno.writeTextFile(ident, identLines.join("\n") + "\n", { append: true });
      Deno.kill(await pid(), "SIGHUP");
      await new Promise((resolve) => setTimeout(resolve, 200));
    },
    [Symbol.asyncDispose]: async () => {
      await stopServer(cluster);
      await Deno.remove(home.path, { recursive: true });
    },
  };
}

/** Copies a running server's cluster, and makes the copy its standby. */
async function copyCluster(
  { dataDir, passwordFile, user }: Cluster,
  binDir: string,
  url: string,
): Promise<void> {
  await Deno.mkdir(dataDir, { mode: 0o700 });
  await Deno.writeTextFile(passwordFile, `${new URL(url).password}\n`, { mode: 0o600 });
  if (user) {
    for (const path of [dataDir, passwordFile]) await Deno.chown(path, user.uid, user.gid);
  }
  const args = [`--pgdata=${dataDir}`, `--dbname=${url}`, "--write-recovery-conf"];
  const { isSuccess, output } = await runProgram(binDir, "pg_basebackup", {
    args: [...args, "--checkpoint=fast", "--no-sync"],
    user,
  });
  if (!isSuccess) throw new Error(output);
}
