/**
 * One client's TCP connection, on which Deno's HTTP server answers requests.
 *
 * @module
 */

import { serveConnection } from "./serve_connection.ts";

/** An answer may take so many times the idle time to be sent, unless its sender holds the connection. */
const SEND_FACTOR = 4;

/** The two ends of a connection. */
export interface Peer {
  /** The client's IP address. */
  readonly address: string;
  /** Our own address as `host:port`: the authorities that a signature may cover. */
  readonly authorities: readonly string[];
  /** Keeps the connection open while an answer is sent, until the result is disposed of. */
  hold(): Disposable;
  /** Closes the connection at once. */
  close(): void;
}

/** Answers one request of a client. `sent` settles when the answer is sent, or cannot be. */
export type Handler = (request: Request, peer: Peer, sent: Promise<void>) => Promise<Response>;

/** How long a connection may be quiet, in milliseconds. */
export interface QuietLimits {
  /** Before its first request is complete up to the body. */
  readonly headMs: number;
  /** After that, while no request runs. */
  readonly idleMs: number;
}

export class Connection implements Peer {
  readonly address: string;
  readonly authorities: readonly string[];
  readonly #cut = new AbortController();
  readonly #handler: Handler;
  readonly #finished: Promise<void>;
  /** Requests whose handler runs, and answers that somebody sends part by part. */
  #running = 0;
  /** Answers that are complete, but not sent to their end. */
  #sending = 0;
  #hasAsked = false;
  #isDraining = false;
  #quietSince = performance.now();

  /** Takes over `client`, and closes it. */
  constructor(client: Deno.TcpConn, { address, authorities, handler }: ConnectionOptions) {
    this.address = address;
    this.authorities = authorities;
    this.#handler = handler;
    const served = serveConnection(client, {
      signal: this.#cut.signal,
      handler: (request, sent) => this.#answer(request, sent),
    });
    // A connection that was reset has finished, too.
    this.#finished = served.catch(() => {});
  }

  /** Resolves when the connection is closed and no request of it runs. */
  get finished(): Promise<void> {
    return this.#finished;
  }

  /** Since when no request has run; undefined while one runs or is answered. */
  get quietSince(): number | undefined {
    return this.#running + this.#sending > 0 ? undefined : this.#quietSince;
  }

  /** Tells whether the connection has been quiet for too long. */
  isOverdue(nowMs: number, { headMs, idleMs }: QuietLimits): boolean {
    if (this.#running > 0) return false;
    if (this.#sending > 0) return nowMs - this.#quietSince > SEND_FACTOR * idleMs;
    return this.#isDraining || nowMs - this.#quietSince > (this.#hasAsked ? idleMs : headMs);
  }

  hold(): Disposable {
    this.#running++;
    return {
      [Symbol.dispose]: () => {
        this.#running--;
        this.#quietSince = performance.now();
      },
    };
  }

  close(): void {
    this.#cut.abort();
  }

  /** Makes the connection overdue as soon as its requests are answered. */
  drain(): void {
    this.#isDraining = true;
  }

  async #answer(request: Request, sent: Promise<void>): Promise<Response> {
    this.#hasAsked = true;
    this.#sending++;
    const end = () => {
      this.#sending--;
      this.#quietSince = performance.now();
    };
    // It rejects, perhaps before the handler is done, if the client has gone.
    sent.then(end, end);
    using _running = this.hold();
    return await this.#handler(request, this, sent);
  }
}

/** Whose connection it is, and who answers. */
export interface ConnectionOptions extends Pick<Peer, "address" | "authorities"> {
  readonly handler: Handler;
}
