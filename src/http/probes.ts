/**
 * Answers supervisors and scrapers: `/healthz`, `/readyz`, `/metrics`.
 *
 * @module
 */

import type { MetricsRegistry } from "../jobs/worker/metrics.ts";
import { replyEncoded } from "./reply.ts";
import type { Answer } from "./server/answer.ts";

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
): (request: Request) => Promise<Answer | undefined> {
  let checking: Promise<(readonly [string, boolean])[]> | undefined;
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (!["/healthz", "/readyz", "/metrics"].includes(pathname)) return undefined;
    if (request.method !== "GET" && request.method !== "HEAD") {
      return { status: 405, headers: { allow: "GET, HEAD" }, body: null };
    }
    if (pathname === "/healthz") {
      return { status: 200, headers: { "content-type": "text/plain;charset=UTF-8" }, body: "ok\n" };
    }
    if (pathname === "/metrics") {
      const headers = { "content-type": metrics.contentType };
      return { status: 200, headers, body: await metrics.text() };
    }
    // A flood of probes makes no flood of statements.
    checking ??= runAll(checks).finally(() => checking = undefined);
    const results = await checking;
    const isReady = results.every(([, holds]) => holds);
    const body = { ready: isReady, checks: Object.fromEntries(results) };
    return replyEncoded(JSON.stringify(body), "json", { status: isReady ? 200 : 503 });
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
