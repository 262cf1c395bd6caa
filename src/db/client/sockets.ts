import { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Place } from "./parse_url.ts";
import { secure, type TlsSettings } from "./tls.ts";

/** How to reach the server. */
export interface SocketOptions {
  /** Hosts to try in turn; after one fails, the next socket goes to the next. */
  readonly places: readonly Place[];
  readonly tls: TlsSettings;
  /** Milliseconds to connect, and to agree on TLS. */
  readonly connectTimeoutMs: number;
}

/**
 * Opens the sockets that postgres.js uses, chooses their host, and closes silent ones.
 *
 * postgres.js 3.4.9 cannot close one connection. A peer that vanished would keep its place in the
 * pool until the kernel noticed, which takes minutes. Its own choice of hosts, given several, tries
 * without a pause until one answers.
 */
export class SocketPool {
  /** The hosts, for messages and permissions. */
  readonly places: readonly Place[];
  readonly #options: SocketOptions;
  /** Every socket, with the time of its last byte. */
  readonly #heardAt = new Map<Socket, number>();
  #turn = 0;
  #isClosed = false;

  /** Opens nothing yet. */
  constructor(options: SocketOptions) {
    this.places = options.places;
    this.#options = options;
  }

  /** How many sockets are open or being opened. */
  get size(): number {
    return this.#heardAt.size;
  }

  /**
   * Connects, and agrees on TLS.
   *
   * @returns Never an error: postgres.js 3.4.9 would lose the connection's place in the pool. A
   * socket that failed emits its error once postgres.js listens to it.
   */
  async open(): Promise<Socket> {
    const place = this.places[this.#turn % this.places.length];
    const { connectTimeoutMs } = this.#options;
    const socket = new Socket();
    this.#heardAt.set(socket, performance.now());
    const closed = new Promise<never>((_, reject) => {
      socket.on("error", reject);
      socket.once("close", () => {
        this.#heardAt.delete(socket);
        reject(reset("connection given up"));
      });
    });
    const timer = setTimeout(
      () => socket.destroy(reset(`no answer in ${connectTimeoutMs} ms`, "ETIMEDOUT")),
      connectTimeoutMs,
    );
    try {
      if (this.#isClosed) throw reset("the pool is closed");
      return await Promise.race([this.#connect(socket, place), closed]);
    } catch (error) {
      this.#turn++;
      socket.destroy();
      return failed(error as Error);
    } finally {
      clearTimeout(timer);
      closed.catch(() => {});
    }
  }

  async #connect(socket: Socket, place: Place): Promise<Socket> {
    const { tls } = this.#options;
    await new Promise<void>((resolve) => {
      if (place.path === undefined) socket.connect(place.port, place.host, resolve);
      else socket.connect(place.path, resolve);
    });
    const isPlain = tls.mode === "disable" || place.path !== undefined;
    const secured = isPlain ? socket : await secure(socket, place.host, tls);
    let isSilent = true;
    secured.on("data", () => {
      isSilent = false;
      this.#heardAt.set(socket, performance.now());
    });
    // A server that hangs up before its first byte has failed. postgres.js sees no error there, and
    // would connect again without a pause.
    secured.once("end", () => {
      if (isSilent) secured.destroy(reset("the server hung up"));
    });
    // postgres.js names them in its errors.
    return Object.assign(secured, { host: place.host, port: place.port });
  }

  /**
   * Closes the sockets that have been silent since `sinceMs`; their statements fail.
   *
   * @param sinceMs A reading of `performance.now()`.
   */
  dropSilent(sinceMs: number): void {
    for (const [socket, heardAt] of this.#heardAt) {
      if (heardAt < sinceMs || socket.destroyed) {
        this.#heardAt.delete(socket);
        socket.destroy(reset("connection given up"));
      }
    }
  }

  /** Closes every socket. One that is being opened would otherwise outlive the pool. */
  close(): void {
    this.#isClosed = true;
    this.dropSilent(Infinity);
  }
}

/** A socket that takes what is written, and fails with `error` once its listeners were added. */
function failed(error: Error): Socket {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  setTimeout(() => socket.destroy(error));
  return socket as Socket;
}

function reset(message: string, code = "ECONNRESET"): Error {
  return Object.assign(new Error(message), { code });
}
