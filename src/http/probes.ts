/**
 * Answers supervisors and scrapers: `/healthz`, `/readyz`, `/metrics`.
 *
 * @module
 */

import type { MetricsRegistry } from "../jobs/worker/metrics.ts";

/** Tells whether one condition of readiness holds. */
export type Check = () => Promise<boolean> | boolean;

/** What the probes report. */
export interface ProbeOptions {
  /** Conditions by name; all must hold for `/readyz` to say 200. */
  readonly checks: Readonly<Record<string, Check>>;
  readonly metrics: MetricsRegistry;
}

/**
 * Makes the handler of the three paths; it returns undefined for others.
 *
 * `/healthz` checks no other service: restarting this process would not bring a database back.
 */
export function createProbes(
  { checks, metrics }: ProbeOptions,
): (request: Request) => Promise<Response | undefined> {
  let checking: Promise<(readonly [string, boolean])[]> | undefined;
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (!["/healthz", "/readyz", "/metrics"].includes(pathname)) return undefined;
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
    }
    if (pathname === "/healthz") return new Response("ok\n");
    if (pathname === "/metrics") {
      return new Response(await metrics.text(), {
        headers: { "content-type": metrics.contentType },
      });
    }
    // A flood of probes makes no flood of statements.
    checking ??= runAll(checks).finally(() => checking = undefined);
    const results = await checking;
    const isReady = results.every(([, holds]) => holds);
    const body = { ready: isReady, checks: Object.fromEntries(results) };
    return Response.json(body, { status: isReady ? 200 : 503 });
  };
}

async function runAll(checks: ProbeOptions["checks"]): Promise<(readonly [string, boolean])[]> {
  return await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        return [name, await check()] as const;
      } catch {
        return [name, false] as const;
      }
    }),
  );
}
