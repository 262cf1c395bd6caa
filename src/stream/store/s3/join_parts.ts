/**
 * Joins the parts of a multipart upload to one object.
 *
 * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html |
 * CompleteMultipartUpload}
 * @module
 */
import type { Backoff } from "./backoff.ts";
import type { S3Client } from "./client.ts";
import { errorOfAnswer, S3Error } from "./s3_error.ts";
import { statObject, strongEtag } from "./stat.ts";
import { encodeXml, xmlText } from "./xml.ts";

/** The store may need minutes to join the parts. */
export const COMPLETE_WITHIN_MS = 10 * 60 * 1000;

/** The parts, in order, and how to send the request. */
export interface JoinOptions {
  /** The upload's id. */
  readonly uploadId: string;
  /** Its parts; the checksum only if the upload was begun with checksums. */
  readonly parts: readonly { number: number; etag: string; sha256Base64?: string }[];
  /** Ends the request. */
  readonly signal?: AbortSignal;
  /** Returns a new counter of failures. */
  readonly backoff: () => Backoff;
}

/** Joins the parts; returns the object's ETag, or undefined if the store does not tell it. */
export async function joinParts(
  client: S3Client,
  objectKey: string,
  { uploadId, parts, signal, backoff }: JoinOptions,
): Promise<string | undefined> {
  const list = parts.map(({ number, etag, sha256Base64 }) => {
    const checksum = sha256Base64 === undefined
      ? ""
      : `<ChecksumSHA256>${sha256Base64}</ChecksumSHA256>`;
    const fields = `<PartNumber>${number}</PartNumber><ETag>${encodeXml(etag)}</ETag>`;
    return `<Part>${fields}${checksum}</Part>`;
  });
  const body = new TextEncoder().encode(
    `<CompleteMultipartUpload>${list.join("")}</CompleteMultipartUpload>`,
  );
  const query = { uploadId }, answerWithinMs = COMPLETE_WITHIN_MS;
  let tries = 0;
  return await backoff().run(async () => {
    tries++;
    try {
      const request = { method: "POST", objectKey, query, body, answerWithinMs, signal } as const;
      const answer = await client.send(request);
      // The store sends the status before it joins the parts, so the body may hold an error.
      const text = await answer.text();
      const joined = xmlText(text, "ETag");
      if (joined === undefined) {
        throw errorOfAnswer({ status: 500, headers: answer.headers }, text, "");
      }
      // Ceph 16 leaves it empty.
      return strongEtag(joined);
    } catch (error) {
      const isLostAnswer = tries > 1 && error instanceof S3Error && error.s3Code === "NoSuchUpload";
      if (!isLostAnswer) throw error;
      // An earlier try joined the parts, but its answer was lost.
      return (await statObject(client, objectKey, signal)).etag;
    }
  });
}
