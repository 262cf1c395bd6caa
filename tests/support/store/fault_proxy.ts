/**
 * A proxy that brings about the faults of networks and overloaded servers, one for each request.
 *
 * @module
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What happens to one request. Without any member, it is passed on. */
export interface Fault {
  /** Answers with this status instead of passing the request on. */
  readonly status?: number;
  /** The body of that answer. */
  readonly body?: string;
  /** Headers of the answer to set; undefined removes a header. */
  readonly headers?: Record<string, string | undefined>;
  /** Headers of the request that are not passed on, in lower case. */
  readonly hideHeaders?: readonly string[];
  /** Passes only this many bytes of the answer's body on. */
  readonly afterBytes?: number;
  /** What happens to the connection after them. */
  readonly then?: "cut" | "reset" | "stall";
  /** Never answers. */
  readonly isSilent?: boolean;
  /** Resets the connection in place of an answer. */
  readonly isRefused?: boolean;
  /** Flips a bit of the answer's body at this offset. */
  readonly flipAtByte?: number;
  /** Waits this long before each chunk of the body, in milliseconds. */
  readonly chunkDelayMs?: number;
  /** Runs before the request is handled. */
  readonly before?: () => Promise<void> | void;
}

/** A received request. */
export interface SeenRequest {
  /** The method. */
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Headers, names in lower case. */
  readonly headers: Headers;
}

/** A running proxy. */
export interface FaultProxy extends AsyncDisposable {
  /** The proxy's own URL. */
  readonly endpoint: string;
  /** The faults of the next requests, in order. */
  readonly faults: Fault[];
  /** The requests so far. */
  readonly requests: SeenRequest[];
  /** How many connections are open, including those to the server behind. */
  readonly openSockets: number;
  /** Decides the fault where {@link FaultProxy.faults} is empty. */
  otherwise: (request: SeenRequest) => Fault;
}

/** Starts a proxy in front of `upstream`, an http URL. */
export async function startFaultProxy(upstream: string): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  const { hostname, port } = new URL(upstream);
  const server = createServer((client) => {
    const track = (socket: Socket) => {
      sockets.add(socket.on("error", () => {}).on("close", () => sockets.delete(socket)));
      return socket;
    };
    serve(track(client), () => track(connect(Number(port), hostname)), proxy)
      .catch(() => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults: [],
    requests: [],
    get openSockets() {
      return sockets.size;
    },
    otherwise: () => ({}),
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

async function serve(client: Socket, dial: () => Socket, proxy: FaultProxy): Promise<void> {
  const fromClient = client[Symbol.asyncIterator]();
  const request = await readHead(fromClient);
  const [method, target] = request.first.split(" ");
  const seen = { method, target, headers: new Headers(request.headers) };
  proxy.requests.push(seen);
  const fault = proxy.faults.shift() ?? proxy.otherwise(seen);
  await fault.before?.();
  if (fault.isSilent) return;
  if (fault.isRefused) return void client.resetAndDestroy();
  if (fault.status !== undefined) {
    const { status, body = "" } = fault;
    // The request's body is not read, as by an overloaded server.
    const headers = withFault(new Headers({ "content-length": String(body.length) }), fault);
    client.end(headOf(`HTTP/1.1 ${status} Because`, headers) + body);
    return;
  }
  // It may be gone by now, and does not say so again.
  if (client.destroyed) return;
  const upstream = dial();
  for (const name of fault.hideHeaders ?? []) request.headers.delete(name);
  request.headers.set("connection", "close");
  upstream.write(headOf(request.first, request.headers));
  upstream.write(request.rest);
  client.on("close", () => upstream.destroy());
  pump(fromClient, upstream);
  const fromUpstream = upstream[Symbol.asyncIterator]();
  const answer = await readHead(fromUpstream);
  answer.headers.set("connection", "close");
  client.write(headOf(answer.first, withFault(answer.headers, fault)));
  let leftBytes = fault.afterBytes ?? Infinity, sentBytes = 0;
  const { flipAtByte = -1, chunkDelayMs = 0 } = fault;
  for (let chunk: Uint8Array | undefined = answer.rest; chunk !== undefined;) {
    const part: Uint8Array = chunk.subarray(0, leftBytes);
    leftBytes -= part.length;
    if (flipAtByte >= sentBytes && flipAtByte < sentBytes + part.length) {
      part[flipAtByte - sentBytes] ^= 0x10;
    }
    sentBytes += part.length;
    if (chunkDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, chunkDelayMs));
    if (part.length > 0 && !client.write(part)) await once(client, "drain");
    if (leftBytes === 0) break;
    chunk = (await fromUpstream.next()).value;
  }
  if (leftBytes > 0 || fault.then === "cut") client.end();
  else if (fault.then === "reset") client.resetAndDestroy();
}

async function pump(from: AsyncIterator<Uint8Array>, to: Socket): Promise<void> {
  try {
    for (let result = await from.next(); !result.done; result = await from.next()) {
      if (!to.write(result.value)) await once(to, "drain");
    }
  } catch {
    to.destroy();
  }
}

async function readHead(from: AsyncIterator<Uint8Array>) {
  let bytes = new Uint8Array(0);
  while (true) {
    const text = new TextDecoder("latin1").decode(bytes);
    const end = text.indexOf("\r\n\r\n");
    if (end !== -1) {
      const [first, ...lines] = text.slice(0, end).split("\r\n");
      const headers = new Headers(lines.map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trim()];
      }));
      return { first, headers, rest: bytes.subarray(end + 4) };
    }
    const { done, value } = await from.next();
    if (done) throw new Error("the connection ended within a head");
    bytes = new Uint8Array([...bytes, ...value]);
  }
}

function withFault(headers: Headers, fault: Fault): Headers {
  for (const [name, value] of Object.entries(fault.headers ?? {})) {
    if (value === undefined) headers.delete(name);
    else headers.set(name, value);
  }
  return headers;
}

function headOf(first: string, headers: Headers): string {
  return `${first}\r\n${[...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}
