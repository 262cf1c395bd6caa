/**
 * Makes the API's description from the routes themselves.
 *
 * @see {@link https://spec.openapis.org/oas/v3.1.1 | OpenAPI 3.1.1}
 * @module
 */

import { z } from "zod";
import { X_MSGPACK } from "./body/body.ts";
import { type Route, scopeOf } from "./route.ts";
import { ProblemAnswer } from "./schemas.ts";

/** Problems that every route may answer. */
const COMMON_PROBLEMS = [400, 401, 408, 413, 415, 429, 500, 503];

const MEANINGS: Record<number, string> = {
  400: "Malformed request",
  401: "Credentials are missing or not accepted",
  403: "Not allowed",
  404: "It does not exist, or this caller may not see it",
  408: "The client was too slow",
  409: "Conflicts with the present state",
  411: "Content-Length is missing",
  413: "Too large",
  415: "The body is encoded, or neither JSON nor MessagePack",
  416: "No such range",
  422: "The body, or the pack, is refused",
  429: "Too many requests; see Retry-After",
  500: "A defect of the server, or damaged bytes",
  503: "A service is unavailable; see Retry-After",
};

/** Makes the document for `/openapi.json`. */
export function describeApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "mpackd",
      version,
      description: "Push mpacks, index them, read their objects back. Bodies and answers " +
        "are JSON or MessagePack, by Content-Type and Accept.",
      license: { name: "MIT", identifier: "MIT" },
    },
    paths,
    components: {
      schemas: { Problem: jsonSchema(ProblemAnswer, "output") },
      securitySchemes: {
        signature: {
          type: "http",
          scheme: "signature",
          description: 'RFC 9421 with ed25519 over "@method" "@authority" "@path" "@query" and, ' +
            'with a body, "content-digest"; parameters created, keyid (the identity\'s id), and ' +
            "optionally nonce or expires. Each signature is accepted once.",
        },
        bearer: { type: "http", scheme: "bearer" },
        msign: {
          type: "http",
          scheme: "MSign",
          description:
            '`MSign handle="H" ts=SECONDS sig="BASE64URL"`: Ed25519 over method, path with ' +
            "query, ts and the hex SHA-256 of the body, joined by line feeds; with " +
            '`alg="ed25519"` over ed25519, method, host, path with query, ts and `sha256:` HEX. ' +
            "Within 30 s, and each signature once.",
        },
      },
    },
  };
}

function operation(route: Route): object {
  const { id, summary, tag, access, body, rawBody, answers, problems = [], headers = {} } = route;
  const responses: Record<string, unknown> = {};
  for (const [status, { description, schema, mediaType }] of Object.entries(answers)) {
    const content = schema !== undefined
      ? encodings(jsonSchema(schema, "output"), route)
      : mediaType === undefined
      ? undefined
      : { [mediaType]: {} };
    responses[status] = { description, ...(content === undefined ? {} : { content }) };
  }
  const statuses = new Set([...COMMON_PROBLEMS, ...problems]);
  if (access !== "anyone") statuses.add(403);
  if (access === "read" || access === "push") statuses.add(404);
  if (body !== undefined) statuses.add(422);
  for (const status of [...statuses].sort()) {
    responses[status] ??= {
      description: MEANINGS[status],
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    };
  }
  return {
    operationId: id,
    summary,
    ...(tag === undefined ? {} : { tags: [tag] }),
    security: security(route),
    parameters: [
      ...parameters(route.params, "path"),
      ...parameters(route.query, "query"),
      ...Object.entries(headers).map(([name, { description, required = false }]) => ({
        name,
        in: "header",
        required,
        description,
        schema: { type: "string" },
      })),
    ],
    ...(body === undefined && rawBody === undefined ? {} : {
      requestBody: {
        required: true,
        content: body === undefined ? { [rawBody!]: {} } : both(jsonSchema(body, "input")),
      },
    }),
    responses,
  };
}

/** The ways to sign in; for a token the scope, which OpenAPI calls a role. */
function security(route: Route): object[] {
  if (route.access === "anyone") return [];
  const isOpen = route.access === "read";
  return [...(isOpen ? [{}] : []), { signature: [] }, { bearer: [scopeOf(route)] }, { msign: [] }];
}

/** The media types of an answer. */
function encodings(schema: object, { isForMuse = false }: Route) {
  return isForMuse ? { [X_MSGPACK]: { schema } } : both(schema);
}

function both(schema: object) {
  return { "application/json": { schema }, [X_MSGPACK]: { schema } };
}

function parameters(schema: z.ZodType, place: "path" | "query"): object[] {
  const { properties = {}, required = [] } = jsonSchema(schema, "input") as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }));
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}
