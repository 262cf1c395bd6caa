/**
 * Runs a real S3 engine for tests: OpenStack Swift with its S3 layer. It listens on loopback and keeps
 * its data in a temporary folder. Debian packages: swift-proxy swift-account swift-container
 * swift-object memcached.
 *
 * `deno run -A scripts/swift.ts` prints one line of JSON when it is ready, and stops on SIGINT
 * and SIGTERM, or when the process given by `--while-pid` has ended.
 *
 * @module
 */
import { join } from "node:path";
import { kill } from "node:process";

/** How to reach an engine. */
export interface S3Engine {
  /** The server's URL, path-style. */
  readonly endpoint: string;
  /** The region that requests must be signed for. */
  readonly region: string;
  /** The access key's id. */
  readonly accessKeyId: string;
  /** The secret key. */
  readonly secretAccessKey: string;
}

const BACK_ENDS = ["account", "container", "object"] as const;
const SERVERS = [...BACK_ENDS, "proxy"] as const;
type Server = typeof SERVERS[number];
type Ports = Record<Server | "memcached", number>;

/** Starts Swift, and returns when it answers. Disposing ends its processes and deletes the folder. */
export async function startSwift(): Promise<S3Engine & AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-swift-" });
  const processes: Deno.ChildProcess[] = [];
  const start = (command: string, args: string[]) => {
    // Each server gets its own process group: it signals the whole group when it ends.
    const io = { detached: true, stdin: "null", stdout: "null", stderr: "null" } as const;
    processes.push(new Deno.Command(command, { args, cwd: folder, ...io }).spawn());
  };
  const stop = async () => {
    for (const process of processes) killQuietly(process);
    await Promise.all(processes.map((process) => process.status));
    await Deno.remove(folder, { recursive: true });
  };
  try {
    const [account, container, object, proxy, memcached] = freePorts(5);
    const ports: Ports = { account, container, object, proxy, memcached };
    await Deno.mkdir(join(folder, "devices", "disk1"), { recursive: true });
    await writeConfig(folder, ports);
    await Promise.all(BACK_ENDS.map((server) => buildRing(folder, server, ports[server])));
    const asRoot = Deno.uid() === 0 ? ["-u", "root"] : [];
    start("memcached", [...asRoot, "-l", "127.0.0.1", "-p", `${ports.memcached}`, "-U", "0"]);
    for (const server of SERVERS) {
      start(`swift-${server}-server`, [join(folder, `${server}-server.conf`)]);
    }
    for (const server of SERVERS) await answers(`http://127.0.0.1:${ports[server]}/healthcheck`);
    return {
      endpoint: `http://127.0.0.1:${ports.proxy}`,
      region: "us-east-1",
      accessKeyId: "test:tester",
      secretAccessKey: "testing",
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Returns ports of loopback that were free a moment ago. */
export function freePorts(count: number): number[] {
  const options = { hostname: "127.0.0.1", port: 0 };
  const listeners = Array.from({ length: count }, () => Deno.listen(options));
  return listeners.map((listener) => {
    listener.close();
    return listener.addr.port;
  });
}

async function writeConfig(folder: string, ports: Ports): Promise<void> {
  const write = (name: string, text: string) => Deno.writeTextFile(join(folder, name), text);
  const common = (server: Server) =>
    `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${ports[server]}
workers = 0
user = ${Deno.uid() === 0 ? "root" : Deno.env.get("USER") ?? "nobody"}
swift_dir = ${folder}
devices = ${join(folder, "devices")}
mount_check = false
disable_fallocate = true
log_udp_host = 127.0.0.1
log_udp_port = 1
`;
  await write(
    "swift.conf",
    `[swift-hash]
swift_hash_path_prefix = mpackd
swift_hash_path_suffix = mpackd
[storage-policy:0]
name = default
default = yes
`,
  );
  for (const server of BACK_ENDS) {
    await write(
      `${server}-server.conf`,
      `${common(server)}[pipeline:main]
pipeline = healthcheck ${server}-server
[app:${server}-server]
use = egg:swift#${server}
[filter:healthcheck]
use = egg:swift#healthcheck
`,
    );
  }
  const filters: [name: string, egg: string, lines: string][] = [
    ["healthcheck", "healthcheck", ""],
    ["catch_errors", "catch_errors", ""],
    ["cache", "memcache", `memcache_servers = 127.0.0.1:${ports.memcached}`],
    ["listing_formats", "listing_formats", ""],
    [
      "s3api",
      "s3api",
      "location = us-east-1\ns3_acl = false\ncheck_bucket_owner = false\n" +
      "min_segment_size = 5242880\nmax_upload_part_num = 10000",
    ],
    ["tempauth", "tempauth", "user_test_tester = testing .admin"],
    ["copy", "copy", ""],
    ["slo", "slo", "rate_limit_after_segment = 10000"],
    ["dlo", "dlo", ""],
  ];
  await write(
    "proxy-server.conf",
    `${common("proxy")}[pipeline:main]
pipeline = ${filters.map(([name]) => name).join(" ")} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
` + filters.map(([name, egg, lines]) => `[filter:${name}]\nuse = egg:swift#${egg}\n${lines}\n`)
        .join(""),
  );
}

async function buildRing(folder: string, server: Server, port: number): Promise<void> {
  const device = `--region 1 --zone 1 --ip 127.0.0.1 --port ${port} --device disk1 --weight 1`;
  for (const step of ["create 4 1 1", `add ${device}`, "rebalance"]) {
    const args = [`${server}.builder`, ...step.split(" ")];
    const { success, stderr } = await new Deno.Command("swift-ring-builder", { args, cwd: folder })
      .output();
    if (!success) {
      throw new Error(`Cannot build Swift's ring: ${new TextDecoder().decode(stderr)}`);
    }
  }
}

/** Waits until a server answers. */
export async function answers(url: string): Promise<void> {
  for (const deadlineMs = Date.now() + 60_000; Date.now() < deadlineMs;) {
    try {
      const response = await fetch(url);
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not up yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot start the engine: ${url} did not answer within a minute`);
}

function killQuietly(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
}

/** Resolves after SIGINT or SIGTERM, or when the process `pid` has ended. */
function stopAsked(pid: number | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, resolve);
  if (pid === undefined) return promise;
  const timer = setInterval(() => {
    try {
      // Signal 0 only checks that the process exists.
      kill(pid, 0);
    } catch {
      clearInterval(timer);
      resolve();
    }
  }, 250);
  return promise;
}

if (import.meta.main) {
  const at = Deno.args.indexOf("--while-pid");
  const stopped = stopAsked(at === -1 ? undefined : Number(Deno.args[at + 1]));
  const swift = await startSwift();
  console.log(JSON.stringify(swift));
  await stopped;
  await swift[Symbol.asyncDispose]();
  Deno.exit(0);
}
