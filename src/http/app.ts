/**
 * The HTTP API as one function from a request to its answer.
 *
 * @module
 */

import { Hono, type MiddlewareHandler } from "hono";
import { TrieRouter } from "hono/router/trie-router";
import { getPath, tryDecodeURIComponent } from "hono/utils/url";
import { MpackdError } from "../errors.ts";
import { networkOf, parseAddresses } from "../lib/addresses.ts";
import { isMpackKey } from "../lib/ids.ts";
import { behindProxies } from "./server/client_address.ts";
import type { Peer } from "./server/connection.ts";
import {
  CONSOLE_PATH,
  CONSOLE_POLICY,
  type ConsoleEnv,
  createConsole,
} from "./console/console.tsx";
import type { ApiContext, RequestRecord, RequestRefusal } from "./context.ts";
import { describeApi } from "./describe_api.ts";
import { HttpProblem, problemAnswer } from "./problem.ts";
import { replyEncoded } from "./reply.ts";
import type { Answer } from "./server/answer.ts";
import { type Exchange, type PathParams, type Route, route } from "./route.ts";
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

/** Answers a request that came over a connection between these two ends; `sent` as in `Handler`. */
export type Api = (request: Request, peer: Peer, sent?: Promise<void>) => Promise<Response>;

/**
 * Every route, in the order in which /openapi.json lists them.
 *
 * @internal Exported for tests.
 */
export const API_ROUTES: readonly Route[] = [
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
const BROWSER_HEADERS = {
  "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** The console is made for browsers and has a policy of its own. */
const CONSOLE_HEADERS = {
  ...BROWSER_HEADERS,
  "content-security-policy": CONSOLE_POLICY,
  "x-frame-options": "DENY",
  // Without a referrer at all, browsers hide the origin of a form, too.
  "referrer-policy": "same-origin",
};

/** Builds the API out of its routes; with `isConsoleOnly` out of the console and the probes alone. */
export function createApi(
  context: ApiContext,
  version: string,
  { isConsoleOnly = false }: { readonly isConsoleOnly?: boolean } = {},
): Api {
  const description = route({
    method: "GET",
    path: "/openapi.json",
    id: "describeApi",
    summary: "This description.",
    tag: "Server",
    access: "anyone",
    params: NoParams,
    query: NoQuery,
    answers: { 200: { description: "OpenAPI 3.1", mediaType: "application/json" } },
    handle: () => replyEncoded(text, "json"),
  });
  const routes = isConsoleOnly ? healthRoutes : [description, ...API_ROUTES];
  const router = new TrieRouter<Route>();
  // Encoded once: a flood of requests for it held the event loop for 0.4 ms each.
  const text: Uint8Array<ArrayBuffer> = new TextEncoder().encode(
    JSON.stringify(describeApi(routes, version)),
  );
  for (const spec of routes) {
    // The path of a file has slashes; that of the root folder is empty.
    const path = spec.path.replaceAll(/\{(\w+)\}/g, ":$1").replace(/:path$/, ":path{.*}");
    router.add(spec.method, path, spec);
  }
  const pages = new Hono<ConsoleEnv>();
  pages.use(recordPage(context));
  pages.route(CONSOLE_PATH, createConsole(context));
  const noRoute = isConsoleOnly
    ? `Cannot answer this here: only the console, at ${CONSOLE_PATH}, is served (--ui-only)`
    : "Cannot find such a route; /openapi.json lists them";
  const { httpProxies, httpForwarded: field } = context.config;
  const proxies = parseAddresses(httpProxies);
  return async (request, given, sent) => {
    const peer = behindProxies(given, request.headers, { proxies, field });
    const exchange: Exchange = { request, peer, sent, requestId: crypto.randomUUID() };
    const { method, url } = request;
    // The rest of the API relies on a URL.
    if (!/^https?:/.test(url) || !URL.canParse(url)) {
      return responseOf(exchange, unmatched(exchange, context, refuseMalformed));
    }
    const path = getPath(request);
    // Before the routes: /{owner}/{slug} would fit the console's pages.
    if (path === CONSOLE_PATH || path.startsWith(`${CONSOLE_PATH}/`)) {
      return withHeaders(exchange, await pages.fetch(request, exchange));
    }
    const [found] = router.match(method === "HEAD" ? "GET" : method, path)[0];
    if (found === undefined) {
      const refuse = () => new HttpProblem(404, "not-found", noRoute);
      return responseOf(exchange, unmatched(exchange, context, refuse));
    }
    const [spec, params] = found as unknown as [Route, PathParams];
    return responseOf(exchange, await answer(spec, exchange, decoded(params), context));
  };
}

/** Answers a request of a route, and reports it to the log and the metrics. */
async function answer(
  spec: Route,
  exchange: Exchange,
  params: PathParams,
  context: ApiContext,
): Promise<Answer> {
  const startedAt = performance.now(), { requestId } = exchange;
  let result: Answer, error: Error | undefined;
  try {
    result = await spec.run(exchange, params, context);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown : new Error(String(thrown));
    result = problemAnswer(error, requestId, { isForMuse: spec.isForMuse ?? false });
  }
  const { status } = result;
  context.onRequest?.(
    recordOf(exchange, { route: spec.path, status, startedAt, error, params }),
  );
  return result;
}

/**
 * Makes the response with all its headers at once: Deno prepares it when it is made, and drops that
 * when a header is set later.
 */
function responseOf(exchange: Exchange, { status, headers, body, onSent }: Answer): Response {
  const { request, requestId, sent } = exchange;
  if (onSent !== undefined) sent?.then(onSent, onSent);
  const all: Record<string, string> = {
    ...BROWSER_HEADERS,
    "cache-control": "no-store",
    ...headers,
    "x-request-id": requestId,
  };
  if (status >= 400 && isBodyToCome(request)) all.connection = "close";
  if (request.method !== "HEAD") return new Response(body, { status, headers: all });
  if (body instanceof ReadableStream) body.cancel().catch(() => {});
  return new Response(null, { status, headers: all });
}

/** Adds the headers to a page's response. */
function withHeaders({ request, requestId }: Exchange, response: Response): Response {
  const { headers, status } = response;
  for (const [name, value] of Object.entries(CONSOLE_HEADERS)) headers.set(name, value);
  headers.set("x-request-id", requestId);
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
  if (status >= 400 && isBodyToCome(request)) headers.set("connection", "close");
  return response;
}

/** The rest of a refused body is still to come, so no other request can follow it. */
function isBodyToCome({ body, bodyUsed }: Request): boolean {
  return body !== null && !bodyUsed;
}

/** What the log and the metrics call requests that fit no route: a client could invent any number. */
const NO_ROUTE = "*";
const METHODS: ReadonlySet<string> = new Set(
  ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
);
/** Characters of a path that the log shows. */
const MAX_SHOWN = 100;

/** Answers a request of no route with a problem, and reports it as those of routes are. */
function unmatched(
  exchange: Exchange,
  context: ApiContext,
  problemOf: (exchange: Exchange, context: ApiContext) => HttpProblem,
): Answer {
  const startedAt = performance.now(), params: PathParams = {};
  let error: Error;
  try {
    error = problemOf(exchange, context);
  } catch (thrown) {
    error = thrown as Error;
  }
  const result = problemAnswer(error, exchange.requestId), { status } = result;
  const record = recordOf(exchange, { route: NO_ROUTE, status, startedAt, error, params });
  const { method, url } = exchange.request;
  const target = URL.canParse(url) ? new URL(url).pathname : url;
  context.onRequest?.({
    ...record,
    method: METHODS.has(method) ? method : NO_ROUTE,
    ...(record.refusal && {
      refusal: {
        ...record.refusal,
        detail: `${error.message}: ${JSON.stringify(target.slice(0, MAX_SHOWN))}`,
      },
    }),
  });
  return result;
}

/** @throws {HttpProblem} 429 if this network sends too many requests. */
function refuseMalformed({ peer }: Exchange, { rateLimit }: ApiContext): HttpProblem {
  rateLimit.countRequest(`address ${networkOf(peer.address)}`);
  const detail = "Cannot read the request: Host or target is malformed";
  return new HttpProblem(400, "bad-request", detail);
}

function decoded(params: PathParams): PathParams {
  const result: Record<string, string> = {};
  for (const name of Object.keys(params)) result[name] = tryDecodeURIComponent(params[name]);
  return result;
}

/** Reports each page of the console, under one name for all. */
function recordPage({ onRequest }: ApiContext): MiddlewareHandler<ConsoleEnv> {
  return async (c, next) => {
    const startedAt = performance.now();
    await next();
    const { status } = c.res, { error, env } = c, params = c.req.param() as PathParams;
    onRequest?.(recordOf(env, { route: `${CONSOLE_PATH}/*`, status, startedAt, error, params }));
  };
}

function recordOf(
  exchange: Exchange,
  { route, status, startedAt, error, params }: {
    readonly route: string;
    readonly status: number;
    readonly startedAt: number;
    readonly error: Error | undefined;
    readonly params: PathParams;
  },
): RequestRecord {
  const { requestId, request: { method }, caller } = exchange;
  return {
    requestId,
    method,
    route,
    status,
    elapsedMs: performance.now() - startedAt,
    handle: caller?.identity?.handle,
    ...(status >= 400 && error ? { refusal: refusalOf(error, exchange, params) } : {}),
    // A refusal that we chose (too busy) is no error of the server.
    ...(status >= 500 && error && !(error instanceof HttpProblem) ? { error } : {}),
  };
}

/** What the log says of a refusal: the whole text, which clients may not get. */
function refusalOf(
  error: Error,
  { request, body }: Exchange,
  { owner, slug, repoId, mpackKey }: Partial<PathParams>,
): RequestRefusal {
  const named = typeof body === "object" && body !== null && "mpack_key" in body
    ? body.mpack_key
    : mpackKey ?? request.headers.get("x-mpack-key");
  const isTyped = error instanceof HttpProblem || error instanceof MpackdError;
  return {
    code: isTyped ? error.code : "internal",
    detail: error.message,
    repo: slug === undefined ? repoId : `${owner}/${slug}`,
    mpackKey: typeof named === "string" && isMpackKey(named) ? named : undefined,
  };
}
