/**
 * What supervisors and scrapers ask a process: `/healthz`, `/readyz`, `/metrics`.
 *
 * @module
 */

import type { Meter } from "../jobs/worker/metrics.ts";

/** One condition of readiness. */
export type Check = () => Promise<boolean> | boolean;

/** What is answered from. */
export interface HealthParts {
  /** Conditions by name; all must hold for `/readyz` to say 200. */
  readonly checks: Readonly<Record<string, Check>>;
  /** What `/metrics` prints. */
  readonly meter: Meter;
}

/**
 * Makes the handler of the three routes; other requests get undefined.
 *
 * `/healthz` asks nothing of anybody: a process that answers is alive, and restarting it would not
 * bring a database back.
 */
export function healthRoutes(
  { checks, meter }: HealthParts,
): (request: Request) => Promise<Response | undefined> {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (!["/healthz", "/readyz", "/metrics"].includes(pathname)) return undefined;
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
    }
    if (pathname === "/healthz") return new Response("ok\n");
    if (pathname === "/metrics") {
      return new Response(await meter.text(), { headers: { "content-type": meter.contentType } });
    }
    const results = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => {
        try {
          return [name, await check()] as const;
        } catch {
          return [name, false] as const;
        }
      }),
    );
    const isReady = results.every(([, holds]) => holds);
    const body = { ready: isReady, checks: Object.fromEntries(results) };
    return Response.json(body, { status: isReady ? 200 : 503 });
  };
}
