/**
 * The HTTP API as one function from a request to its answer.
 *
 * @module
 */

import { type Context, Hono, type MiddlewareHandler } from "hono";
import { requestId } from "hono/request-id";
import { secureHeaders } from "hono/secure-headers";
import { MpackdError } from "../errors.ts";
import { networkOf, parseAddresses } from "../lib/addresses.ts";
import { isMpackKey } from "../lib/ids.ts";
import { behindProxies } from "./server/client_address.ts";
import type { Peer } from "./server/connection.ts";
import { CONSOLE_PATH, CONSOLE_POLICY, createConsole } from "./console/console.tsx";
import type { ApiContext, RequestRefusal } from "./context.ts";
import { describeApi } from "./describe_api.ts";
import { HttpProblem, problemResponse } from "./problem.ts";
import { replyEncoded } from "./reply.ts";
import { type HonoEnv, type Route, route } from "./route.ts";
import { NoParams, NoQuery } from "./schemas.ts";
import { historyRoutes } from "./routes/history/routes.ts";
import { healthRoutes } from "./routes/health.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { objectRoutes } from "./routes/objects.ts";
import { presignRoutes } from "./routes/presign.ts";
import { streamRoutes } from "./routes/push_stream.ts";
import { quotaRoutes } from "./routes/quotas.ts";
import { repoNameRoutes, repoRoutes } from "./routes/repos.ts";
import { unpackRoutes } from "./routes/unpack.ts";
import { uploadPartsRoutes } from "./routes/upload_parts.ts";
import { webhookRoutes } from "./routes/webhooks.ts";

/** Answers a request that came over a connection between these two ends. */
export type Api = (request: Request, peer: Peer) => Promise<Response>;

/** Every route, in the order in which /openapi.json lists them. */
const API_ROUTES: readonly Route[] = [
  ...repoRoutes,
  ...webhookRoutes,
  ...quotaRoutes,
  ...jobRoutes,
  ...presignRoutes,
  ...uploadPartsRoutes,
  ...unpackRoutes,
  ...streamRoutes,
  ...objectRoutes,
  ...historyRoutes,
  ...healthRoutes,
  ...repoNameRoutes,
];

/** Tells browsers neither to guess a type nor to run, frame or share what we answer. */
const BROWSER_HEADERS = secureHeaders({
  contentSecurityPolicy: { defaultSrc: ["'none'"], sandbox: [], frameAncestors: ["'none'"] },
  // The rest is for pages, and TLS ends at the proxy, which decides about HSTS.
  strictTransportSecurity: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xFrameOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
});

/** Builds the API out of its routes; with `isConsoleOnly` out of the console and the probes alone. */
export function createApi(
  context: ApiContext,
  version: string,
  { isConsoleOnly = false }: { readonly isConsoleOnly?: boolean } = {},
): Api {
  const app = new Hono<HonoEnv>();
  app.use(
    requestId({ headerName: "" }),
    browserHeaders,
    connectionHeaders,
    refuseMalformed(context),
  );
  const description = route({
    method: "GET",
    path: "/openapi.json",
    id: "describeApi",
    summary: "This description.",
    access: "anyone",
    params: NoParams,
    query: NoQuery,
    answers: { 200: { description: "OpenAPI 3.1", mediaType: "application/json" } },
    handle: () => replyEncoded(text, "json"),
  });
  const routes = isConsoleOnly ? healthRoutes : [description, ...API_ROUTES];
  // Encoded once: a flood of requests for it held the event loop for 0.4 ms each.
  const text: Uint8Array<ArrayBuffer> = new TextEncoder().encode(
    JSON.stringify(describeApi(routes, version)),
  );
  // Before the routes: /{owner}/{slug} would fit the console's pages.
  app.use(`${CONSOLE_PATH}/*`, recordAs(`${CONSOLE_PATH}/*`, context));
  app.route(CONSOLE_PATH, createConsole(context));
  for (const spec of routes) {
    // The path of a file has slashes; that of the root folder is empty.
    const path = spec.path.replaceAll(/\{(\w+)\}/g, ":$1").replace(/:path$/, ":path{.*}");
    app.on(spec.method, path, record(spec, context), (c) => spec.run(c, context));
  }
  app.notFound((c) => {
    const detail = isConsoleOnly
      ? `Cannot answer this here: only the console, at ${CONSOLE_PATH}, is served (--ui-only)`
      : "Cannot find such a route; /openapi.json lists them";
    return problemResponse(new HttpProblem(404, "not-found", detail), c.get("requestId"));
  });
  app.onError((error, c) => {
    const isForMuse = c.get("isForMuse") ?? false;
    return problemResponse(error, c.get("requestId"), { isForMuse });
  });
  const { httpProxies, httpForwarded: field } = context.config;
  const proxies = parseAddresses(httpProxies);
  return async (request, peer) =>
    await app.fetch(request, { peer: behindProxies(peer, request.headers, { proxies, field }) });
}

/** The console is made for browsers and has a policy of its own. */
async function browserHeaders(c: Context<HonoEnv>, next: () => Promise<void>): Promise<void> {
  await BROWSER_HEADERS(c, next);
  const { path } = c.req;
  if (path !== CONSOLE_PATH && !path.startsWith(`${CONSOLE_PATH}/`)) return;
  c.res.headers.set("content-security-policy", CONSOLE_POLICY);
  c.res.headers.set("x-frame-options", "DENY");
  // Without a referrer at all, browsers hide the origin of a form, too.
  c.res.headers.set("referrer-policy", "same-origin");
}

/** Refuses a request whose Host and target do not make a URL: the rest of the API relies on one. */
function refuseMalformed({ rateLimit }: ApiContext): MiddlewareHandler<HonoEnv> {
  return async (c, next) => {
    if (/^https?:/.test(c.req.url) && URL.canParse(c.req.url)) return await next();
    rateLimit.countRequest(`address ${networkOf(c.env.peer.address)}`);
    throw new HttpProblem(
      400,
      "bad-request",
      "Cannot read the request: Host or target is malformed",
    );
  };
}

/** Reports each answered request of a route to the log and the metrics. */
function record({ path }: Route, context: ApiContext): MiddlewareHandler<HonoEnv> {
  return recordAs(path, context);
}

/** The same under a name that stands for several paths. */
function recordAs(path: string, { onRequest }: ApiContext): MiddlewareHandler<HonoEnv> {
  return async (c, next) => {
    const startedAt = performance.now();
    await next();
    const { status } = c.res, { error } = c;
    onRequest?.({
      requestId: c.get("requestId"),
      method: c.req.method,
      route: path,
      status,
      elapsedMs: performance.now() - startedAt,
      handle: c.get("caller")?.identity?.handle,
      ...(status >= 400 && error ? { refusal: refusalOf(error, c) } : {}),
      // A refusal that we chose (too busy) is no error of the server.
      ...(status >= 500 && error && !(error instanceof HttpProblem) ? { error } : {}),
    });
  };
}

/** What the log says of a refusal: the whole text, which clients may not get. */
function refusalOf(error: Error, c: Context<HonoEnv>): RequestRefusal {
  const { owner, slug, repoId, mpackKey } = c.req.param() as Record<string, string | undefined>;
  const body = c.get("body");
  const named = typeof body === "object" && body !== null && "mpack_key" in body
    ? body.mpack_key
    : mpackKey ?? c.req.header("x-mpack-key");
  const isTyped = error instanceof HttpProblem || error instanceof MpackdError;
  return {
    code: isTyped ? error.code : "internal",
    detail: error.message,
    repo: slug === undefined ? repoId : `${owner}/${slug}`,
    mpackKey: typeof named === "string" && isMpackKey(named) ? named : undefined,
  };
}

async function connectionHeaders(c: Context<HonoEnv>, next: () => Promise<void>): Promise<void> {
  await next();
  const { headers, status } = c.res, { raw: request } = c.req;
  headers.set("x-request-id", c.get("requestId"));
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
  // The rest of a refused body is still to come, so no other request can follow it.
  if (status >= 400 && request.body !== null && !request.bodyUsed) {
    headers.set("connection", "close");
  }
}
