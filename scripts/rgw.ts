/**
 * Runs a second real S3 engine for tests: Ceph's RADOS Gateway, with one monitor and one object store
 * in memory. It listens on loopback and keeps its files in a temporary folder. Debian packages: radosgw
 * ceph-mon ceph-osd ceph-mgr.
 *
 * `deno run -A scripts/rgw.ts` prints one line of JSON when it is ready, and stops on SIGINT and
 * SIGTERM. To run the store's suite on it, give its URL as `MPACKD_TEST_S3` (tests/support/store/swift.ts).
 *
 * @module
 */
import { answers, freePorts, type S3Engine } from "./swift.ts";

/** Starts the gateway, and returns when it answers. Disposing ends its processes and deletes the folder. */
export async function startRgw(): Promise<S3Engine & AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-rgw-" });
  const processes: Deno.ChildProcess[] = [];
  const io = { cwd: folder, stdin: "null", stdout: "null", stderr: "null" } as const;
  const run = async (command: string, ...args: string[]) => {
    const all = [...args, "-c", `${folder}/ceph.conf`];
    const { success, stderr } = await new Deno.Command(command, { args: all, cwd: folder })
      .output();
    if (!success) throw new Error(`Cannot run ${command}: ${new TextDecoder().decode(stderr)}`);
  };
  // In the foreground, so that the process is the server.
  const start = (command: string, ...args: string[]) => {
    const all = [...args, "-f", "-c", `${folder}/ceph.conf`];
    processes.push(new Deno.Command(command, { args: all, ...io }).spawn());
  };
  const stop = async () => {
    for (const process of processes) {
      try {
        process.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
    }
    await Promise.all(processes.map((process) => process.status));
    await Deno.remove(folder, { recursive: true });
  };
  try {
    const [monitorPort, gatewayPort] = freePorts(2);
    const fsid = crypto.randomUUID(), monitor = `[v2:127.0.0.1:${monitorPort}]`;
    for (const name of ["mon", "osd", "mgr", "rgw"]) await Deno.mkdir(`${folder}/${name}`);
    await Deno.writeTextFile(`${folder}/ceph.conf`, configOf(folder, fsid, monitor, gatewayPort));
    await run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, `${folder}/monmap`);
    await run("ceph-mon", "--mkfs", "-i", "a", "--monmap", `${folder}/monmap`);
    start("ceph-mon", "-i", "a");
    const osd = crypto.randomUUID();
    await run("ceph", "--connect-timeout", "60", "osd", "new", osd, "0");
    await run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd);
    start("ceph-osd", "-i", "0");
    start("ceph-mgr", "-i", "x");
    start("radosgw", "-n", "client.rgw");
    const keys = { accessKeyId: "ceph-user", secretAccessKey: "ceph-secret" };
    const user = ["--uid", "test", "--display-name", "test", "--access-key", keys.accessKeyId];
    const secret = ["--secret-key", keys.secretAccessKey];
    await run("radosgw-admin", "-n", "client.rgw", "user", "create", ...user, ...secret);
    const endpoint = `http://127.0.0.1:${gatewayPort}`;
    await answers(endpoint);
    return { endpoint, region: "us-east-1", ...keys, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function configOf(folder: string, fsid: string, monitor: string, gatewayPort: number): string {
  return `[global]
fsid = ${fsid}
mon host = ${monitor}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
public network = 127.0.0.0/8
public addr = 127.0.0.1
admin socket = ${folder}/$name.asok
log file = ${folder}/$name.log
run dir = ${folder}
mon allow pool size one = true
mon data avail crit = 1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
[mon.a]
mon data = ${folder}/mon
mon cluster log file = ${folder}/cluster.log
[osd.0]
osd data = ${folder}/osd
[mgr.x]
mgr data = ${folder}/mgr
[client.rgw]
rgw data = ${folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:${gatewayPort}
`;
}

if (import.meta.main) {
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, resolve);
  const engine = await startRgw();
  console.log(JSON.stringify(engine));
  await stopped;
  await engine[Symbol.asyncDispose]();
  Deno.exit(0);
}
