/**
 * Serves the API on a socket.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Config } from "../../config/config.ts";
import type { Api } from "../app.ts";
import { createProbes, type ProbeOptions } from "../probes.ts";
import { parseAddresses } from "../../lib/addresses.ts";
import { canServeConnections } from "./serve_connection.ts";
import { Front, type RefusedWhy } from "./front.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly config: Config;
  /** How long `close()` waits for running requests, in milliseconds. Default 5,000. */
  readonly closeMs?: number;
  readonly onRefused?: (why: RefusedWhy) => void;
}

export interface ApiServer extends AsyncDisposable {
  /** Its own URL. */
  readonly url: string;
  /** Stops accepting requests and waits up to `closeMs` for running ones. */
  close(): Promise<void>;
}

/**
 * Serves `/healthz`, `/readyz` and `/metrics` alone, without credentials.
 *
 * @throws {ConfigError} If the address or port is not available.
 */
export function listenForProbes(config: Config, options: ProbeOptions): ApiServer {
  const probes = createProbes(options);
  return listen(
    async (request) => {
      const answer = await probes(request);
      return answer === undefined
        ? new Response("Not found\n", { status: 404 })
        : new Response(request.method === "HEAD" ? null : answer.body, answer);
    },
    { hostname: config.httpHost, port: config.httpPort, config, closeMs: 0 },
  );
}

/**
 * Starts listening.
 *
 * @throws {ConfigError} If the address or port is not available.
 */
export function listen(
  api: Api,
  { hostname, port, config, closeMs = 5_000, onRefused }: ListenOptions,
): ApiServer {
  if (!canServeConnections) {
    throw new ConfigError(
      `Cannot serve on Deno ${Deno.version.deno}: it does not take accepted connections; use 2.9.6`,
    );
  }
  let front: Front;
  try {
    front = new Front({
      hostname,
      port,
      headMs: config.httpHeadMs,
      idleMs: config.httpIdleMs,
      maxConnections: config.httpConnections,
      maxPerAddress: config.httpConnectionsPerAddress,
      proxies: parseAddresses(config.httpProxies),
      ...(onRefused === undefined ? {} : { onRefused }),
    }, api);
  } catch (error) {
    throw new ConfigError(`Cannot listen on ${hostname}:${port}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { addr } = front;
  const host = addr.hostname.includes(":") ? `[${addr.hostname}]` : addr.hostname;
  let closed: Promise<void> | undefined;
  const close = () => closed ??= front.close(closeMs);
  return { url: `http://${host}:${addr.port}`, close, [Symbol.asyncDispose]: close };
}
