/**
 * A proxy in front of a database that can fall silent: connections stay open, nothing passes.
 *
 * @module
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A running proxy. */
export interface TcpProxy extends AsyncDisposable {
  /** The database's URL with the proxy's host and port. */
  readonly url: string;
  /** While true, connections that are open get and give nothing, and new ones neither. */
  isSilent: boolean;
  /** Silences the open connections that logged in with this application name. */
  silence(applicationName: string): void;
}

/** A login fits in the first bytes of a connection. */
const STARTUP_BYTES = 1024;

/** Starts a proxy in front of the server that a database URL names. */
export async function startTcpProxy(databaseUrl: string): Promise<TcpProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  /** Bytes that were dropped cannot be sent later, so a silenced connection stays silent. */
  const deaf = new WeakSet<Socket>();
  /** What the clients said first: user, database and application name, in plain text. */
  const startups = new Map<Socket, string>();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    // A client with sslmode=prefer asks for TLS before it logs in.
    client.on("data", (chunk) => {
      const before = startups.get(client) ?? "";
      if (before.length < STARTUP_BYTES) startups.set(client, before + chunk.toString("latin1"));
    });
    client.once("close", () => startups.delete(client));
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      sockets.add(from);
      from.on("data", (chunk) => {
        if (proxy.isSilent) deaf.add(client);
        if (!deaf.has(client)) to.write(chunk);
      });
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  const proxy: TcpProxy = {
    url: url.href,
    isSilent: false,
    silence(applicationName) {
      for (const [client, startup] of startups) {
        if (startup.includes(`\0${applicationName}\0`)) deaf.add(client);
      }
    },
    async [Symbol.asyncDispose]() {
      const closed = [...sockets].map((socket) => once(socket, "close"));
      for (const socket of sockets) socket.destroy();
      await Promise.all(closed);
      server.close();
      await once(server, "close");
    },
  };
  return proxy;
}
