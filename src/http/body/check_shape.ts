/**
 * Checks bodies, queries and paths against schemas, and says which member was meant.
 *
 * @module
 */

import type { z } from "zod";
import { mostSimilar } from "../../lib/similar.ts";
import { HttpProblem } from "../problem.ts";

const MAX_ERRORS = 10;
/** Longer names are cut: a name is compared with each known one. */
const MAX_NAME_LENGTH = 100;
/** Unknown members that are compared; a body may have 100,000 of them. */
const MAX_COMPARED = 32;

/** What is wrong with one member. */
interface ShapeError {
  readonly pointer: string;
  readonly detail: string;
}

/**
 * Checks a value against a schema. An unknown member is refused if the schema is strict, or if it
 * looks like one that was misspelt: it would be ignored. Others are ignored, because MuseHub's clients
 * may send more than they did. A member may be written in snake_case or in camelCase, whichever the
 * schema has.
 *
 * @throws {HttpProblem} 422 for a body, else 400, with the first ten errors.
 */
export function checkShape<T extends z.ZodType>(
  schema: T,
  given: unknown,
  where: "body" | "query" | "path",
): z.output<T> {
  const value = respelt(schema, given);
  const { success, data, error } = schema.safeParse(value);
  const misspelt = misspeltMember(schema, value);
  if (success && misspelt === undefined) return data;
  const errors = [
    ...(misspelt === undefined ? [] : [misspelt]),
    ...(error?.issues ?? []).map((issue) => errorOf(schema, issue)),
  ].slice(0, MAX_ERRORS);
  const detail = `Cannot use the ${where}: ${errors[0].pointer}: ${errors[0].detail}`;
  const isBody = where === "body";
  throw new HttpProblem(isBody ? 422 : 400, isBody ? "invalid-body" : "bad-request", detail, {
    members: { errors },
  });
}

function errorOf(schema: z.ZodType, issue: z.core.$ZodIssue): ShapeError {
  const path = issue.path.map(String);
  if (issue.code !== "unrecognized_keys") {
    return { pointer: `/${path.join("/")}`, detail: issue.message };
  }
  const name = issue.keys[0].slice(0, MAX_NAME_LENGTH), known = membersAt(schema, path);
  const meant = mostSimilar(name, known);
  const next = meant === undefined ? `it may be ${known.join(", ")}` : `did you mean ${meant}?`;
  return { pointer: pointerTo(path, name), detail: `there is no such member; ${next}` };
}

/**
 * A member of an object that is not strict and looks like one that is not given.
 *
 * @internal Exported for tests and for values that are checked one by one.
 */
export function misspeltMember(
  schema: z.ZodType,
  value: unknown,
  path: readonly string[] = [],
): ShapeError | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const shape = shapeOf(schema);
  if (shape === undefined) return undefined;
  const members = value as Record<string, unknown>, missing: string[] = [];
  for (const name of Object.keys(shape)) {
    if (!Object.hasOwn(members, name)) {
      missing.push(name);
      continue;
    }
    const inside = misspeltMember(shape[name], members[name], [...path, name]);
    if (inside !== undefined) return inside;
  }
  let compared = 0;
  // A list of all members would take longer than to read them: there may be 100,000.
  for (const given in members) {
    if (Object.hasOwn(shape, given)) continue;
    if (++compared > MAX_COMPARED) return undefined;
    const name = given.slice(0, MAX_NAME_LENGTH), meant = mostSimilar(name, missing);
    if (meant === undefined) continue;
    const detail = `there is no such member; did you mean ${meant}?`;
    return { pointer: pointerTo(path, name), detail };
  }
  return undefined;
}

/** The value with its members spelt as the schema spells them. */
function respelt(schema: z.ZodType, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const shape = shapeOf(schema);
  if (shape === undefined) return value;
  const members = value as Record<string, unknown>, changed: Record<string, unknown> = {};
  const dropped: string[] = [];
  for (const name of Object.keys(shape)) {
    const other = otherSpelling(name), isOther = !Object.hasOwn(members, name);
    if (isOther && (other === name || !Object.hasOwn(members, other))) continue;
    const inside = members[isOther ? other : name], found = respelt(shape[name], inside);
    if (isOther) dropped.push(other);
    if (isOther || found !== inside) changed[name] = found;
  }
  if (Object.keys(changed).length === 0) return value;
  const all = { ...members, ...changed };
  for (const name of dropped) delete all[name];
  return all;
}

/** `mpack_key` for `mpackKey`, and the other way round. */
function otherSpelling(name: string): string {
  return name.includes("_")
    ? name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    : name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function pointerTo(path: readonly string[], name: string): string {
  return `/${[...path, name].join("/")}`;
}

/** The members of the object at a path. */
function membersAt(schema: z.ZodType, path: readonly string[]): string[] {
  let at: z.ZodType | undefined = schema;
  for (const name of path) at = at && (shapeOf(at)?.[name] ?? elementOf(at));
  return Object.keys((at && shapeOf(at)) ?? {});
}

type Shape = Readonly<Record<string, z.ZodType>>;

/** What is inside optional, nullable and default schemas. */
function innermost(schema: z.ZodType): z.ZodType {
  const { innerType } = schema.def as { readonly innerType?: z.ZodType };
  return innerType === undefined ? schema : innermost(innerType);
}

function shapeOf(schema: z.ZodType): Shape | undefined {
  const inner = innermost(schema);
  return "shape" in inner ? inner.shape as Shape : undefined;
}

function elementOf(schema: z.ZodType): z.ZodType | undefined {
  const inner = innermost(schema);
  return "element" in inner ? inner.element as z.ZodType : undefined;
}
