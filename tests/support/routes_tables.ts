/**
 * The tables of docs/routes.md, made from the API's description.
 *
 * @module
 */

import { describeApi } from "../../src/http/describe_api.ts";
import { API_ROUTES } from "../../src/http/app.ts";

/** Names of members of a body or answer that a cell shows. */
const SHOWN_MEMBERS = 6;

/** Words for media types. */
const MEDIA: Readonly<Record<string, string>> = {
  "application/octet-stream": "the bytes",
  "application/x-msgpack": "MessagePack",
  "application/json": "JSON",
  "text/event-stream": "events",
  "text/plain": "text",
};

interface Operation {
  readonly summary: string;
  readonly tags: readonly [string];
  readonly security: readonly { readonly bearer?: readonly string[] }[];
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}

/** By media type. */
type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** One table for each group of routes, under its heading, in the order of the description. */
export function routesTables(): string {
  const { paths } = describeApi(API_ROUTES, "") as {
    paths: Record<string, Record<string, Operation>>;
  };
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation }))
  );
  const [first, ...others] = operations.map(({ responses }) => new Set(Object.keys(responses)));
  const common = others.reduce((all, statuses) => all.intersection(statuses), first);
  const groups = Map.groupBy(operations, ({ tags: [tag] }) => tag);
  return [
    `Every route may also answer ${[...common].join(", ")}.`,
    ...[...groups].map(([tag, rows]) =>
      [
        `## ${tag}\n`,
        "| request | scope | what | answers |",
        "| --- | --- | --- | --- |",
        ...rows.map((row) =>
          `| ${request(row)} | ${scope(row)} | ${row.summary.replace(/\.$/, "")} | ` +
          `${answers(row, common)} |`
        ),
      ].join("\n")
    ),
  ].join("\n\n");
}

function request(
  { method, path, parameters, requestBody }: Operation & { path: string; method: string },
): string {
  const query = parameters.filter((one) => one.in === "query").map(({ name }) => `${name}=`);
  const target = query.length === 0 ? path : `${path}?${query.join("&")}`;
  const body = requestBody === undefined ? "" : ` ${members(requestBody.content)}`;
  return `\`${method.toUpperCase()} ${target}\`${body}`.trimEnd();
}

function scope({ security }: Operation): string {
  const names = security.flatMap(({ bearer = [] }) => bearer);
  if (names.length === 0) return "none";
  return security.some((one) => Object.keys(one).length === 0) ? `${names}, or public` : `${names}`;
}

function answers({ responses }: Operation, common: ReadonlySet<string>): string {
  const own = Object.entries(responses).filter(([status]) => !common.has(status));
  const good = own.filter(([status]) => Number(status) < 300);
  const shown = good.map(([status, { content = {} }], at) => {
    const text = members(content);
    return at > 0 && text === members(good[0][1].content ?? {})
      ? status
      : `${status} ${text}`.trim();
  });
  const others = own.slice(good.length).map(([status]) => status);
  return [shown.join(", "), others.join(", ")].filter((text) => text !== "").join("; ");
}

/** The members of JSON or MessagePack, by name; the media type of anything else. */
function members(content: Content): string {
  const [[type, { schema }] = ["", {}]] = Object.entries(content);
  return schema === undefined ? MEDIA[type] ?? type : shape(schema);
}

function shape(schema: Schema): string {
  const { properties, items, required = [], anyOf } = schema;
  if (anyOf !== undefined) return anyOf.map(shape).filter((text) => text !== "").join(" or ");
  if (items !== undefined) return shape(items) && `[${shape(items)}, …]`;
  if (properties === undefined) return "";
  const names = Object.entries(properties).map(([name, value]) => {
    const inner = value.items?.properties && shape(value);
    return `${name}${required.includes(name) ? "" : "?"}${inner ? `: ${inner}` : ""}`;
  });
  const shown = names.length > SHOWN_MEMBERS ? [...names.slice(0, SHOWN_MEMBERS - 1), "…"] : names;
  return `{${shown.join(", ")}}`;
}
