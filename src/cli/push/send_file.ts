/**
 * Sends a streamed body with a `Content-Length`: `fetch` always sends a stream in chunks.
 *
 * @module
 */

import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** The longest answer that is read; one that names 1,000 missing ids has 75 kB. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface SendOptions {
  /** Default POST. */
  readonly method?: "GET" | "POST" | "PUT";
  /** All headers except `Content-Length`. */
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array>;
  /** Of `body`. */
  readonly sizeBytes: number;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Of the URL that answered. */
  readonly origin: string;
  /** In lower case, without parameters. */
  readonly mediaType: string | undefined;
  /** The body if it is JSON, else undefined. */
  readonly value: unknown;
}

/** Sends `body`; returns the answer even if it comes before the whole body is sent. */
export async function sendBody(url: URL, options: SendOptions): Promise<Answer> {
  const { method = "POST", headers, body, sizeBytes, signal } = options;
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const fields = { ...Object.fromEntries(headers), "content-length": String(sizeBytes) };
  const outgoing = request(url, { method, headers: fields, signal });
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
      origin: url.origin,
      mediaType: incoming.headers["content-type"]?.split(";")[0].trim().toLowerCase(),
      value: await readJson(incoming).catch((error) => {
        if (signal?.aborted) throw error;
        return undefined;
      }),
    };
  } finally {
    outgoing.destroy();
  }
}

async function readJson(incoming: IncomingMessage): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
    if ((bytes += chunk.length) > MAX_ANSWER_BYTES) throw new RangeError("The answer is too long");
    chunks.push(chunk);
  }
  return JSON.parse(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).text());
}
