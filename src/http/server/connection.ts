/**
 * One client's TCP connection, relayed to the HTTP server behind the {@link Front}.
 *
 * @module
 */

const FIRST_BUFFER_BYTES = 4 * 1024;
const MAX_BUFFER_BYTES = 256 * 1024;
/** How long to read on after the last answer: a reset at once could destroy that answer. */
const LINGER_MS = 2_000;

/** The two ends of a connection. */
export interface Peer {
  /** The client's IP address. */
  readonly address: string;
  /** Our own address as `host:port`: the authorities that a signature may cover. */
  readonly authorities: readonly string[];
  /** Closes the connection at once. */
  close(): void;
}

/** How long a connection may be quiet, in milliseconds. */
export interface QuietLimits {
  /** Before its first request is complete up to the body. */
  readonly headMs: number;
  /** After that, while no request runs and nothing is sent to the client. */
  readonly idleMs: number;
}

export class Connection implements Peer {
  readonly address: string;
  readonly authorities: readonly string[];
  readonly #client: Deno.TcpConn;
  readonly #server: Deno.TcpConn;
  #running = 0;
  #hasAsked = false;
  #quietSince = performance.now();
  #lingersUntil = Infinity;
  readonly #closed = Promise.withResolvers<void>();

  constructor(client: Deno.TcpConn, server: Deno.TcpConn, peer: Omit<Peer, "close">) {
    this.#client = client;
    this.#server = server;
    this.address = peer.address;
    this.authorities = peer.authorities;
  }

  /** Resolves when both ends are closed, and the server behind has seen it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Since when no request has run and nothing was sent; undefined while a request runs. */
  get quietSince(): number | undefined {
    return this.#running > 0 ? undefined : this.#quietSince;
  }

  /** Tells whether the connection has been quiet for too long. */
  isOverdue(nowMs: number, { headMs, idleMs }: QuietLimits): boolean {
    if (nowMs > this.#lingersUntil) return true;
    if (this.#running > 0) return false;
    return nowMs - this.#quietSince > (this.#hasAsked ? idleMs : headMs);
  }

  /** Counts a request as running until the result is disposed of. */
  beginRequest(): Disposable {
    this.#running++;
    this.#hasAsked = true;
    return {
      [Symbol.dispose]: () => {
        this.#running--;
        this.#quietSince = performance.now();
      },
    };
  }

  /** Copies bytes both ways; resolves when the connection is closed. */
  async relay(): Promise<void> {
    // The client has gone: end its request, too.
    const requests = this.#copy(this.#client, this.#server).catch(() => this.close());
    try {
      await this.#copy(this.#server, this.#client, () => this.#quietSince = performance.now());
      this.#lingersUntil = performance.now() + LINGER_MS;
      await requests;
    } catch {
      // Either end has closed or reset the connection.
    } finally {
      this.close();
      await requests;
      setTimeout(() => this.#closed.resolve(), 0);
    }
  }

  close(): void {
    for (const end of [this.#client, this.#server]) {
      try {
        end.close();
      } catch {
        // It is closed already.
      }
    }
  }

  /** Copies until the end of `from`. If `to` takes no more, reads on: its answer may be on the way. */
  async #copy(from: Deno.TcpConn, to: Deno.TcpConn, onCopied?: () => void): Promise<void> {
    let buffer = new Uint8Array(FIRST_BUFFER_BYTES), isTaken = true;
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      try {
        for (let at = 0; isTaken && at < count;) at += await to.write(buffer.subarray(at, count));
        onCopied?.();
      } catch (error) {
        if (to === this.#client) throw error;
        isTaken = false;
      }
      if (count === buffer.length && count < MAX_BUFFER_BYTES) buffer = new Uint8Array(4 * count);
    }
    await to.closeWrite();
  }
}
