/**
 * What supervisors and scrapers ask.
 *
 * @module
 */

import { HttpProblem } from "../problem.ts";
import { type AnswerSpec, type Route, route } from "../route.ts";
import { NoParams, NoQuery } from "../schemas.ts";

/** The routes; `ApiParts.health` answers them. */
export const healthSpecs: readonly Route[] = [
  health("/healthz", "isAlive", "Whether the process answers; asks nothing of anybody."),
  health("/readyz", "isReady", "Whether the services it needs are there."),
  health("/metrics", "metrics", "Numbers for Prometheus."),
];

function health(path: string, id: string, summary: string): Route {
  const mediaType = path === "/readyz" ? "application/json" : "text/plain";
  const answers: Record<number, AnswerSpec> = { 200: { description: "Yes", mediaType } };
  if (path === "/readyz") answers[503] = { description: "No; which one", mediaType };
  return route({
    method: "GET",
    path,
    id,
    summary,
    access: "anyone",
    params: NoParams,
    query: NoQuery,
    answers,
    async handle({ request, parts }) {
      const response = await parts.health(request);
      if (response !== undefined) return response;
      throw new HttpProblem(404, "not-found", `Cannot answer ${path} here`);
    },
  });
}
