/**
 * Makes answers in JSON or MessagePack.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { codecOf, X_MSGPACK } from "./body/body.ts";
import type { Answer } from "./server/answer.ts";

type Codec = "json" | "msgpack";

/** Makes an answer in the encoding that the client accepts. */
export function reply(
  request: Request,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const codec = acceptedCodec(request);
  const body = codec === "msgpack" ? encodeMsgpack(value) : JSON.stringify(value);
  return replyEncoded(body, codec, { status, headers: { vary: "accept", ...headers } });
}

/** Makes an answer as MessagePack whatever the client accepts: MuseHub's reads nothing else. */
export function replyMsgpack(
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return replyEncoded(encodeMsgpack(value), "msgpack", { headers });
}

/** Makes an answer of a body that is encoded already. */
export function replyEncoded(
  body: NonNullable<Answer["body"]>,
  codec: Codec,
  { status = 200, headers = {} }: {
    readonly status?: number;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Answer {
  const contentType = codec === "msgpack" ? X_MSGPACK : "application/json";
  return { status, headers: { "content-type": contentType, ...headers }, body };
}

function encodeMsgpack(value: unknown): Uint8Array<ArrayBuffer> {
  return encode(value, { ignoreUndefined: true }) as Uint8Array<ArrayBuffer>;
}

/**
 * Takes the first of the two that Accept names, else JSON. Not the encoding of the request:
 * MuseHub's client sends MessagePack, accepts anything, and reads JSON.
 */
export function acceptedCodec({ headers }: Request): Codec {
  for (const part of headers.get("accept")?.split(",") ?? []) {
    const codec = codecOf(part);
    if (codec !== undefined) return codec;
  }
  return "json";
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
