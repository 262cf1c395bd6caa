import { Socket } from "node:net";
import { setImmediate } from "node:timers";
import { Duplex } from "node:stream";
import { sleep } from "../../lib/sleep.ts";
import { CANNOT_CONNECT_NOW, codeOf, UNSENT, WRONG_SERVER } from "./error_code.ts";
import { LoginReader } from "./login_reader.ts";
import type { Place, SessionTarget } from "./parse_url.ts";
import { secure, type TlsSettings } from "./tls.ts";

/** How to reach the server. */
export interface SocketOptions {
  /** Hosts to try in turn; after one fails, the next socket goes to the next. */
  readonly places: readonly Place[];
  readonly tls: TlsSettings;
  /** Which of the hosts will do. */
  readonly target: SessionTarget;
  /** Milliseconds to connect, and to agree on TLS. */
  readonly connectTimeoutMs: number;
  /** Finds the hosts again when nothing listens there. */
  readonly relocate?: () => Promise<readonly Place[]>;
}

/** A socket that is open or being opened. */
interface Watched {
  readonly place: Place;
  /** When its last byte came. */
  heardAt: number;
  /** The server process at its other end, once it has said so. */
  pid?: number;
  /** Whether it has failed already. */
  hasFailed?: boolean;
}

/**
 * Opens the sockets that postgres.js uses, chooses their host, and closes silent ones.
 *
 * postgres.js 3.4.9 cannot close one connection. A peer that vanished would keep its place in the
 * pool until the kernel noticed, which takes minutes. Its own choice of hosts, given several, tries
 * without a pause until one answers, and keeps a connection to a server that cannot write.
 */
export class SocketPool {
  /** The hosts, for messages and permissions. */
  places: readonly Place[];
  readonly #options: SocketOptions;
  readonly #sockets = new Map<Socket, Watched>();
  /** Those that postgres.js has, and has not seen closed. */
  readonly #open = new Set<Socket>();
  #settling: PromiseWithResolvers<void> | undefined;
  #relocating: Promise<readonly Place[]> | undefined;
  #turn = 0;
  #isClosed = false;

  /** Opens nothing yet. */
  constructor(options: SocketOptions) {
    this.places = options.places;
    this.#options = options;
  }

  /** How many sockets are open or being opened. */
  get size(): number {
    return this.#sockets.size;
  }

  /** Whether the server has to be one that can write. */
  get isWriting(): boolean {
    return this.#options.target === "read-write" || this.#options.target === "primary";
  }

  /**
   * Connects, and agrees on TLS.
   *
   * @returns Never an error: postgres.js 3.4.9 would lose the connection's place in the pool. A
   * socket that failed emits its error once postgres.js listens to it.
   */
  async open(): Promise<Socket> {
    try {
      const opening = this.#openAt(this.places[this.#turn]);
      return await opening.catch((error) => this.#openElsewhere(error));
    } catch (error) {
      return failed(Object.assign(error as Error, UNSENT));
    }
  }

  /**
   * To be awaited before a statement is sent: postgres.js 3.4.9 takes an idle connection for open until
   * its socket says that it is closed, which is after it was destroyed.
   *
   * @returns Undefined if it knows of all that are closed.
   */
  settled(): Promise<void> | undefined {
    if (this.#isSettled()) return undefined;
    return (this.#settling ??= Promise.withResolvers()).promise;
  }

  #isSettled(): boolean {
    for (const { destroyed } of this.#open) if (destroyed) return false;
    return true;
  }

  /** Opens a socket after nothing listened where it should go to. */
  async #openElsewhere(error: Error): Promise<Socket> {
    const { relocate } = this.#options;
    if (relocate === undefined || codeOf(error) !== "ECONNREFUSED" || this.#isClosed) throw error;
    this.places =
      await (this.#relocating ??= relocate().finally(() => this.#relocating = undefined));
    return await this.#openAt(this.places[this.#turn]);
  }

  async #openAt(place: Place): Promise<Socket> {
    const { connectTimeoutMs } = this.#options;
    const socket = new Socket();
    const watched: Watched = { place, heardAt: performance.now() };
    this.#sockets.set(socket, watched);
    const closed = new Promise<never>((_, reject) => {
      socket.on("error", reject);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        reject(reset("connection given up"));
      });
    });
    const timer = setTimeout(
      () => socket.destroy(reset(`no answer in ${connectTimeoutMs} ms`, "ETIMEDOUT")),
      connectTimeoutMs,
    );
    try {
      if (this.#isClosed) throw reset("the pool is closed");
      return await Promise.race([this.#connect(socket, watched), closed]);
    } catch (error) {
      this.#moveOn(watched);
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      closed.catch(() => {});
    }
  }

  async #connect(socket: Socket, watched: Watched): Promise<Socket> {
    const { tls, target } = this.#options, { place } = watched;
    await new Promise<void>((resolve) => {
      if (place.path === undefined) socket.connect(place.port, place.host, resolve);
      else socket.connect(place.path, resolve);
    });
    const isPlain = tls.mode === "disable" || place.path !== undefined;
    const secured = isPlain ? socket : await secure(socket, place.host, tls);
    const login = new LoginReader();
    secured.on("data", (bytes) => {
      watched.heardAt = performance.now();
      if (login.isOver) return;
      login.read(bytes);
      watched.pid = login.pid;
      // postgres.js reads why, and fails the statement.
      if (login.refusedWith === CANNOT_CONNECT_NOW) this.#moveOn(watched);
      const why = login.isOver ? login.refusal(target) : undefined;
      // postgres.js sends the first statement now, into a socket that is closed.
      if (why !== undefined) secured.destroy(this.#refuse(watched, why));
    });
    // A server that hangs up during the login has failed. postgres.js sees no error there, and would
    // connect again without a pause.
    secured.once("end", () => {
      if (!login.isOver) secured.destroy(reset("the server hung up"));
    });
    let isBroken = false;
    secured.on("error", (error) => {
      // postgres.js sends the first statement after the login.
      if (isBroken || !login.isOver) Object.assign(error, UNSENT);
      isBroken = true;
    });
    this.#open.add(secured);
    closeLater(secured, () => {
      if (isBroken || !login.isOver) this.#moveOn(watched);
      if (isBroken) secured.emit("error", reset("the connection was lost"));
      this.#open.delete(secured);
      if (!this.#isSettled()) return;
      this.#settling?.resolve();
      this.#settling = undefined;
    });
    // postgres.js names them in its errors.
    return Object.assign(secured, { host: place.host, port: place.port });
  }

  #refuse(watched: Watched, why: string): Error {
    this.#moveOn(watched);
    const { target } = this.#options,
      { place } = watched,
      name = place.path ?? `${place.host}:${place.port}`;
    const message = `the server ${name} ${why}, and target_session_attrs is ${target}; name ` +
      "another server in DATABASE_URL, or let this one write";
    return Object.assign(reset(message, WRONG_SERVER), UNSENT);
  }

  /** The next socket goes to the next host, if no other failure has said so already. */
  #moveOn(watched: Watched): void {
    const { place, hasFailed } = watched;
    if (hasFailed) return;
    watched.hasFailed = true;
    if (this.places[this.#turn] === place) this.#turn = (this.#turn + 1) % this.places.length;
  }

  /**
   * Goes to the next host, because the one of this server process cannot be used any more.
   *
   * @param options.isReadOnly Whether to close the other connections to that host, too.
   */
  async leave(
    pid: number | null,
    { isReadOnly }: { readonly isReadOnly: boolean },
  ): Promise<void> {
    const left = [...this.#sockets.values()].find((watched) => watched.pid === pid);
    if (left === undefined) return;
    this.#moveOn(left);
    if (!isReadOnly || !this.isWriting) return;
    await this.#closeAt(
      (place) => place === left.place,
      reset("its server cannot write any more"),
    );
  }

  /** Closes all sockets, of a pool that runs no statement. New ones may be opened after. */
  async closeAll(): Promise<void> {
    await this.#closeAt(() => true);
  }

  async #closeAt(isMeant: (place: Place) => boolean, why?: Error): Promise<void> {
    const closing = [...this.#sockets].filter(([, { place }]) => isMeant(place));
    await Promise.all(closing.map(([socket]) =>
      new Promise<void>((resolve) => {
        socket.once("close", () => resolve());
        socket.destroy(why);
      })
    ));
    // postgres.js hears of it, and does not send the next statement there.
    await sleep(1);
  }

  /**
   * Closes the sockets that have been silent since `sinceMs`; their statements fail.
   *
   * @param sinceMs A reading of `performance.now()`.
   */
  dropSilent(sinceMs: number): void {
    for (const [socket, { heardAt }] of this.#sockets) {
      if (heardAt < sinceMs || socket.destroyed) {
        this.#sockets.delete(socket);
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

/**
 * Tells postgres.js 3.4.9 that a socket is closed after it has written what it was about to write. It
 * does so in setImmediate(). If it hears of the close before, the bytes stay with it, and the login of
 * the next connection waits behind them until it is given up.
 *
 * @param onClose Called first. An error that it emits fails a statement that was given to the socket
 * after its error, as to one that is open. Nothing else would: the statement would wait for the next
 * connection, and then pass for done, without a row.
 */
function closeLater(socket: Duplex, onClose = () => {}): void {
  const emit = socket.emit.bind(socket) as (...event: unknown[]) => boolean;
  const close = (...event: unknown[]) => {
    onClose();
    emit(...event);
  };
  Object.assign(socket, {
    emit(...event: unknown[]) {
      if (event[0] !== "close") return emit(...event);
      setImmediate(() => setImmediate(() => close(...event)));
      return true;
    },
  });
}

/** A socket that takes what is written, and fails with `error` once its listeners were added. */
function failed(error: Error): Socket {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  closeLater(socket);
  setTimeout(() => socket.destroy(error));
  return socket as Socket;
}

function reset(message: string, code = "ECONNRESET"): Error {
  return Object.assign(new Error(message), { code });
}
