/**
 * A host in front of a database that fails in the ways in which servers fail, and comes back.
 *
 * @module
 */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/**
 * `up`: it serves. `refused`: nothing listens. `hung-up`: it takes connections, and ends them at once.
 * `starting`: it refuses sessions with 57P03. `silent`: nothing is answered any more. `cut`: it serves
 * some bytes, then resets.
 */
export const FAULTS = ["refused", "hung-up", "starting", "silent", "cut"] as const;
/** How a host behaves. */
export type Behaviour = "up" | typeof FAULTS[number];

const CUT_BYTES = 600;

/** A host whose behaviour can be changed. */
export class FickleHost implements AsyncDisposable {
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  #is: Behaviour = "up";

  private constructor(url: string) {
    this.#target = new URL(url);
  }

  /** Opens a host of the server that a database URL names. */
  static async open(url: string): Promise<FickleHost> {
    const host = new FickleHost(url);
    await host.#listen();
    return host;
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Behaves so from now on. Open connections are reset, unless it falls silent. */
  async become(is: Behaviour): Promise<void> {
    const isReset = is !== this.#is && is !== "silent";
    this.#is = is;
    if (isReset) { for (const socket of this.#sockets) socket.resetAndDestroy(); }
    if (is === "refused") await this.#close();
    else if (this.#server === undefined) await this.#listen();
  }

  /** Resets the open connections. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async #listen(): Promise<void> {
    const server = createServer((client) => this.#serve(client));
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
  }

  async #close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    this.reset();
    await new Promise((resolve) => server.close(resolve));
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #serve(client: Socket): void {
    this.#watch(client);
    if (this.#is === "hung-up") return void client.end();
    if (this.#is === "starting") {
      client.on("data", (bytes) => {
        // First it is asked for TLS, in eight bytes.
        if (bytes.length === 8) client.write("N");
        else client.end(REFUSAL);
      });
      return;
    }
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    this.#watch(upstream);
    let left = this.#is === "cut" ? CUT_BYTES : Infinity;
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on("data", (chunk) => {
        if (this.#is === "silent") return;
        left -= chunk.length;
        if (left < 0) client.resetAndDestroy();
        else to.write(chunk);
      });
      from.once("close", () => to.destroy());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** What a server says to a client while it starts up. */
const REFUSAL = (() => {
  const fields = "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
  const bytes = new Uint8Array(5 + fields.length);
  bytes[0] = "E".charCodeAt(0);
  new DataView(bytes.buffer).setUint32(1, 4 + fields.length);
  bytes.set(new TextEncoder().encode(fields), 5);
  return bytes;
})();
