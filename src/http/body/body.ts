/**
 * Reads request bodies under limits of length and time, then decodes them.
 *
 * @module
 */

import type { z } from "zod";
import type { Config } from "../../config/config.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { requireSha256 } from "../auth/content_digest.ts";
import type { BodyBytes } from "./body_budget.ts";
import { checkShape } from "./check_shape.ts";
import { decodeBody } from "./decode_body.ts";
import { decodeIdLists } from "./id_lists.ts";
import { HttpProblem } from "../problem.ts";
import { type BodyLimits, TimedBody, tooLarge } from "./timed_body.ts";

/** MessagePack's registered media type. */
const MSGPACK = "application/vnd.msgpack";
/** MessagePack's media type in MuseHub's clients. */
export const X_MSGPACK = "application/x-msgpack";
const MSGPACK_TYPES = new Set([MSGPACK, X_MSGPACK, "application/msgpack"]);
/** Bytes of each chunk of a body that passes by, but the last. */
const CHUNK_BYTES = 256 * 1024;
/**
 * … once so much of it has come. Each chunk is written by another thread, and waking it takes as long
 * as copying 256 KiB. A client gets the larger buffer only for bytes that it has sent.
 */
const LONG_BODY_BYTES = 4 * 1024 * 1024, LONG_CHUNK_BYTES = 1024 * 1024;
/** … of a body that is kept: this much is allocated before any of it has come. */
const KEPT_CHUNK_BYTES = 64 * 1024;

/** The limits of a body by the settings. */
export function bodyLimits(config: Config, maxBytes: number): BodyLimits {
  return {
    maxBytes,
    idleMs: config.httpIdleMs,
    totalMs: config.httpTotalMs,
    minBytesPerSecond: config.httpMinBytesPerSecond,
  };
}

/** The encoding that a media type names; undefined if it is neither of the two. */
export function codecOf(contentType: string | null): "json" | "msgpack" | undefined {
  const type = contentType?.split(";")[0].trim().toLowerCase() ?? "";
  if (MSGPACK_TYPES.has(type)) return "msgpack";
  return type === "application/json" ? "json" : undefined;
}

/**
 * The `Content-Length` of a request; undefined for a chunked body.
 *
 * @throws {HttpProblem} 413 if it is more than `maxBytes`.
 */
export function declaredLength(request: Request, maxBytes: number): number | undefined {
  const text = request.headers.get("content-length");
  if (text === null) return undefined;
  const length = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(length)) {
    throw new HttpProblem(
      400,
      "bad-request",
      "Cannot read the body: Content-Length is not a number",
    );
  }
  if (length > maxBytes) throw tooLarge(maxBytes);
  return length;
}

/**
 * Yields a body in chunks that share one buffer: use a chunk before asking for the next one.
 *
 * @throws {HttpProblem} 413 past `maxBytes`; 408 if it comes too slowly; 400 if the client closes
 * the connection. Throws the signal's reason when the signal fires.
 */
export function bodyChunks(
  request: Request,
  limits: BodyLimits,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  return chunksOf(request, limits, { chunkBytes: CHUNK_BYTES, isShared: true, signal });
}

interface ChunkOptions {
  readonly chunkBytes: number;
  /** Whether all chunks share one buffer. */
  readonly isShared?: boolean;
  readonly signal?: AbortSignal;
}

async function* chunksOf(
  request: Request,
  limits: BodyLimits,
  options: ChunkOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { isShared = false, signal } = options;
  const declaredBytes = declaredLength(request, limits.maxBytes) ?? options.chunkBytes;
  if (request.body === null) return;
  // Most bodies are far shorter than a chunk, and a buffer is zeroed before it is filled.
  const chunkBytes = Math.max(1, Math.min(options.chunkBytes, declaredBytes));
  using body = new TimedBody(request.body, limits, signal);
  let buffer = new ArrayBuffer(chunkBytes), filledBytes = 0, passedBytes = 0;
  for (;;) {
    const { done, value } = await body.read(new Uint8Array(buffer, filledBytes));
    if (done) {
      if (filledBytes > 0) yield new Uint8Array(value?.buffer ?? buffer, 0, filledBytes);
      return;
    }
    if (!body.isFilling) {
      yield value;
      continue;
    }
    buffer = value.buffer;
    filledBytes += value.length;
    if (filledBytes < buffer.byteLength) continue;
    yield new Uint8Array(buffer);
    passedBytes += filledBytes;
    if (!isShared) buffer = new ArrayBuffer(chunkBytes);
    else if (passedBytes === LONG_BODY_BYTES) buffer = new ArrayBuffer(LONG_CHUNK_BYTES);
    filledBytes = 0;
  }
}

/**
 * Reads a whole body and checks it against its `Content-Digest`.
 *
 * @param needsDigest Whether to refuse a body without a digest: the request is signed.
 * @param counted Counts the bytes that are in memory.
 */
export async function readBody(
  request: Request,
  limits: BodyLimits,
  { needsDigest, counted }: { readonly needsDigest: boolean; readonly counted: BodyBytes },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(request, limits, { chunkBytes: KEPT_CHUNK_BYTES })) {
    counted.add(chunk.length);
    chunks.push(chunk);
  }
  const body = chunks.length === 1 ? chunks[0] : joined(chunks);
  const field = request.headers.get("content-digest");
  if (field === null) {
    if (!needsDigest || body.length === 0) return body;
    throw new HttpProblem(
      401,
      "unauthenticated",
      "Cannot authenticate: the signature does not cover the body (content-digest)",
    );
  }
  if (requireSha256(field) === sha256Hex(body)) return body;
  throw new HttpProblem(
    400,
    "digest-mismatch",
    "Cannot use the body: its SHA-256 is not the one in Content-Digest",
  );
}

/** Joins by hand: a Blob took 5% of the server's time, mostly for GETs without a body. */
function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Values in a body without id lists. 200,000 of them hold the event loop for 120 ms. */
const MAX_VALUES = 100_000;

/**
 * Decodes a body and checks it against a schema.
 *
 * @param options.maxIds The most ids; other values may have a key each.
 * @param options.areIdLists Whether all members are lists of ids, or short.
 * @throws {HttpProblem} 415, 400, 413 or 422.
 */
export async function parseBody<T extends z.ZodType>(
  body: Uint8Array,
  contentType: string | null,
  schema: T,
  { maxIds, areIdLists }: { readonly maxIds: number; readonly areIdLists: boolean },
): Promise<z.output<T>> {
  const codec = codecOf(contentType);
  if (codec === undefined) {
    throw new HttpProblem(
      415,
      "unsupported-media-type",
      `Cannot read the body: it is neither application/json nor ${X_MSGPACK}`,
    );
  }
  const value = areIdLists
    ? await decodeIdLists(body, codec, { maxIds })
    : await decodeBody(body, codec, { maxValues: MAX_VALUES });
  return checkShape(schema, value, "body");
}
