import { Socket } from "node:net";

/** Where the server listens; more than one host means "try them in turn". */
export interface SocketTarget {
  /** Host names or addresses. */
  readonly hosts: readonly string[];
  /** One port per host. */
  readonly ports: readonly number[];
  /** Path of a Unix socket, instead of hosts. */
  readonly path?: string;
}

interface Watched extends Socket {
  host?: string;
  port?: number;
  ssl?: unknown;
}

/**
 * Opens the sockets that postgres.js talks over and remembers when each was last heard of.
 *
 * postgres.js has no way to give up one connection. A peer that vanished without a word would
 * keep its pool slot until the kernel noticed, which takes minutes.
 */
export class SocketPool {
  readonly #target: SocketTarget;
  readonly #heardAt = new Map<Socket, number>();
  #next = 0;

  /** Prepares a pool for `target`; nothing is opened yet. */
  constructor(target: SocketTarget) {
    this.#target = target;
  }

  /** How many sockets are open or being opened. */
  get size(): number {
    return this.#heardAt.size;
  }

  /** Starts to connect, and returns at once: postgres.js listens for the outcome itself. */
  open(): Socket {
    const socket: Watched = new Socket();
    const { hosts, ports, path } = this.#target;
    const turn = this.#next++ % hosts.length;
    this.#heardAt.set(socket, performance.now());
    socket.on("data", () => this.#heardAt.set(socket, performance.now()));
    // A peer that hangs up before its first byte makes postgres.js reconnect in a hot loop,
    // because to it nothing failed. Make it a failure.
    socket.once("end", () => {
      if (socket.bytesRead === 0) socket.destroy(hangUp());
    });
    socket.once("close", () => this.#heardAt.delete(socket));
    if (path !== undefined) {
      socket.connect(path);
    } else {
      socket.host = hosts[turn];
      socket.port = ports[turn];
      socket.connect(ports[turn], hosts[turn]);
    }
    return socket;
  }

  /**
   * Destroys the sockets that have been silent since `sinceMs`, which fails their statements.
   *
   * @param sinceMs A reading of `performance.now()`.
   */
  dropSilent(sinceMs: number): void {
    for (const [socket, heardAt] of this.#heardAt) {
      if (heardAt < sinceMs || socket.destroyed) {
        this.#heardAt.delete(socket);
        socket.destroy(hangUp());
      }
    }
  }
}

function hangUp(): Error {
  return Object.assign(new Error("connection given up"), { code: "ECONNRESET" });
}
