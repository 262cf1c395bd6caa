/**
 * Makes answers in JSON or MessagePack.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { codecOf, X_MSGPACK } from "./body/body.ts";

/** Makes an answer in the encoding that the client accepts. */
export function reply(
  request: Request,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const isMsgpack = wantsMsgpack(request);
  const body = isMsgpack
    ? encode(value, { ignoreUndefined: true }) as Uint8Array<ArrayBuffer>
    : JSON.stringify(value);
  const contentType = isMsgpack ? X_MSGPACK : "application/json";
  return new Response(body, {
    status,
    headers: { "content-type": contentType, vary: "accept", ...headers },
  });
}

/**
 * Takes the first of the two that Accept names, else JSON. Not the encoding of the request:
 * MuseHub's client sends MessagePack, accepts anything, and reads JSON.
 */
function wantsMsgpack({ headers }: Request): boolean {
  for (const part of headers.get("accept")?.split(",") ?? []) {
    const codec = codecOf(part);
    if (codec !== undefined) return codec === "msgpack";
  }
  return false;
}

/** Turns all keys into camelCase; values under the keys in `verbatim` stay as they are. */
export function camelKeys(value: unknown, verbatim: readonly string[] = []): unknown {
  if (Array.isArray(value)) return value.map((item) => camelKeys(item, verbatim));
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      verbatim.includes(key) ? item : camelKeys(item, verbatim),
    ]),
  );
}
