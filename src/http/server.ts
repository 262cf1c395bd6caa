/**
 * The API on a socket.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { hasIdentities } from "../db/identities.ts";
import type { Database } from "../db/client/database.ts";
import type { Api } from "./app.ts";

/** Where to listen. */
export interface ListenOptions {
  /** The address. */
  readonly hostname: string;
  /** The port; 0 for any that is free. */
  readonly port: number;
  /** How long `close()` waits for requests that run, in milliseconds. Default 5,000. */
  readonly closeMs?: number;
}

/** A running server. Close it, or use `await using`. */
export interface ApiServer extends AsyncDisposable {
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Takes no more requests, and waits for those that run, but not for ever. */
  close(): Promise<void>;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i;

/**
 * Refuses an address that others can reach while there is nobody to tell apart.
 *
 * @throws {ConfigError} If there are no identities and the address is not this machine's alone.
 */
export async function checkExposure(db: Database, hostname: string): Promise<void> {
  if (LOOPBACK.test(hostname) || await hasIdentities(db)) return;
  throw new ConfigError(
    `Cannot listen on ${hostname}: nobody has an identity, so anybody could do anything; ` +
      `run "main.ts identity create" first, or listen on 127.0.0.1`,
  );
}

/**
 * Starts listening.
 *
 * @throws {ConfigError} If the address or port cannot be had.
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

/** A client that neither sends nor hangs up would keep the server for ever. */
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
