/**
 * How a route is declared, and the order of checks for each request: identity, rate limit, repo,
 * scope, then path, query and body.
 *
 * A route is data: /openapi.json is made of the same schemas that check the requests.
 *
 * @module
 */

import type { z } from "zod";
import type { RepoForIdentity, RepoPlace } from "../db/collaborators.ts";
import type { AskedPlace, FoundPlace } from "../db/token_at_place.ts";
import { ensureCopy } from "../db/shards/create_repo.ts";
import { currentLsn, isLsn } from "../db/client/replica.ts";
import { isObjectId } from "../lib/ids.ts";
import {
  type Access,
  checkAccess,
  isPlace,
  openRepo,
  requireIdentity,
  requireValid,
} from "./auth/access.ts";
import { anonymous, type Caller, type RequestLimit } from "./auth/authenticate.ts";
import type { Scope } from "./auth/token.ts";
import { bodyLimits, codecOf, parseBody } from "./body/body.ts";
import { checkShape } from "./body/check_shape.ts";
import { bytesOfIds } from "./body/id_lists.ts";
import { RequestBody } from "./body/request_body.ts";
import type { Peer } from "./server/connection.ts";
import type { ApiContext } from "./context.ts";
import { HttpProblem } from "./problem.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { Answer } from "./server/answer.ts";
import { networkOf } from "../lib/addresses.ts";
import { type Recheck, recheckEvery } from "./recheck.ts";
import { untilMoved, whereItLives } from "./shards/until_moved.ts";
import type { SendOptions } from "./slow_reader.ts";

/** One answer of a route, for its description. */
export interface AnswerSpec {
  readonly description: string;
  /** The shape of a JSON or MessagePack answer. */
  readonly schema?: z.ZodType;
  /** The media type of any other answer. */
  readonly mediaType?: string;
}

/** Who may send a request. */
type RouteAccess = Access | "identity" | "anyone";

/** A route. */
export interface RouteSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  /** GET takes HEAD, too. */
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As in OpenAPI: `/api/repos/{repoId}`. */
  readonly path: string;
  /** The operation's name in the description. */
  readonly id: string;
  readonly summary: string;
  /** The group of routes that the description lists it in. */
  readonly tag?: string;
  /** `read` and `push` check the repo in the path; `identity` takes any identity. */
  readonly access: RouteAccess;
  /** A rate limit of its own: a flood of other requests must not look like a dead server. */
  readonly limitedAs?: "probe";
  /** The scope that a token needs. Default: `push` for push access, else `read`. */
  readonly scope?: Scope;
  /** Finds who signed the URL of a request without credentials; undefined if it is not valid. */
  readonly clientOfUrl?: (
    params: Readonly<Record<string, string>>,
    query: URLSearchParams,
    context: ApiContext,
  ) => string | undefined;
  readonly params: P;
  readonly query: Q;
  /** The shape of a JSON or MessagePack body; undefined for none, or one the handler reads. */
  readonly body?: B;
  /** The body is a map of lists of ids: there may be `httpIds` of them. */
  readonly idLists?: boolean;
  /**
   * A route of MuseHub's clients. They read MessagePack only, show the first 400 characters of a
   * refusal, and take 409 for a branch that has diverged.
   */
  readonly isForMuse?: boolean;
  /** The media type of a body that the handler reads. */
  readonly rawBody?: string;
  /** Header fields that the handler reads. */
  readonly headers?: Readonly<Record<string, { description: string; required?: boolean }>>;
  readonly answers: Readonly<Record<number, AnswerSpec>>;
  /** Statuses of problems besides those that every route may answer. */
  readonly problems?: readonly number[];
  handle(call: Call<z.output<P>, z.output<Q>, z.output<B>>): Promise<Answer> | Answer;
}

/** One checked request, as the handler of a route gets it. */
export interface Call<P = unknown, Q = unknown, B = unknown> {
  /** The request; its body is read already unless the route has `rawBody`. */
  readonly request: Request;
  /** Checks now and then that the caller still has access. */
  readonly recheck: Recheck;
  /** How to send a streamed answer. */
  readonly sending: SendOptions;
  readonly caller: Caller;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The repo in the path; set only for `read` and `push` access. */
  readonly repo: RepoForIdentity;
  /** What the first statement found of the object in the path; undefined if it did not look. */
  readonly found: FoundPlace | undefined;
  readonly context: ApiContext;
}

/** A route without the types of its schemas. */
export interface Route extends Omit<RouteSpec<z.ZodType, z.ZodType, z.ZodType>, "handle"> {
  /** Checks and answers a request whose path has these parameters. */
  run(exchange: Exchange, params: PathParams, context: ApiContext): Promise<Answer>;
}

/** The parameters of a path, decoded. */
export type PathParams = Readonly<Record<string, string>>;

/** A request on its way to its answer, and what was found out of it, for the log. */
export interface Exchange {
  readonly request: Request;
  readonly peer: Peer;
  /** Settles when the answer has been sent, or cannot be; undefined if nobody tells. */
  readonly sent?: Promise<void>;
  /** The `X-Request-Id` of the answer. */
  readonly requestId: string;
  caller?: Caller;
  /** The checked body: the log looks there for the key of a refused pack. */
  body?: unknown;
}

/** Declares a route. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  spec: RouteSpec<P, Q, B>,
): Route {
  return {
    ...spec,
    run: (exchange, params, context) => run(spec, exchange, params, context),
  };
}

/** Puts routes into a group of the description. */
export function tagged(tag: string, routes: readonly Route[]): readonly Route[] {
  return routes.map((one) => ({ ...one, tag }));
}

/** The scope that a token needs for a route. */
export function scopeOf({ access, scope }: Pick<Route, "access" | "scope">): Scope {
  return scope ?? (access === "push" ? "push" : "read");
}

async function run<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  spec: RouteSpec<P, Q, B>,
  exchange: Exchange,
  params: PathParams,
  context: ApiContext,
): Promise<Answer> {
  const { request, peer, requestId } = exchange;
  const { access } = spec, scope = scopeOf(spec);
  const limit = new RouteLimit(context.rateLimit, spec.limitedAs);
  using body = new RequestBody(request, {
    limits: bodyLimits(context.config, maxBodyBytes(spec, request, context)),
    bodies: context.bodies,
    isStreamed: spec.rawBody !== undefined,
  });
  // Behind a proxy, or over HTTP/2, the cap on connections does not bound the requests at once.
  const address = networkOf(peer.address);
  using _place = spec.limitedAs ? undefined : context.rateLimit.beginRequest(address);
  const isOfRepo = access === "read" || access === "push", asked = placeOf(params);
  const isOfStandby = access === "read" && request.headers.get(MIN_LSN) !== null;
  const caller = access === "anyone"
    ? { ...anonymous(peer.address), ...clientOf(spec, params, request, context) }
    : await identify({
      ...{ request, peer, limit, body },
      // An object that may be a standby's is looked up there.
      ...(isOfRepo && isPlace(asked)
        ? { place: isOfStandby ? asked : withObject(asked, params) }
        : {}),
    }, context);
  exchange.caller = caller;
  if (!limit.isCounted) limit.count(caller.client);
  if (access === "identity") requireIdentity(caller);
  const openPlace = async () =>
    isOfRepo ? await openRepo(context.db, asked, caller, access) : undefined;
  const { found } = caller;
  const repo = isOfRepo && found ? checkAccess(found.repo, caller, access) : await openPlace();
  const recheck = recheckEvery(async () => {
    await requireValid(caller);
    await openPlace();
  });
  if (access !== "anyone" && !caller.scopes.has(scope) && !caller.scopes.has("push")) {
    throw new HttpProblem(403, "forbidden", `Cannot do this with a token without "${scope}"`);
  }
  refuseEncoded(request);
  const home = await placeFor(repo, { access, context, request });
  const place = isOfStandby ? await standbyPlace(home, request) : home;
  const query = request.url.includes("?")
    ? Object.fromEntries(new URL(request.url).searchParams)
    : {};
  const checkedParams = checkShape(spec.params, params, "path");
  const checkedQuery = checkShape(spec.query, query, "query");
  const checkedBody = await bodyOf(spec, { request, caller, body }, context);
  exchange.body = checkedBody;
  const sending = {
    recheck,
    config: context.config,
    peer,
    hold: () => {
      const held = new DisposableStack();
      held.use(context.rateLimit.holdRequest(address));
      held.use(peer.hold());
      return held;
    },
    onError: (error: unknown) => context.onCut?.({ requestId, error }),
  };
  const handle = async (place: ApiContext) => {
    const answer = await spec.handle({
      request,
      recheck,
      sending,
      caller,
      params: checkedParams,
      query: checkedQuery,
      body: checkedBody,
      repo: repo as RepoForIdentity,
      found,
      context: place,
    });
    return access === "push" ? await withLsn(answer, place) : answer;
  };
  // A body that is read while it comes can be read once: those routes see to it themselves.
  if (repo === undefined || access !== "push" || spec.rawBody !== undefined) {
    return await handle(place);
  }
  return await whereItLives({ place, repo, request }, handle);
}

/** The field by which a read allows a standby: the state has to be at least so new. */
const MIN_LSN = "x-mpackd-min-lsn";

/** The context with the standby, if that is as new as the request asks. */
async function standbyPlace(place: ApiContext, { headers }: Request): Promise<ApiContext> {
  const lsn = headers.get(MIN_LSN)!;
  if (!isLsn(lsn)) {
    const detail = `Cannot read ${MIN_LSN}: it is not a position such as 0/16B3748, or 0/0 for any`;
    throw new HttpProblem(400, "bad-request", detail);
  }
  const { replica } = place;
  return replica === undefined ? place : { ...place, db: (await replica.reading(lsn)).db };
}

/** Tells who wrote what a read on a standby must have seen, where there is one. */
export async function withLsn(answer: Answer, { replica, db }: ApiContext): Promise<Answer> {
  if (replica === undefined || answer.status >= 300) return answer;
  return { ...answer, headers: { ...answer.headers, "x-mpackd-lsn": await currentLsn(db) } };
}

/** The context of the shard that a repo lives in. Before a push the shard has to have its row. */
async function placeFor(
  repo: RepoForIdentity | undefined,
  { access, context, request }: {
    readonly access: RouteAccess;
    readonly context: ApiContext;
    readonly request: Request;
  },
): Promise<ApiContext> {
  if (repo?.home === undefined) return context;
  if (access !== "push") return await context.at(repo.home);
  const home = await untilMoved(context, repo.home, request);
  await ensureCopy(context.shards, { ...repo, home });
  return await context.at(home);
}

/** Counts a request once, in the buckets of its route. */
class RouteLimit implements RequestLimit {
  isCounted = false;
  readonly #rateLimit: RateLimit;
  readonly #prefix: string;

  constructor(rateLimit: RateLimit, limitedAs: string | undefined) {
    this.#rateLimit = rateLimit;
    this.#prefix = limitedAs === undefined ? "" : `${limitedAs} `;
  }

  count(client: string): void {
    this.#rateLimit.countRequest(this.#prefix + client);
    this.isCounted = true;
  }

  uncount(client: string): void {
    this.#rateLimit.uncountRequest(this.#prefix + client);
    this.isCounted = false;
  }
}

/** Bodies are read as they come: decompressing would need limits of its own. */
function refuseEncoded({ headers }: Request): void {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase();
  if (encoding === undefined || encoding === "" || encoding === "identity") return;
  const detail = "Cannot read the body: send it without Content-Encoding";
  throw new HttpProblem(415, "unsupported-media-type", detail, {
    headers: { "accept-encoding": "identity" },
  });
}

interface Unidentified {
  readonly request: Request;
  readonly peer: Peer;
  readonly limit: RouteLimit;
  readonly body: RequestBody;
  readonly place?: AskedPlace;
}

async function identify(
  { request, peer, limit, body, place }: Unidentified,
  { auth }: ApiContext,
): Promise<Caller> {
  const { client } = anonymous(peer.address);
  const bodyDigest = async () => {
    // Nobody has signed it yet, so it counts against the address until somebody has.
    limit.count(client);
    const digest = await body.sha256(client);
    limit.uncount(client);
    return digest;
  };
  return await auth.identify({ request, peer, limit, bodyDigest, ...(place && { place }) });
}

/** Who an upload URL was given to: it counts there, not to an address that others share. */
function clientOf(
  { clientOfUrl }: Pick<Route, "clientOfUrl">,
  params: Readonly<Record<string, string>>,
  request: Request,
  context: ApiContext,
): Pick<Caller, "client"> | undefined {
  const client = clientOfUrl?.(params, new URL(request.url).searchParams, context);
  return client === undefined ? undefined : { client };
}

function placeOf(params: Readonly<Record<string, string>>): RepoPlace {
  const { owner, slug, repoId } = params;
  return repoId === undefined ? { owner, slug } : { repoId };
}

/** The place with the object that the path names, if it is an id. */
function withObject(place: RepoPlace, { objectId }: Readonly<Record<string, string>>): AskedPlace {
  return objectId !== undefined && isObjectId(objectId) ? { ...place, objectId } : place;
}

/** Ids as MessagePack are decoded in slices, so their number is the limit. */
function maxBodyBytes(
  { idLists = false }: Pick<Route, "idLists">,
  { headers }: Request,
  { config: { httpBodyBytes, httpIds } }: ApiContext,
): number {
  const isSliced = idLists && codecOf(headers.get("content-type")) === "msgpack";
  return isSliced ? Math.max(httpBodyBytes, bytesOfIds(httpIds)) : httpBodyBytes;
}

async function bodyOf<B extends z.ZodType>(
  { body: schema, rawBody, idLists = false }:
    & Pick<RouteSpec<z.ZodType, z.ZodType, B>, "body">
    & Pick<Route, "rawBody" | "idLists">,
  { request, caller, body }: {
    readonly request: Request;
    readonly caller: Caller;
    readonly body: RequestBody;
  },
  { config }: ApiContext,
): Promise<z.output<B>> {
  if (rawBody !== undefined) return undefined as z.output<B>;
  using _held = body;
  const bytes = await body.bytes(caller);
  if (schema === undefined) return undefined as z.output<B>;
  const limits = { maxIds: config.httpIds, areIdLists: idLists };
  return await parseBody(bytes, request.headers.get("content-type"), schema, limits);
}
