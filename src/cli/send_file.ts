/**
 * A request whose body is streamed and has a `Content-Length`: `fetch` sends a stream in chunks,
 * whatever its headers say.
 *
 * @module
 */

import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { json } from "node:stream/consumers";

/** What to send. */
export interface SendOptions {
  /** Its headers, but for `Content-Length`. */
  readonly headers: Headers;
  /** The body. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The length of `body` in bytes. */
  readonly sizeBytes: number;
  /** Ends the request. */
  readonly signal?: AbortSignal;
}

/** What came back. */
export interface Answer {
  /** The HTTP status. */
  readonly status: number;
  /** The fields of the head. */
  readonly headers: Headers;
  /** The body, if it was JSON. */
  readonly value: unknown;
}

/** Posts `body`. An answer that comes before its end is the answer. */
export async function post(url: URL, options: SendOptions): Promise<Answer> {
  const { headers, body, sizeBytes, signal } = options;
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const fields = { ...Object.fromEntries(headers), "content-length": String(sizeBytes) };
  const outgoing = request(url, { method: "POST", headers: fields, signal });
  try {
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).once("error", reject);
      pipeline(Readable.from(body), outgoing).catch(reject);
    });
    const incoming = await answered;
    return {
      status: incoming.statusCode!,
      headers: new Headers(
        Object.entries(incoming.headers).flatMap(([name, value]) =>
          typeof value === "string" ? [[name, value] as [string, string]] : []
        ),
      ),
      value: await json(incoming).catch((error) => {
        if (signal?.aborted) throw error;
        return {};
      }),
    };
  } finally {
    outgoing.destroy();
  }
}
