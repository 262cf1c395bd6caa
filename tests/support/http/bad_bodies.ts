/**
 * The most expensive bodies for every route of an API, made from its own description: a route that is
 * added later is attacked, too.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { mpackKey } from "../mpack/mpacks.ts";
import { concat } from "../store/blobs.ts";

const BODY_BYTES = 8 * 1024 * 1024;
const IDS = 100_000;
const MANY = 2_000_000;
const JSON_TYPE = "application/json", MSGPACK = "application/x-msgpack";
const text = (value: string) => new TextEncoder().encode(value);
const id = (i: number) => `sha256:${i.toString(16).padStart(64, "0")}`;

/** The part of a JSON Schema that is looked at. */
interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
}

/** The part of an OpenAPI document that is looked at. */
export interface Described {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly requestBody?: { readonly content: Contents } }>>
    >
  >;
}

type Contents = Readonly<Record<string, { readonly schema?: Schema }>>;

/** A request to send. */
export interface BadRequest {
  /** Names it. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Makes bad requests for each route that reads a body. */
export async function* badRequests({ paths }: Described): AsyncGenerator<BadRequest> {
  const packs = await badPacks();
  for (const [path, operations] of Object.entries(paths)) {
    for (const [name, { requestBody }] of Object.entries(operations)) {
      if (requestBody === undefined) continue;
      const method = name.toUpperCase(), place = { method, path: fill(path) };
      for (const [type, { schema }] of Object.entries(requestBody.content)) {
        const bodies = schema === undefined ? packs : badValues(type, schema);
        for (const [what, body] of Object.entries(bodies)) {
          const headers: Record<string, string> = { "content-type": type };
          if (schema === undefined) headers["x-mpack-key"] = mpackKey(body);
          yield { ...place, name: `${method} ${path}: ${what}`, headers, body };
        }
      }
    }
  }
}

/** A path of `me/repo`, and of things that are not there. */
function fill(path: string): string {
  const known: Record<string, string> = { owner: "me", slug: "repo", number: "1" };
  return path.replaceAll(/\{(\w+)\}/g, (_, name) => known[name] ?? id(0));
}

type Bodies = Record<string, Uint8Array<ArrayBuffer>>;

function badValues(type: string, schema: Schema): Bodies {
  const bodies: Bodies = {};
  const isJson = type === JSON_TYPE, base = least(schema) as Record<string, unknown>;
  const add = (name: string, value: unknown) => {
    const body = isJson ? text(JSON.stringify(value)) : new Uint8Array(encode(value));
    if (body.length <= BODY_BYTES) bodies[`${name}, as ${isJson ? "JSON" : "MessagePack"}`] = body;
  };
  if (isJson) {
    bodies["8 MB of spaces"] = text(" ".repeat(BODY_BYTES));
    bodies["8 MB of brackets"] = text("[".repeat(BODY_BYTES));
    bodies["2 million numbers"] = text(`[${new Array(MANY).fill("1").join()}]`);
  } else if (type === MSGPACK) {
    bodies["8 MB of nils in an array"] = nils();
  }
  add("100,000 members", { ...base, ...members(IDS) });
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    for (const [what, value] of Object.entries(badProperty(property))) {
      add(`${name}: ${what}`, { ...base, [name]: value });
    }
    if (isJson && property.type === "string") {
      const escapes = `"${"\\u0000".repeat(BODY_BYTES / 6 - 1_000)}"`;
      const rest = JSON.stringify({ ...base, [name]: "@" });
      bodies[`${name}: a string of 8 MB of escapes`] = text(rest.replace('"@"', escapes));
    }
  }
  return bodies;
}

function badProperty(schema: Schema): Record<string, unknown> {
  const long = "x".repeat(BODY_BYTES - 10_000);
  if (schema.type === "array") {
    const fill = (item: unknown) => new Array(IDS).fill(item);
    return {
      "100,000 numbers": fill(1),
      "100,000 objects": fill({}),
      "100,000 long strings": fill("x".repeat(150)),
      "100,000 absent ids": Array.from({ length: IDS }, (_, i) => id(i)),
      "one value 100,000 times": fill(schema.items === undefined ? id(0) : least(schema.items)),
      "a string of 8 MB": long,
    };
  }
  if (schema.type === "string") {
    const bad = { "a string of 8 MB": long, "100,000 numbers": new Array(IDS).fill(1) };
    // A pattern that takes long meets its own alphabet here.
    return { ...bad, "8 MB that begin well": String(least(schema)) + long };
  }
  if (schema.type === "object") {
    return { "100,000 members": members(IDS), "a string of 8 MB": long };
  }
  return { "a string of 8 MB": long, "100,000 objects": new Array(IDS).fill({}) };
}

/** The smallest value that a schema takes. */
function least(schema: Schema): unknown {
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.anyOf !== undefined) return least(schema.anyOf[0]);
  switch (schema.type) {
    case "object": {
      const { properties = {}, required = [] } = schema;
      return Object.fromEntries(required.map((name) => [name, least(properties[name] ?? {})]));
    }
    case "array":
      return [];
    case "integer":
    case "number":
      return schema.minimum ?? 1;
    case "boolean":
      return false;
    case "string":
      return /sha256|64/.test(schema.pattern ?? "") ? id(0) : "me";
    default:
      return id(0);
  }
}

function members(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, i]));
}

function nils(): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(BODY_BYTES).fill(0xc0);
  body.set([0xdd, ...bigEndian(BODY_BYTES - 5)]);
  return body;
}

function bigEndian(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

/** Packs that take the decoder long. */
async function badPacks(): Promise<Bodies> {
  const sections = (name: string, value: unknown) => new Uint8Array(encode({ [name]: value }));
  const manifest = Object.fromEntries(
    Array.from({ length: IDS }, (_, i) => [`folder/file${i}.txt`, id(i)]),
  );
  const deep = (levels: number): unknown => levels === 0 ? 1 : [deep(levels - 1)];
  return {
    "8 MB of nils": nils(),
    "100,000 empty objects": new Uint8Array(
      concat(
        await Array.fromAsync(
          makeMpack({
            objects: 100_000,
            size: { kind: "range", minBytes: 0, maxBytes: 0 },
            seed: 1,
          }),
        ),
      ),
    ),
    "100,000 empty commits": sections("commits", new Array(100_000).fill({})),
    "a commit with a message of 8 MB": sections("commits", [{
      commit_id: id(1),
      message: "x".repeat(BODY_BYTES - 1_000),
    }]),
    "a commit with 100,000 parents": sections("commits", [{
      commit_id: id(1),
      parent_ids: Array.from({ length: 100_000 }, (_, i) => id(i)),
    }]),
    "a snapshot of 100,000 files": sections("snapshots", [{ snapshot_id: id(1), manifest }]),
    "a value of 100,000 members": sections("other", members(100_000)),
    "100,000 values, each 30 deep": sections("other", new Array(50_000).fill(deep(30))),
  };
}
