/**
 * Writes one object: a small one in one request, a large one in parts.
 *
 * @module
 */
import { untilAborted } from "../../../lib/abort.ts";
import type { BlobStat, PutOptions } from "../blob_store.ts";
import { checkedBody, DigestError, hasDigest, newChecksum } from "../checked_body.ts";
import type { S3Client, S3Request } from "./client.ts";
import { isDigestRefusal } from "./digest_support.ts";
import { moveObject } from "./copy.ts";
import { S3Error } from "./s3_error.ts";
import { MAX_PARTS, MultipartUpload, type UploadPart } from "./multipart.ts";
import type { OptionalHeaders } from "./optional_headers.ts";
import type { S3Target } from "./reader.ts";
import { etagOf, statObject } from "./stat.ts";

const MIB = 1024 * 1024;
/** The largest body of one request, and the smallest part. */
const MIN_PART_BYTES = 8 * MIB;
/** The part of a body of unknown length: 10,000 of them are 156 GiB. */
const UNKNOWN_PART_BYTES = 16 * MIB;
const FIRST_BUFFER_BYTES = 64 * 1024;

/**
 * Returns the size of every part but the last, so that 10,000 parts are enough.
 * @internal Exported for tests.
 */
export function partBytesFor(sizeBytes: number | undefined): number {
  if (sizeBytes === undefined) return UNKNOWN_PART_BYTES;
  return Math.max(MIN_PART_BYTES, Math.ceil(sizeBytes / MAX_PARTS / MIB) * MIB);
}

/** How to write an object, and what is known of the engine. */
export interface S3PutOptions extends PutOptions {
  /** Whether the engine compares a body with the digest that its request was signed with. */
  readonly checksDigests: () => Promise<boolean>;
  /** `If-None-Match`. */
  readonly conditions: OptionalHeaders;
  /** `x-amz-checksum-sha256`. */
  readonly checksums: OptionalHeaders;
  /**
   * Tells the object's name after the end of the body. A body in parts is written under the target
   * until then, and copied inside the store.
   */
  readonly nameAtEnd?: () => S3Target;
}

/**
 * Writes `body` under the target's key. Needs memory for the body if it is small, and for two parts
 * if it is large.
 */
export async function putObject(
  client: S3Client,
  target: S3Target,
  body: AsyncIterable<Uint8Array>,
  options: S3PutOptions,
): Promise<BlobStat> {
  const { sizeBytes, sha256Hex, checksums } = options;
  options.signal?.throwIfAborted();
  const partBytes = partBytesFor(sizeBytes);
  // A part that failed after all its retries must also end the wait for a slow body.
  const failed = new AbortController();
  const signal = options.signal === undefined
    ? failed.signal
    : AbortSignal.any([options.signal, failed.signal]);
  // No engine can check the digest of a whole body that comes in parts; Ceph checks no empty body.
  const isOne = sizeBytes !== undefined && sizeBytes <= partBytes;
  const isProved = sha256Hex === undefined ||
    (isOne && sizeBytes > 0 && await options.checksDigests());
  const declared = { sizeBytes, sha256Hex: isProved ? undefined : sha256Hex };
  const backoff = () => client.backoff({ action: "write", key: target.key }, signal);
  const upload = new MultipartUpload({ client, target, signal, backoff, failed, checksums });
  // A declared digest is the checksum of a body in one request, which then is not hashed here.
  const isHashed = !(isOne && sha256Hex !== undefined) && !checksums.isRefused;
  let hash = isHashed ? newChecksum() : undefined;
  const part = (bytes: Uint8Array<ArrayBuffer>): UploadPart => {
    const sha256Base64 = hash?.digest("base64");
    hash = hash && newChecksum();
    return { bytes, sha256Base64 };
  };
  try {
    let buffer = new Uint8Array(Math.min(partBytes, sizeBytes ?? FIRST_BUFFER_BYTES));
    let filledBytes = 0;
    let totalBytes = 0;
    for await (const chunk of untilAborted(checkedBody(target.key, body, declared), signal)) {
      totalBytes += chunk.length;
      for (let at = 0; at < chunk.length;) {
        if (filledBytes === partBytes) {
          buffer = await upload.send(part(buffer));
          filledBytes = 0;
        } else if (filledBytes === buffer.length) {
          buffer = grow(buffer, partBytes);
        }
        const fitting = chunk.subarray(at, at + buffer.length - filledBytes);
        buffer.set(fitting, filledBytes);
        hash?.update(fitting);
        filledBytes += fitting.length;
        at += fitting.length;
      }
    }
    const rest = part(buffer.subarray(0, filledBytes));
    if (!upload.isBegun) {
      const bodySha256Hex = isProved ? sha256Hex : undefined;
      const checksum = rest.sha256Base64 ?? (sha256Hex && Uint8Array.fromHex(sha256Hex).toBase64());
      const send = (condition: Record<string, string>) =>
        checksums.run(
          checksum ? { "x-amz-checksum-sha256": checksum } : {},
          (headers) =>
            putWhole(client, options.nameAtEnd?.() ?? target, rest.bytes, {
              headers: { ...condition, ...headers },
              bodySha256Hex,
              signal,
            }),
        );
      return await backoff().run(() =>
        options.ifAbsent ? options.conditions.run({ "if-none-match": "*" }, send) : send({})
      );
    }
    await upload.send(rest);
    const etag = await upload.complete();
    const named = options.nameAtEnd && await moveObject(client, {
      from: target,
      to: options.nameAtEnd(),
      sizeBytes: totalBytes,
      checksums,
      signal,
    });
    const written = named ?? { target, etag };
    return await backoff().run(() =>
      confirm(client, written.target, totalBytes, written.etag, signal)
    );
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
  target: S3Target,
  body: Uint8Array<ArrayBuffer>,
  options: Pick<S3Request, "headers" | "bodySha256Hex" | "signal">,
): Promise<BlobStat> {
  const { key, objectKey } = target, { bodySha256Hex } = options;
  try {
    const answer = await client.send({ ...options, method: "PUT", objectKey, body });
    await answer.discard();
    const etag = etagOf(answer.headers);
    return await confirm(client, target, body.length, etag, options.signal);
  } catch (error) {
    if (!isDigestRefusal(error)) throw error;
    if (bodySha256Hex !== undefined && !hasDigest(body, bodySha256Hex)) {
      throw new DigestError(key, { cause: error });
    }
    // The body was damaged on its way.
    throw new S3Error((error as Error).message, { isTransient: true, status: 400, cause: error });
  }
}

/** Nearly all engines name a version by its MD5, or by an MD5 and the number of its parts. */
const USUAL_ETAG = /^"[0-9a-f]{32}(-\d+)?"$/i;

/**
 * Returns the stat of a written object. Without an ETag or after an unusual one it asks for the object:
 * a server that is no store may answer 200 to every request, some with an ETag.
 */
async function confirm(
  client: S3Client,
  { objectKey }: S3Target,
  sizeBytes: number,
  etag: string | undefined,
  signal?: AbortSignal,
): Promise<BlobStat> {
  if (etag !== undefined && USUAL_ETAG.test(etag)) return { sizeBytes, etag };
  try {
    const stat = await statObject(client, objectKey, signal);
    if (stat.sizeBytes === sizeBytes) return stat;
  } catch (error) {
    const isForbidden = error instanceof S3Error && error.status === 403;
    // These credentials may write, but not read.
    if (isForbidden && etag !== undefined) return { sizeBytes, etag };
    if (!(error instanceof S3Error) || error.status !== 404) throw error;
  }
  const message = "the store answered that it wrote the object, but does not have it";
  throw new S3Error(message, { isTransient: true });
}
