/**
 * Reads an object's size and version from an answer's headers.
 *
 * @module
 */
import type { BlobStat } from "../blob_store.ts";
import type { S3Answer } from "./answer.ts";
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";

/** Asks for an object's size and version by a HEAD request. */
export async function statObject(
  client: S3Client,
  objectKey: string,
  signal?: AbortSignal,
): Promise<BlobStat> {
  const answer = await client.send({ method: "HEAD", objectKey, signal });
  await answer.discard();
  return statOfHeaders(answer.headers, parseLength(answer.headers.get("content-length")));
}

/**
 * Returns the offset of the body's first byte in the object, and the object's stat if the answer
 * tells the object's length.
 */
export function answerExtent(answer: S3Answer): { startBytes: number; stat?: BlobStat } {
  const { status, headers } = answer;
  if (status !== 206) {
    const sizeBytes = parseLength(headers.get("content-length"));
    return {
      startBytes: 0,
      stat: sizeBytes === undefined ? undefined : statOfHeaders(headers, sizeBytes),
    };
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range")?.trim() ?? "");
  if (range === null) {
    throw new S3Error("the store sent a part without a valid Content-Range", {
      isTransient: false,
    });
  }
  const startBytes = Number(range[1]);
  if (range[2] === "*") return { startBytes };
  return { startBytes, stat: statOfHeaders(headers, Number(range[2])) };
}

/** Whether two ETags name the same version. */
export function isSameVersion(left: string, right: string): boolean {
  return strongEtag(left) === strongEtag(right);
}

/**
 * Returns the ETag with quotes and without the `W/` of a cache or proxy on the way, as `If-Match`
 * needs it: a weak ETag never matches there. Undefined if the text is not an ETag.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#field.if-match | RFC 9110, 13.1.1}
 */
export function strongEtag(text: string): string | undefined {
  const inside = /^(?:W\/)?"([^"]+)"$/.exec(text)?.[1] ?? /^[\w.+=-]+$/.exec(text)?.[0];
  return inside === undefined ? undefined : `"${inside}"`;
}

/** Returns the answer's ETag, as {@link parseEtag} does. */
export function etagOf(headers: Headers): string {
  return parseEtag(headers.get("etag") ?? "");
}

/**
 * Returns a strong ETag.
 *
 * @throws {S3Error} If the text is not an ETag.
 */
function parseEtag(text: string): string {
  const etag = strongEtag(text);
  if (etag !== undefined) return etag;
  const what = text === "" ? "no ETag" : `an invalid ETag (${text.slice(0, 40)})`;
  throw new S3Error(`the store sent ${what}`, { isTransient: false });
}

function statOfHeaders(headers: Headers, sizeBytes: number | undefined): BlobStat {
  if (sizeBytes === undefined) {
    throw new S3Error("the store sent no Content-Length", { isTransient: false });
  }
  return { sizeBytes, etag: etagOf(headers) };
}

function parseLength(value: string | null): number | undefined {
  return value !== null && /^\d+$/.test(value) ? Number(value) : undefined;
}
