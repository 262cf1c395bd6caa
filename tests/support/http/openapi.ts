/**
 * Checks answers against the API's own description: status, media type, schema.
 *
 * @module
 */

import { Ajv2020 } from "ajv/dist/2020.js";
import assert from "node:assert/strict";

/** The part of an OpenAPI document that is used here. */
export interface ApiDescription {
  /** Operations by path and lower-case method. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: object;
}

interface Operation {
  readonly responses: Readonly<Record<string, Described>>;
}

interface Described {
  readonly description?: string;
  /** By media type. */
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
}

export interface Exchange {
  readonly method: string;
  /** Without the query. */
  readonly pathname: string;
  readonly status: number;
  readonly contentType: string | null;
  /** The decoded JSON or MessagePack. */
  readonly value: unknown;
}

/** Throws if an answer is not as described; unknown paths must answer 404. */
export function checkExchange(description: ApiDescription, exchange: Exchange): void {
  const { method, pathname, status, contentType, value } = exchange;
  const asked = `${method} ${pathname}: ${status}`;
  const operation = operationOf(description, method, pathname);
  if (operation === undefined) return assert.equal(status, 404, `${asked}, but there is no route`);
  const answer = operation.responses[status];
  assert.ok(answer, `${asked} is not described`);
  const type = contentType?.split(";")[0];
  if (method === "HEAD" || answer.content === undefined) {
    return assert.equal(value, undefined, `${asked} has a body`);
  }
  const described = answer.content[type ?? ""];
  assert.ok(described, `${asked}: ${type} is not described`);
  if (described.schema === undefined) return;
  const check = validatorOf(description, described.schema);
  assert.ok(check(value), `${asked}: ${ajv.errorsText(check.errors)}: ${JSON.stringify(value)}`);
}

const ajv = new Ajv2020({ strict: true, validateFormats: false }).addKeyword("components");
type Validator = ReturnType<typeof ajv.compile>;
/** Cached: compiling takes longer than everything else. */
const validators = new Map<string, Validator>();

function validatorOf({ components }: ApiDescription, schema: object): Validator {
  const text = JSON.stringify(schema);
  const known = validators.get(text);
  if (known !== undefined) return known;
  const validator = ajv.compile({ ...schema, components });
  validators.set(text, validator);
  return validator;
}

/** Finds the operation of a path; paths without parameters go first, as in the router. */
function operationOf(
  { paths }: ApiDescription,
  method: string,
  pathname: string,
): Operation | undefined {
  const name = method === "HEAD" ? "get" : method.toLowerCase();
  const found = Object.keys(paths)
    .filter((path) => paths[path][name] !== undefined && patternOf(path).test(pathname))
    .sort((a, b) => a.split("{").length - b.split("{").length);
  return found.length === 0 ? undefined : paths[found[0]][name];
}

function patternOf(path: string): RegExp {
  const pattern = path.replaceAll(/[.]/g, "\\$&")
    .replace(/\{path\}$/, ".*").replaceAll(/\{\w+\}/g, "[^/]+");
  return new RegExp(`^${pattern}$`);
}
