/**
 * The HTTP API as one function: a request in, an answer out.
 *
 * @module
 */

import { Hono } from "hono";
import type { ApiParts } from "./context.ts";
import { describeApi } from "./describe_api.ts";
import { HttpProblem, problemResponse } from "./problem.ts";
import { reply } from "./reply.ts";
import { type Route, route } from "./route.ts";
import { NoParams, NoQuery } from "./schemas.ts";
import { healthSpecs } from "./routes/health.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { objectRoutes } from "./routes/objects.ts";
import { presignRoutes } from "./routes/presign.ts";
import { streamRoutes } from "./routes/push_stream.ts";
import { repoRoutes } from "./routes/repos.ts";
import { unpackRoutes } from "./routes/unpack.ts";

/** Answers requests that came from `address`. */
export type Api = (request: Request, address: string) => Promise<Response>;

/** The routes by which the API is described. */
export const API_ROUTES: readonly Route[] = [
  ...repoRoutes,
  ...jobRoutes,
  ...presignRoutes,
  ...unpackRoutes,
  ...streamRoutes,
  ...objectRoutes,
  ...healthSpecs,
];

interface Env {
  readonly Bindings: { readonly address: string };
}

/** Puts the routes together. */
export function createApi(parts: ApiParts, version: string): Api {
  const app = new Hono<Env>();
  const description = route({
    method: "GET",
    path: "/openapi.json",
    id: "describeApi",
    summary: "This description.",
    access: "anyone",
    params: NoParams,
    query: NoQuery,
    answers: { 200: { description: "OpenAPI 3.1", mediaType: "application/json" } },
    handle: ({ request }) => reply(request, 200, document),
  });
  const routes = [description, ...API_ROUTES];
  const document = describeApi(routes, version);
  for (const spec of routes) {
    const path = spec.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(spec.method, path, async (context) => {
      const { raw: request } = context.req;
      const params = context.req.param() as Record<string, string>;
      return await answer(spec, { request, params, address: context.env.address }, parts);
    });
  }
  app.notFound((context) => {
    const detail = "Cannot find such a route; /openapi.json lists them";
    const problem = new HttpProblem(404, "not-found", detail);
    return finished(context.req.raw, problemResponse(problem, crypto.randomUUID()));
  });
  return async (request, address) => await app.fetch(request, { address });
}

async function answer(
  spec: Route,
  { request, params, address }: {
    readonly request: Request;
    readonly params: Readonly<Record<string, string>>;
    readonly address: string;
  },
  parts: ApiParts,
): Promise<Response> {
  const requestId = crypto.randomUUID(), startedAt = performance.now();
  let handle: string | undefined, error: Error | undefined, response: Response;
  try {
    response = await spec.run({
      request,
      requestId,
      params,
      address,
      onCaller: ({ identity }) => handle = identity?.handle,
    }, parts);
  } catch (thrown) {
    response = problemResponse(thrown, requestId);
    if (response.status >= 500 && thrown instanceof Error) error = thrown;
  }
  parts.onRequest?.({
    requestId,
    method: request.method,
    route: spec.path,
    status: response.status,
    elapsedMs: performance.now() - startedAt,
    handle,
    ...(error === undefined ? {} : { error }),
  });
  response.headers.set("x-request-id", requestId);
  return finished(request, response);
}

/** What every answer carries: browsers shall neither guess at it nor run it. */
function finished(request: Request, response: Response): Response {
  const { headers } = response;
  headers.set("x-content-type-options", "nosniff");
  headers.set("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'");
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
  // A refused body is not read to its end; the connection cannot be used for another request.
  if (response.status >= 400 && request.body !== null && !request.bodyUsed) {
    headers.set("connection", "close");
  }
  return response;
}
