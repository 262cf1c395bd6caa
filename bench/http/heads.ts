/**
 * Load of HEAD requests: wrk waits for the bodies that their Content-Length announces.
 *
 * @module
 */

import type { Load, LoadOptions } from "./wrk.ts";

/** Sends HEAD requests, one after the other on each connection. */
export async function heads(
  url: string,
  paths: readonly string[],
  authorization: string,
  { connections, seconds }: Omit<LoadOptions, "script">,
): Promise<Load> {
  const { hostname, port, host } = new URL(url);
  const requests = paths.map((path) =>
    new TextEncoder().encode(
      `HEAD ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: ${authorization}\r\n\r\n`,
    )
  );
  const latencies: number[] = [], decoder = new TextDecoder();
  const startedAt = performance.now(), endsAt = startedAt + seconds * 1000;
  const ask = async () => {
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const buffer = new Uint8Array(8192);
    while (performance.now() < endsAt) {
      const sentAt = performance.now();
      const request = requests[Math.floor(Math.random() * requests.length)];
      for (let at = 0; at < request.length;) at += await connection.write(request.subarray(at));
      let head = "";
      while (!head.endsWith("\r\n\r\n")) {
        const bytes = await connection.read(buffer);
        if (bytes === null) throw new Error(`The server has closed the connection: ${head}`);
        head += decoder.decode(buffer.subarray(0, bytes));
      }
      if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(head);
      latencies.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: connections }, ask));
  const perSecond = latencies.length / ((performance.now() - startedAt) / 1000);
  latencies.sort((one, other) => one - other);
  return { perSecond, p99Ms: latencies[Math.floor(latencies.length * 0.99)], bytesPerSecond: 0 };
}
