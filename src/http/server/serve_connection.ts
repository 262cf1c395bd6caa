/**
 * Answers the requests of a connection that was accepted by us.
 *
 * `Deno.serve` accepts connections itself, without deadlines or caps, and ends when accepting fails
 * (no file descriptors left). The function under it takes one connection. It is what Deno's node:http2
 * uses, and not part of Deno's public API; tests/http/serve_connection_test.ts holds it to what is
 * relied on here.
 *
 * Rejected: a relay to `Deno.serve` over loopback takes 27 µs of processor time more for a request
 * of 15 µs, a relay over a Unix socket 15 µs; node:http takes 3 to 5 times bare `Deno.serve`.
 *
 * @module
 */

/** How to serve a connection. */
export interface ServeOptions {
  /** Closes the connection at once. */
  readonly signal: AbortSignal;
  /** Answers a request; `sent` settles when the answer is sent or cannot be. */
  handler(request: Request, sent: Promise<void>): Promise<Response>;
}

/** What Deno uses of a signal. */
interface Cut {
  addEventListener(type: "abort", listener: () => void): void;
}

type ServeOnConnection = (
  connection: Deno.TcpConn,
  signal: Cut,
  handler: (request: Request, info: Deno.ServeHandlerInfo) => Promise<Response>,
  onError: (error: unknown) => Response,
  onListen: () => void,
) => { readonly finished: Promise<void> };

const INTERNALS = Deno as unknown as { readonly internal: symbol };
const { serveHttpOnConnection } = (Deno as unknown as {
  readonly [name: symbol]: { readonly serveHttpOnConnection?: ServeOnConnection };
})[INTERNALS.internal];

/** Whether this version of Deno can serve an accepted connection. */
export const canServeConnections = typeof serveHttpOnConnection === "function";

/**
 * Takes over a connection, and serves its requests (HTTP/1.1, HTTP/2 cleartext).
 *
 * @returns When the connection is closed and no handler runs; rejected if it was reset.
 */
export function serveConnection(
  connection: Deno.TcpConn,
  { signal, handler }: ServeOptions,
): Promise<void> {
  return serveHttpOnConnection!(
    connection,
    safely(signal),
    (request, info) => handler(request, info.completed),
    () => new Response(null, { status: 500 }),
    () => {},
  ).finished;
}

/**
 * The signal, but a listener that throws is not an uncaught error. Deno's listener throws if the
 * client has closed the connection while one of its requests is still running.
 */
function safely(signal: AbortSignal): Cut {
  return {
    addEventListener: (type, listener) =>
      signal.addEventListener(type, () => {
        try {
          listener();
        } catch {
          // The connection has ended.
        }
      }, { once: true }),
  };
}
