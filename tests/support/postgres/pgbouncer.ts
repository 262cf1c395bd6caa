/**
 * PgBouncer before a server, for tests.
 *
 * @module
 */
import { join } from "node:path";
import { openRunDir } from "./test_server.ts";
import { isListening } from "../process/free_port.ts";
import { until } from "../until.ts";

/** Where Debian keeps it. */
export const PGBOUNCER = "/usr/sbin/pgbouncer";
const NOBODY = 65_534;

/** A running PgBouncer. */
export interface PgBouncer extends AsyncDisposable {
  /** The database through it. */
  readonly url: string;
}

/** Starts PgBouncer in transaction mode before the server of a database. */
export async function startPgBouncer(
  databaseUrl: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<PgBouncer> {
  const folder = join(await openRunDir(), `pgbouncer-${crypto.randomUUID().slice(0, 8)}`);
  await Deno.mkdir(folder, { mode: 0o755 });
  const { hostname, port, username, password } = new URL(databaseUrl);
  using free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listenPort = free.addr.port;
  free.close();
  const users = join(folder, "users.txt"), config = join(folder, "pgbouncer.ini");
  await Deno.writeTextFile(users, `"${username}" "${password}"\n`);
  const lines = Object.entries({
    listen_addr: "127.0.0.1",
    listen_port: String(listenPort),
    unix_socket_dir: "",
    auth_type: "plain",
    auth_file: users,
    pool_mode: "transaction",
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`);
  await Deno.writeTextFile(
    config,
    `[databases]\n* = host=${hostname} port=${port}\n[pgbouncer]\n${lines.join("\n")}\n`,
  );
  const child = new Deno.Command(PGBOUNCER, {
    args: [config],
    cwd: "/",
    stdout: "null",
    stderr: "null",
    ...(Deno.uid() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
  }).spawn();
  await until("pgbouncer listens", () => isListening(listenPort));
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String(listenPort);
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}
