/**
 * A receiver of webhooks on this machine.
 *
 * @module
 */

/** One request that came. */
export interface Received {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** A server that keeps what it is sent. */
export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
  /** What it answers from now on. */
  answer: (request: Received) => Response | Promise<Response>;
  /** Waits until so many requests have come. */
  until(count: number): Promise<void>;
}

/** Starts a receiver; with key and certificate it speaks TLS. */
export function startReceiver(
  tls: { readonly key: string; readonly cert: string } | Record<never, never> = {},
): Receiver {
  const received: Received[] = [], waiting = new Set<() => void>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, ...tls },
    async (request) => {
      const one = {
        path: new URL(request.url).pathname,
        headers: Object.fromEntries(request.headers),
        body: await request.text(),
      };
      received.push(one);
      for (const look of waiting) look();
      return await receiver.answer(one);
    },
  );
  const receiver: Receiver = {
    url: `http://127.0.0.1:${server.addr.port}`,
    port: server.addr.port,
    received,
    answer: () => new Response("thanks"),
    until: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (received.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      await server.shutdown();
    },
  };
  return receiver;
}
