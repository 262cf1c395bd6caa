/**
 * Two PostgreSQL 15 servers under Patroni, and the etcd that elects the primary.
 *
 * @module
 */

import { join } from "node:path";
import { freePort } from "../process/free_port.ts";
import { openHome } from "../../../src/db/embedded/home.ts";
import { openRunDir, POSTGRES_15_BIN } from "./test_server.ts";
import { until } from "../until.ts";

const PROGRAMS = ["/usr/bin/patroni", "/usr/bin/etcd", `${POSTGRES_15_BIN}/pg_rewind`];

/** Whether all programs are installed. */
export const hasPatroni: boolean = (await Promise.all(
  PROGRAMS.map((path) => Deno.stat(path).then(() => true, () => false)),
)).every(Boolean);

/** Of the superuser `postgres`. */
export const PATRONI_PASSWORD = "patroni-password";

/** One server and the agent that starts, promotes and stops it. */
export interface PatroniNode {
  readonly name: string;
  /** `127.0.0.1:port` of PostgreSQL. */
  readonly host: string;
  /** `primary`, `replica`, or undefined while nothing answers. */
  role(): Promise<string | undefined>;
  /** Whether it is the synchronous standby: Patroni promotes no other one. */
  isSynchronous(): Promise<boolean>;
  /** Starts the agent, and it the server. */
  start(): void;
  /** Kills agent and server with SIGKILL, as a machine without power ends. */
  kill(): Promise<void>;
}

/** A running cluster. */
export interface PatroniCluster extends AsyncDisposable {
  readonly nodes: readonly [PatroniNode, PatroniNode];
  /** Names both hosts, the standby first. */
  readonly url: string;
  /** Waits until one node is the primary and another one can take over. */
  settled(): Promise<{ primary: PatroniNode; standby: PatroniNode }>;
  /** The end of what etcd, the agents and the servers logged. */
  log(): Promise<string>;
}

/** Starts the cluster; the standby has what was acknowledged (`synchronous_mode`). */
export async function startPatroni(): Promise<PatroniCluster> {
  const runDir = await openRunDir();
  const home = await openHome(join(runDir, `patroni-${crypto.randomUUID().slice(0, 8)}`));
  const { path, user } = home;
  const log = join(path, "log");
  const spawn = (program: string, args: string[]) => {
    const command = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >>"$0" 2>&1', log, program, ...args],
      cwd: path,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      ...user,
    });
    return command.spawn();
  };
  await Deno.writeTextFile(log, "");
  for (const own of user ? [path, log] : []) await Deno.chown(own, user!.uid, user!.gid);
  const [clientPort, peerPort] = [freePort(), freePort()];
  const client = `http://127.0.0.1:${clientPort}`, peer = `http://127.0.0.1:${peerPort}`;
  const etcd = spawn("/usr/bin/etcd", [
    `--data-dir=${join(path, "etcd")}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
  ]);
  const node = async (name: string): Promise<PatroniNode & { stop(): Promise<void> }> => {
    const restPort = freePort(), port = freePort(), dataDir = join(path, name);
    const file = join(path, `${name}.yml`);
    await Deno.writeTextFile(file, settings({ name, restPort, port, dataDir, path, clientPort }));
    if (user) await Deno.chown(file, user.uid, user.gid);
    let agent: Deno.ChildProcess | undefined;
    return {
      name,
      host: `127.0.0.1:${port}`,
      async role() {
        try {
          const answer = await fetch(`http://127.0.0.1:${restPort}/patroni`);
          const { role, state } = await answer.json();
          return state === "running" ? (role === "master" ? "primary" : role) : undefined;
        } catch {
          return undefined;
        }
      },
      async isSynchronous() {
        try {
          const answer = await fetch(`http://127.0.0.1:${restPort}/synchronous`);
          await answer.body?.cancel();
          return answer.status === 200;
        } catch {
          return false;
        }
      },
      start: () => void (agent = spawn("/usr/bin/patroni", [file])),
      async kill() {
        // Agents that are stopped by SIGTERM stop their server; this one has no time to.
        const pidFile = await Deno.readTextFile(join(dataDir, "postmaster.pid"));
        if (agent) await endProcess(agent, "SIGKILL");
        Deno.kill(Number(pidFile.split("\n")[0]), "SIGKILL");
        agent = undefined;
      },
      stop: async () => agent && await endProcess(agent, "SIGTERM"),
    };
  };
  const first = await node("one"), second = await node("two");
  const nodes = [first, second] as const;
  const readLog = async () => (await Deno.readTextFile(log)).slice(-8_000);
  const settled = async () => {
    let primary: PatroniNode | undefined, standby: PatroniNode | undefined;
    await until("Patroni has a primary and a standby", async () => {
      const roles = await Promise.all(nodes.map((each) => each.role()));
      [primary, standby] = [nodes[roles.indexOf("primary")], nodes[roles.indexOf("replica")]];
      return primary !== undefined && standby !== undefined;
    }, { everyMs: 200, found: readLog });
    return { primary: primary!, standby: standby! };
  };
  const close = async () => {
    // The standby first, or it would be promoted.
    for (const each of [second, first]) await each.stop();
    await endProcess(etcd, "SIGTERM");
    await Deno.remove(path, { recursive: true });
  };
  try {
    first.start();
    let hasEnded = false;
    etcd.status.then(() => hasEnded = true);
    await until("the first server is the primary", async () => {
      if (hasEnded) throw new Error(`etcd has ended:\n${await readLog()}`);
      return await first.role() === "primary";
    }, { everyMs: 200, found: readLog });
    second.start();
    const { primary, standby } = await settled();
    const url = `postgres://postgres:${PATRONI_PASSWORD}@${standby.host},${primary.host}/postgres`;
    return { nodes, url, settled, log: readLog, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface NodeSettings {
  readonly name: string;
  readonly restPort: number;
  readonly port: number;
  readonly dataDir: string;
  readonly path: string;
  readonly clientPort: number;
}

/** Patroni's shortest times: a dead primary is replaced within 20 s and a loop. */
function settings({ name, restPort, port, dataDir, path, clientPort }: NodeSettings): string {
  const login = (username: string) => ({ username, password: PATRONI_PASSWORD });
  // YAML takes JSON.
  return JSON.stringify({
    scope: "mpackd",
    name,
    restapi: { listen: `127.0.0.1:${restPort}`, connect_address: `127.0.0.1:${restPort}` },
    etcd3: { hosts: [`127.0.0.1:${clientPort}`] },
    bootstrap: {
      dcs: {
        ttl: 20,
        loop_wait: 2,
        retry_timeout: 3,
        synchronous_mode: true,
        // Patroni removes slots that it does not know.
        ignore_slots: [{ type: "logical", plugin: "pgoutput" }],
        postgresql: {
          use_pg_rewind: true,
          parameters: { fsync: "off", max_connections: 200, wal_level: "logical" },
        },
      },
      initdb: [{ encoding: "UTF8" }, { locale: "C" }, "data-checksums"],
      pg_hba: [
        "host all all 127.0.0.1/32 scram-sha-256",
        "host replication all 127.0.0.1/32 scram-sha-256",
      ],
    },
    postgresql: {
      listen: `127.0.0.1:${port}`,
      connect_address: `127.0.0.1:${port}`,
      data_dir: dataDir,
      bin_dir: POSTGRES_15_BIN,
      pgpass: join(path, `${name}.pgpass`),
      authentication: {
        superuser: login("postgres"),
        replication: login("replicator"),
        rewind: login("rewinder"),
      },
      parameters: { unix_socket_directories: path },
    },
  });
}

async function endProcess(process: Deno.ChildProcess, signal: Deno.Signal): Promise<void> {
  try {
    process.kill(signal);
  } catch {
    // It has ended.
  }
  await process.status;
}
