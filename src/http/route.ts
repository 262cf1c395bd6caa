/**
 * How a route is declared, and the order in which every request is dealt with: who asks, how
 * often, which repo, and only then what.
 *
 * A route is data: the description in /openapi.json is made of the same schemas that the requests
 * are held to.
 *
 * @module
 */

import type { z } from "zod";
import type { RepoForIdentity } from "../db/collaborators.ts";
import { type Access, openRepo, requireIdentity } from "./auth/access.ts";
import { anybody, type Caller } from "./auth/authenticate.ts";
import type { Scope } from "./auth/token.ts";
import { checkShape, parseBody, readBody } from "./body.ts";
import type { ApiParts } from "./context.ts";
import { HttpProblem } from "./problem.ts";

/** One answer of a route, for its description. */
export interface AnswerSpec {
  /** When it is given. */
  readonly description: string;
  /** What it holds, as JSON or MessagePack. */
  readonly schema?: z.ZodType;
  /** What it holds instead, by media type. */
  readonly mediaType?: string;
}

/** A route. */
export interface RouteSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  /** The method; GET takes HEAD, too. */
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** As in OpenAPI: `/api/repos/{repoId}`. */
  readonly path: string;
  /** A name for programs. */
  readonly id: string;
  /** One sentence for people. */
  readonly summary: string;
  /** `read` and `push` need a repo in the path; `identity` needs anybody known. */
  readonly access: Access | "identity" | "anyone";
  /** What a token must be good for. Default: `push` for push access, else `read`. */
  readonly scope?: Scope;
  /** The names in the path. */
  readonly params: P;
  /** The query. */
  readonly query: Q;
  /** The body, as JSON or MessagePack; undefined for none, or one that the handler reads. */
  readonly body?: B;
  /** The media type of a body that the handler reads. */
  readonly rawBody?: string;
  /** Header fields that the handler looks at. */
  readonly headers?: Readonly<Record<string, { description: string; required?: boolean }>>;
  /** The answers by status. */
  readonly answers: Readonly<Record<number, AnswerSpec>>;
  /** Statuses of the problems it may answer, besides those that every route may. */
  readonly problems?: readonly number[];
  /** Does it. */
  handle(call: Call<z.output<P>, z.output<Q>, z.output<B>>): Promise<Response> | Response;
}

/** One request on its way through a route. */
export interface Call<P = unknown, Q = unknown, B = unknown> {
  /** The request; its body is read unless the route reads it itself. */
  readonly request: Request;
  /** Names it in answers and logs. */
  readonly requestId: string;
  /** Who asks. */
  readonly caller: Caller;
  /** The names in the path. */
  readonly params: P;
  /** The query. */
  readonly query: Q;
  /** The body. */
  readonly body: B;
  /** The repo of the path; only routes with `read` or `push` access have one. */
  readonly repo: RepoForIdentity;
  /** What there is to work with. */
  readonly parts: ApiParts;
}

/** A route whose types nobody needs any more. */
export interface Route extends Omit<RouteSpec<z.ZodType, z.ZodType, z.ZodType>, "handle"> {
  /** Runs a request through it. */
  run(request: IncomingRequest, parts: ApiParts): Promise<Response>;
}

/** What is known of a request before any route looks at it. */
export interface IncomingRequest {
  /** The request. */
  readonly request: Request;
  /** Names it in answers and logs. */
  readonly requestId: string;
  /** The names in the path, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** Where it came from. */
  readonly address: string;
  /** Called when it is known who asks. */
  onCaller(caller: Caller): void;
}

/** Declares a route. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  spec: RouteSpec<P, Q, B>,
): Route {
  return { ...spec, run: (incoming, parts) => run(spec, incoming, parts) };
}

async function run<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  spec: RouteSpec<P, Q, B>,
  incoming: IncomingRequest,
  parts: ApiParts,
): Promise<Response> {
  const { request, requestId, params, address } = incoming;
  const { access, scope = access === "push" ? "push" : "read" } = spec;
  const caller = access === "anyone" ? anybody(address) : await identify(incoming, parts);
  incoming.onCaller(caller);
  parts.gate.countRequest(caller.client);
  if (access === "identity") requireIdentity(caller);
  const repo = access === "read" || access === "push"
    ? await openRepo(parts.db, placeOf(params), caller, access)
    : undefined;
  if (access !== "anyone" && !caller.scopes.has(scope) && !caller.scopes.has("push")) {
    throw new HttpProblem(403, "forbidden", `Cannot do this with a token without "${scope}"`);
  }
  const query = Object.fromEntries(new URL(request.url).searchParams);
  const call = {
    request,
    requestId,
    caller,
    params: checkShape(spec.params, params, "path"),
    query: checkShape(spec.query, query, "query"),
    body: await bodyOf(spec, request, caller, parts),
    repo: repo as RepoForIdentity,
    parts,
  };
  return await spec.handle(call);
}

async function identify(
  { request, address }: IncomingRequest,
  { auth, gate }: ApiParts,
): Promise<Caller> {
  try {
    return await auth.identify(request, address);
  } catch (error) {
    // Guessing costs the guesser's own bucket.
    if (error instanceof HttpProblem) gate.countRequest(`address ${address}`);
    throw error;
  }
}

function placeOf(params: Readonly<Record<string, string>>) {
  const { owner, slug, repoId } = params;
  return repoId === undefined ? { owner, slug } : { repoId };
}

async function bodyOf<B extends z.ZodType>(
  { body: schema, rawBody }: { readonly body?: B; readonly rawBody?: string },
  request: Request,
  caller: Caller,
  { config }: ApiParts,
): Promise<z.output<B>> {
  if (rawBody !== undefined) return undefined as z.output<B>;
  const { httpBodyBytes: maxBytes, httpIdleMs: idleMs, httpTotalMs: totalMs } = config;
  const bytes = await readBody(request, { maxBytes, idleMs, totalMs }, caller);
  if (schema === undefined) return undefined as z.output<B>;
  return parseBody(bytes, request.headers.get("content-type"), schema);
}
