/**
 * Multipart uploads whose parts clients send to presigned URLs.
 *
 * @module
 */
import type { CompleteOptions, PartUploads, Presigned, SentPart } from "../blob_store.ts";
import type { S3Client } from "./client.ts";
import { joinParts } from "./join_parts.ts";
import { abortUpload } from "./old_uploads.ts";
import { MAX_PARTS } from "./multipart.ts";
import { badPage, listPages } from "./pages.ts";
import type { S3Target } from "./reader.ts";
import { S3Error } from "./s3_error.ts";
import { strongEtag } from "./stat.ts";
import { xmlText } from "./xml.ts";

/** S3's limit for the body of one PUT. See {@link https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html}. */
const MAX_WHOLE_BYTES = 5 * 1024 ** 3;

/** The multipart uploads of a store. */
export class S3PartUploads implements PartUploads {
  readonly maxWholeBytes = MAX_WHOLE_BYTES;
  readonly #client: S3Client;
  readonly #target: (key: string) => S3Target;

  /** Builds them; sends nothing. */
  constructor(client: S3Client, target: (key: string) => S3Target) {
    this.#client = client;
    this.#target = target;
  }

  /** Begins an upload. */
  async begin(key: string, { signal }: { signal?: AbortSignal } = {}): Promise<string> {
    const { objectKey } = this.#target(key);
    const request = { method: "POST", objectKey, query: { uploads: "" }, signal } as const;
    return await this.#client.backoff({ action: "begin an upload of", key }, signal).run(
      async () => {
        const uploadId = xmlText(await (await this.#client.send(request)).text(), "UploadId");
        if (uploadId !== undefined && uploadId !== "") return uploadId;
        throw new S3Error("the store sent no UploadId", { isTransient: false });
      },
    );
  }

  /** Lists the parts that arrived. */
  async list(
    key: string,
    uploadId: string,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<SentPart[] | undefined> {
    const { objectKey } = this.#target(key), parts: SentPart[] = [];
    const pages = listPages(this.#client, {
      action: "list the parts of",
      key,
      signal,
      objectKey,
      root: "ListPartsResult",
      element: "Part",
      parse: (xml) => partOf(xml),
      next: { "part-number-marker": "NextPartNumberMarker" },
      query: { uploadId },
    });
    try {
      for await (const part of pages) {
        if (parts.push(part) > MAX_PARTS) throw badPage(`lists more than ${MAX_PARTS} parts`);
      }
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
    return parts;
  }

  /** Signs the PUT of one part. */
  async presign(
    key: string,
    uploadId: string,
    { number, expiresSeconds }: { readonly number: number; readonly expiresSeconds: number },
  ): Promise<Presigned> {
    const { objectKey } = this.#target(key);
    const query = { partNumber: String(number), uploadId };
    const request = { method: "PUT", objectKey, query, expiresSeconds } as const;
    const backoff = this.#client.backoff({ action: "sign a URL for", key });
    return await backoff.run(() => this.#client.presign(request));
  }

  /** Joins the parts. No engine can compare a SHA-256 over several parts. */
  async complete(
    key: string,
    uploadId: string,
    parts: readonly SentPart[],
    { check, signal }: CompleteOptions = {},
  ): Promise<void> {
    const { objectKey } = this.#target(key);
    const backoff = () => this.#client.backoff({ action: "join the parts of", key }, signal);
    await check?.();
    await joinParts(this.#client, objectKey, { uploadId, parts, signal, backoff });
  }

  /** Removes the parts. */
  async abort(
    key: string,
    uploadId: string,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<void> {
    await abortUpload(this.#client, this.#target(key).objectKey, uploadId, signal);
  }
}

function partOf(xml: string): SentPart {
  const number = Number(xmlText(xml, "PartNumber")), size = xmlText(xml, "Size") ?? "";
  const etag = strongEtag(xmlText(xml, "ETag") ?? "");
  if (!Number.isInteger(number) || !/^\d{1,15}$/.test(size) || etag === undefined) {
    throw badPage("listed a part without PartNumber, Size or ETag");
  }
  return { number, sizeBytes: Number(size), etag };
}

function isGone(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof S3Error && cause.s3Code === "NoSuchUpload";
}
