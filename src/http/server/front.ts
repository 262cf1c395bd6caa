/**
 * Accepts connections under caps and deadlines, which `Deno.serve` does not have.
 *
 * A connection is closed when no request runs on it and it has been quiet for too long. That one
 * rule covers silent sockets, slow heads, idle keep-alive and half an HTTP/2 preface. When a cap is
 * reached, the connection that has been quiet the longest makes room.
 *
 * @module
 */

import { type AddressSet, networkOf, plainAddress } from "../../lib/addresses.ts";
import { Connection, type Handler, type QuietLimits } from "./connection.ts";

const SWEEP_MS = 250;
/** Pause after a failed accept(), which fails at once again. */
const RETRY_MS = 100;
/** Each connection takes two: the client's, and one in the store. */
const FILES_PER_CONNECTION = 2;
/** File descriptors for the database, the store and everything else. */
const SPARE_FILES = 256;
const BUSY = new TextEncoder().encode(
  "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n" +
    "Content-Length: 0\r\n\r\n",
);

/** Why a connection was closed without an answer, or not accepted. */
export type RefusedWhy = "quiet" | "per-address" | "total" | "accept-failed";

export interface FrontOptions extends QuietLimits {
  readonly hostname: string;
  readonly port: number;
  /** Connections at once; fewer if the process may not open that many files. */
  readonly maxConnections: number;
  readonly maxPerAddress: number;
  /** Whose connections are of many clients. */
  readonly proxies: AddressSet;
  readonly onRefused?: (why: RefusedWhy) => void;
}

/** Listens, admits and closes connections. */
export class Front {
  readonly addr: Deno.NetAddr;
  readonly #options: FrontOptions;
  readonly #maxConnections: number;
  readonly #handler: Handler;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Connection>();
  /** Connections by network (an IPv4 address, or a /64). */
  readonly #counts = new Map<string, number>();
  readonly #sweep: ReturnType<typeof setInterval>;
  #isClosing = false;

  /** Starts listening. Throws what `Deno.listen` throws. */
  constructor(options: FrontOptions, handler: Handler) {
    const { hostname, port, maxConnections } = options;
    this.#options = options;
    this.#handler = handler;
    this.#maxConnections = Math.max(8, Math.min(maxConnections, connectionsOfFiles()));
    this.#listener = Deno.listen({ hostname, port });
    this.addr = this.#listener.addr as Deno.NetAddr;
    this.#sweep = setInterval(() => this.#closeQuiet(), SWEEP_MS);
    this.#acceptAll();
  }

  /** Stops accepting, waits up to `closeMs` for running requests, and closes all connections. */
  async close(closeMs: number): Promise<void> {
    this.#isClosing = true;
    this.#listener.close();
    for (const connection of this.#connections) connection.drain();
    this.#closeQuiet();
    const ended = Promise.all([...this.#connections].map(({ finished }) => finished));
    const over = Promise.withResolvers<void>(), timer = setTimeout(over.resolve, closeMs);
    try {
      await Promise.race([ended, over.promise]);
    } finally {
      clearTimeout(timer);
      clearInterval(this.#sweep);
      for (const connection of this.#connections) connection.close();
    }
  }

  async #acceptAll(): Promise<void> {
    while (!this.#isClosing) {
      try {
        // One at a time: accepting faster than closing would use up the files (and Deno panics).
        await this.#admit(await this.#listener.accept());
      } catch {
        if (this.#isClosing) return;
        this.#options.onRefused?.("accept-failed");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #admit(client: Deno.TcpConn): Promise<void> {
    const address = plainAddress(client.remoteAddr.hostname), network = networkOf(address);
    const { maxPerAddress, proxies, onRefused } = this.#options;
    const ofNetwork = this.#counts.get(network) ?? 0;
    if (!proxies.has(address) && ofNetwork >= maxPerAddress && !await this.#makeRoom(network)) {
      onRefused?.("per-address");
      return await refuse(client);
    }
    if (this.#connections.size >= this.#maxConnections && !await this.#makeRoom()) {
      onRefused?.("total");
      return await refuse(client);
    }
    this.#counts.set(network, (this.#counts.get(network) ?? 0) + 1);
    this.#serve(client, address).catch(() => {}).finally(() => {
      const left = this.#counts.get(network)! - 1;
      if (left === 0) this.#counts.delete(network);
      else this.#counts.set(network, left);
    });
  }

  async #serve(client: Deno.TcpConn, address: string): Promise<void> {
    // Small writes must not wait for each other's acknowledgement.
    client.setNoDelay();
    const { hostname, port } = client.localAddr;
    const authorities = [...new Set([hostname, this.#options.hostname])]
      .map((host) => authorityOf(host, port));
    const connection = new Connection(client, { address, authorities, handler: this.#handler });
    this.#connections.add(connection);
    try {
      await connection.finished;
    } finally {
      this.#connections.delete(connection);
    }
  }

  #closeQuiet(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) {
      if (!connection.isOverdue(nowMs, this.#options)) continue;
      if (!this.#isClosing) this.#options.onRefused?.("quiet");
      connection.close();
    }
  }

  /** Closes the connection (of this network) that has been quiet the longest, if one is quiet. */
  async #makeRoom(network?: string): Promise<boolean> {
    let oldest: Connection | undefined;
    for (const connection of this.#connections) {
      if (network !== undefined && networkOf(connection.address) !== network) continue;
      if (connection.quietSince === undefined) continue;
      if (oldest === undefined || connection.quietSince < oldest.quietSince!) oldest = connection;
    }
    oldest?.close();
    await oldest?.finished;
    return oldest !== undefined;
  }
}

async function refuse(client: Deno.TcpConn): Promise<void> {
  await client.write(BUSY).catch(() => {});
  client.close();
}

/** How many connections the limit of open files allows (Linux; no bound elsewhere). */
function connectionsOfFiles(): number {
  try {
    const limits = Deno.readTextFileSync("/proc/self/limits");
    const [, files] = /^Max open files +(\d+)/m.exec(limits) ?? [];
    if (files === undefined) return Infinity;
    return Math.floor((Number(files) - SPARE_FILES) / FILES_PER_CONNECTION);
  } catch {
    return Infinity;
  }
}

/** As a URL has it: without the scheme's own port, IPv6 in brackets. */
function authorityOf(host: string, port: number): string {
  const plain = plainAddress(host);
  return new URL(`http://${plain.includes(":") ? `[${plain}]` : plain}:${port}`).host;
}
