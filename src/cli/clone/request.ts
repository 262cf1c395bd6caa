/**
 * The requests of a clone.
 *
 * @module
 */

import { decode } from "@msgpack/msgpack";
import { ConfigError, ServerError } from "../../errors.ts";
import { contentDigest } from "../../http/auth/content_digest.ts";
import { type Signer, signRequest } from "../../http/auth/signature.ts";
import { sha256 } from "../../lib/digest.ts";
import { networkText } from "../../lib/text/network_text.ts";

/** Most bytes of an answer that is held in memory. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;
/** Most characters of a refusal that are shown. */
const MAX_SHOWN = 400;

/** Whom to ask, and as whom. */
export interface CloneSource {
  /** The repo's URL, without a slash at its end. */
  readonly url: string;
  readonly token?: string;
  readonly signer?: Signer;
  readonly signal: AbortSignal;
}

/** What a server says of its branches. */
export interface RemoteRefs {
  readonly defaultBranch: string;
  readonly heads: ReadonlyMap<string, string>;
}

/**
 * Asks for the branches.
 *
 * @throws {ConfigError} If the server refuses, or is none of this protocol.
 */
export async function requestRefs(source: CloneSource): Promise<RemoteRefs> {
  const response = await send(source, "GET", "refs");
  const held: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_HELD_BYTES) throw unexpected(source, "a list of branches that is too long");
    held.push(chunk);
  }
  let value: unknown;
  try {
    value = decode(await new Blob(held as BlobPart[]).bytes());
  } catch {
    throw unexpected(source, response.headers.get("content-type") ?? "no media type");
  }
  const { default_branch, branch_heads } = (value ?? {}) as Record<string, unknown>;
  if (typeof branch_heads !== "object" || branch_heads === null) {
    throw unexpected(source, "no branch_heads");
  }
  const heads = new Map<string, string>();
  for (const [name, head] of Object.entries(branch_heads)) {
    if (typeof head === "string") heads.set(name, head);
  }
  return { defaultBranch: typeof default_branch === "string" ? default_branch : "main", heads };
}

/** Asks for the history of these commits, as a pack of any length. */
export async function requestHistory(
  source: CloneSource,
  want: readonly string[],
  have: readonly string[] = [],
): Promise<AsyncIterable<Uint8Array>> {
  const body = JSON.stringify({ want, have, max_bytes: Number.MAX_SAFE_INTEGER });
  const response = await send(source, "POST", "fetch", new TextEncoder().encode(body));
  return response.body ?? ReadableStream.from<Uint8Array>([]);
}

async function send(
  { url: base, token, signer, signal }: CloneSource,
  method: "GET" | "POST",
  path: string,
  body?: Uint8Array<ArrayBuffer>,
): Promise<Response> {
  const url = new URL(`${base}/${path}`);
  const headers = new Headers({ accept: "application/x-msgpack" });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  if (body !== undefined) {
    headers.set("content-type", "application/json");
    headers.set("content-digest", contentDigest(sha256(body)));
  }
  if (signer !== undefined) {
    const signed = await signRequest({ method, url, headers }, signer);
    for (const [name, value] of Object.entries(signed)) headers.set(name, value);
  }
  let response: Response;
  try {
    // A credential must not follow a redirect to another host.
    response = await fetch(url, { method, headers, body, redirect: "manual", signal });
  } catch (cause) {
    signal.throwIfAborted();
    const why = networkText(cause as Error);
    throw new ServerError(`Cannot fetch from ${url.origin}: ${why}`, { cause });
  }
  if (response.status === 200) return response;
  const text = (await response.text()).slice(0, MAX_SHOWN);
  const message = `Cannot fetch from ${url.origin}: it answered ${response.status} ${text}`.trim();
  if (response.status < 500 && response.status !== 429) throw new ConfigError(message);
  throw new ServerError(message, { status: response.status });
}

function unexpected({ url }: CloneSource, what: string): ConfigError {
  const { origin } = new URL(url);
  return new ConfigError(
    `Cannot fetch from ${origin}: it answered with ${what}; is it an mpackd server?`,
  );
}
