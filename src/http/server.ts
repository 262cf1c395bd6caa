/**
 * Serves the API on a socket.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Api } from "./app.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  /** How long `close()` waits for running requests, in milliseconds. Default 5,000. */
  readonly closeMs?: number;
}

export interface ApiServer extends AsyncDisposable {
  /** Its own URL. */
  readonly url: string;
  /** Stops accepting requests and waits up to `closeMs` for running ones. */
  close(): Promise<void>;
}

/**
 * Starts listening.
 *
 * @throws {ConfigError} If the address or port is not available.
 */
export function listen(
  api: Api,
  { hostname, port, closeMs = 5_000 }: ListenOptions,
): ApiServer {
  const cut = new AbortController();
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(
      { hostname, port, signal: cut.signal, onListen: () => {} },
      (request, { remoteAddr }) => api(request, remoteAddr.hostname),
    );
  } catch (error) {
    throw new ConfigError(`Cannot listen on ${hostname}:${port}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { addr } = server;
  const host = addr.hostname.includes(":") ? `[${addr.hostname}]` : addr.hostname;
  let closed: Promise<void> | undefined;
  const close = () => closed ??= shutDown(server, cut, closeMs);
  return { url: `http://${host}:${addr.port}`, close, [Symbol.asyncDispose]: close };
}

/** Without the deadline a silent client would keep the server up for ever. */
async function shutDown(
  server: Deno.HttpServer,
  cut: AbortController,
  closeMs: number,
): Promise<void> {
  const timer = setTimeout(() => cut.abort(), closeMs);
  try {
    await Promise.race([server.shutdown(), server.finished]);
  } finally {
    clearTimeout(timer);
  }
}
