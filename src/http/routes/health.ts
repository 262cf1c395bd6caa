/**
 * The routes for supervisors and scrapers.
 *
 * @module
 */

import { HttpProblem } from "../problem.ts";
import { type AnswerSpec, type Route, route, tagged } from "../route.ts";
import { NoParams, NoQuery } from "../schemas.ts";

/** Answered by `ApiContext.probes`. */
export const healthRoutes: readonly Route[] = tagged("Server", [
  health("/healthz", "isAlive", "Whether the process answers; checks no other service."),
  health("/readyz", "isReady", "Whether the services it needs answer."),
  health(
    "/metrics",
    "metrics",
    "Metrics for Prometheus, for admins; MPACK_HTTP_PORT serves them without credentials.",
  ),
]);

function health(path: string, id: string, summary: string): Route {
  const isMetrics = path === "/metrics";
  const mediaType = path === "/readyz" ? "application/json" : "text/plain";
  const answers: Record<number, AnswerSpec> = { 200: { description: "Yes", mediaType } };
  if (path === "/readyz") {
    answers[503] = { description: "No, and which service does not answer", mediaType };
  }
  return route({
    method: "GET",
    path,
    id,
    summary,
    access: isMetrics ? "identity" : "anyone",
    ...(isMetrics ? { scope: "admin" as const } : {}),
    limitedAs: "probe",
    params: NoParams,
    query: NoQuery,
    answers,
    async handle({ request, caller, context }) {
      // They show the bytes and objects of private pushes as they happen.
      if (isMetrics && !caller.isAdmin) {
        const detail = "Cannot show metrics: only an admin may see them, or MPACK_HTTP_PORT";
        throw new HttpProblem(403, "forbidden", detail);
      }
      const response = await context.probes(request);
      if (response !== undefined) return response;
      throw new HttpProblem(404, "not-found", `Cannot answer ${path} here`);
    },
  });
}
