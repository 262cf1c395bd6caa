/**
 * Writes one object: in one request if it is small, in parts if not.
 *
 * @module
 */
import { untilAborted } from "../../../lib/abort.ts";
import type { BlobStat, PutOptions } from "../blob_store.ts";
import { checkedBody, DigestError, hasDigest } from "../body_digest.ts";
import { checkSize, checkSizeSoFar } from "../body_size.ts";
import type { S3Client } from "./client.ts";
import { isDigestRefusal } from "./digest_support.ts";
import { S3Error } from "./s3_error.ts";
import { MAX_PARTS, MultipartUpload } from "./multipart.ts";
import type { S3Target } from "./reader.ts";
import { etagOf } from "./stat.ts";

const MIB = 1024 * 1024;
/** What fits into one request, and the least size of a part. */
const MIN_PART_BYTES = 8 * MIB;
/** Parts of a body of unknown length: 10,000 of them are 156 GiB. */
const UNKNOWN_PART_BYTES = 16 * MIB;
const FIRST_BUFFER_BYTES = 64 * 1024;

/** The size of every part but the last, so that `sizeBytes` need no more than 10,000 of them. */
export function partBytesFor(sizeBytes: number | undefined): number {
  if (sizeBytes === undefined) return UNKNOWN_PART_BYTES;
  return Math.max(MIN_PART_BYTES, Math.ceil(sizeBytes / MAX_PARTS / MIB) * MIB);
}

/** How to write an object. */
export interface S3PutOptions extends PutOptions {
  /** Whether the engine compares a body with the digest in its header. */
  readonly checksDigests: () => Promise<boolean>;
}

/**
 * Writes `body` under the target's key. Memory: two parts, whatever the body's length; one buffer
 * of the body's length if it is small.
 */
export async function putObject(
  client: S3Client,
  target: S3Target,
  body: AsyncIterable<Uint8Array>,
  options: S3PutOptions,
): Promise<BlobStat> {
  const { sizeBytes, sha256Hex } = options;
  options.signal?.throwIfAborted();
  const partBytes = partBytesFor(sizeBytes);
  // A part that fails for good must end the wait for a slow body, too.
  const failed = new AbortController();
  const signal = options.signal === undefined
    ? failed.signal
    : AbortSignal.any([options.signal, failed.signal]);
  // Of parts, an engine can prove each, and no digest of the whole.
  const isOne = sizeBytes !== undefined && sizeBytes <= partBytes;
  const isProved = sha256Hex === undefined || (isOne && await options.checksDigests());
  const proved = isProved ? body : checkedBody(target.key, body, sha256Hex);
  const backoff = () => client.backoff({ action: "write", key: target.key }, signal);
  const upload = new MultipartUpload({ client, target, signal, backoff, failed });
  try {
    let buffer = new Uint8Array(Math.min(partBytes, sizeBytes ?? FIRST_BUFFER_BYTES));
    let filledBytes = 0;
    let totalBytes = 0;
    for await (const chunk of untilAborted(proved, signal)) {
      totalBytes += chunk.length;
      checkSizeSoFar(target.key, totalBytes, sizeBytes);
      for (let at = 0; at < chunk.length;) {
        if (filledBytes === partBytes) {
          buffer = await upload.send(buffer);
          filledBytes = 0;
        } else if (filledBytes === buffer.length) {
          buffer = grow(buffer, partBytes);
        }
        const part = chunk.subarray(at, at + buffer.length - filledBytes);
        buffer.set(part, filledBytes);
        filledBytes += part.length;
        at += part.length;
      }
    }
    checkSize(target.key, totalBytes, sizeBytes);
    const rest = buffer.subarray(0, filledBytes);
    if (!upload.isBegun) {
      const digest = isProved ? sha256Hex : undefined;
      return await backoff().run(() => putWhole(client, target, rest, digest, signal));
    }
    await upload.send(rest);
    return { sizeBytes: totalBytes, etag: await upload.complete() };
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

function grow(buffer: Uint8Array<ArrayBuffer>, maxBytes: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(
    Math.min(maxBytes, Math.max(FIRST_BUFFER_BYTES, buffer.length * 2)),
  );
  larger.set(buffer);
  return larger;
}

async function putWhole(
  client: S3Client,
  { key, objectKey }: S3Target,
  body: Uint8Array<ArrayBuffer>,
  bodySha256Hex?: string,
  signal?: AbortSignal,
): Promise<BlobStat> {
  try {
    const answer = await client.send({ method: "PUT", objectKey, body, bodySha256Hex, signal });
    await answer.discard();
    return { sizeBytes: body.length, etag: etagOf(answer.headers) };
  } catch (error) {
    if (bodySha256Hex === undefined || !isDigestRefusal(error)) throw error;
    if (!hasDigest(body, bodySha256Hex)) throw new DigestError(key, { cause: error });
    // What came is not what was sent.
    throw new S3Error((error as Error).message, { isTransient: true, status: 400, cause: error });
  }
}
