/**
 * A multipart upload. The first part begins it, two parts are sent at a time, and a failed upload is
 * aborted, so that no part is left in the store.
 *
 * @module
 */
import { trimHeap } from "../../../lib/heap.ts";
import type { Backoff } from "./backoff.ts";
import type { S3Client } from "./client.ts";
import { isDigestRefusal } from "./digest_support.ts";
import { COMPLETE_WITHIN_MS, joinParts } from "./join_parts.ts";
import type { OptionalHeaders } from "./optional_headers.ts";
import { errorOfAnswer, S3Error } from "./s3_error.ts";
import type { S3Target } from "./reader.ts";
import { etagOf, strongEtag } from "./stat.ts";
import { xmlText } from "./xml.ts";

/** S3's own limit. See {@link https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html}. */
export const MAX_PARTS = 10_000;

/** What an upload needs. */
export interface UploadContext {
  /** Sends the requests. */
  readonly client: S3Client;
  /** The object to write. */
  readonly target: S3Target;
  /** Ends everything except the clean-up. */
  readonly signal: AbortSignal;
  /** Returns a new counter of failures. */
  readonly backoff: () => Backoff;
  /** Is aborted when a part fails after all its retries. */
  readonly failed: AbortController;
  /** The headers with checksums. */
  readonly checksums: OptionalHeaders;
}

/** A part to send. */
export interface UploadPart {
  /** Its bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Their SHA-256; undefined if no checksum is to be sent. */
  readonly sha256Base64: string | undefined;
}

/** Resolves to the buffer, which can be filled again, when the part was sent. */
type PartSent = Promise<Uint8Array<ArrayBuffer> | undefined>;

/** One upload in parts. Sends nothing before the first part. */
export class MultipartUpload {
  readonly #context: UploadContext;
  readonly #sent: { etag: string; sha256Base64?: string }[] = [];
  /** Whether the store wants the parts' checksums again when it joins them. */
  #hasChecksums = false;
  #uploadId: string | undefined;
  /** The last part. While it is sent, the caller fills the next buffer. */
  #inFlight: PartSent = Promise.resolve(undefined);
  /** The part before the last. */
  #before: PartSent = this.#inFlight;
  #isDone = false;

  /** Builds the upload. */
  constructor(context: UploadContext) {
    this.#context = context;
  }

  /** Whether the store was told of the upload. */
  get isBegun(): boolean {
    return this.#uploadId !== undefined;
  }

  /**
   * Starts to send the next part, and waits for the part before it.
   *
   * @returns A buffer of the same length to fill next: that of the part before, or a new one.
   */
  async send(part: UploadPart): Promise<Uint8Array<ArrayBuffer>> {
    this.#uploadId ??= await this.#begin(part.sha256Base64 !== undefined);
    const { bytes } = part, index = this.#sent.length;
    if (index === MAX_PARTS) {
      const message = `the body has more than ${MAX_PARTS} parts of ${bytes.length} bytes; ` +
        "declare its length";
      await this.#context.backoff().after(new S3Error(message, { isTransient: false }));
    }
    this.#sent.push({ etag: "" });
    this.#before = this.#inFlight;
    this.#inFlight = this.#sendPart(index, part);
    // The next send() or complete() awaits it; this keeps it from being an unhandled rejection.
    this.#inFlight.catch((error) => this.#context.failed.abort(error));
    return await this.#before ?? new Uint8Array(bytes.length);
  }

  /**
   * Has the store copy bytes of another object of the bucket as the next part.
   *
   * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html}
   */
  async copy(source: string, startBytes: number, endBytes: number): Promise<void> {
    this.#uploadId ??= await this.#begin(false);
    const { client, signal, backoff } = this.#context;
    const partNumber = String(this.#sent.length + 1);
    const etag = await backoff().run(async () => {
      const answer = await client.send({
        ...this.#request("PUT", { partNumber }),
        headers: {
          "x-amz-copy-source": source,
          "x-amz-copy-source-range": `bytes=${startBytes}-${endBytes - 1}`,
        },
        answerWithinMs: COMPLETE_WITHIN_MS,
        signal,
      });
      const text = await answer.text(), copied = xmlText(text, "ETag");
      // As for the joining of the parts, the body may hold an error.
      if (copied !== undefined) return strongEtag(copied) ?? copied;
      throw errorOfAnswer({ status: 500, headers: answer.headers }, text, "");
    });
    this.#sent.push({ etag });
  }

  /** Joins the parts to one object; returns its ETag, or undefined if the store does not tell it. */
  async complete(): Promise<string | undefined> {
    await this.#inFlight;
    const { client, target, signal, backoff } = this.#context;
    const parts = this.#sent.map(({ etag, sha256Base64 }, index) => ({
      number: index + 1,
      etag,
      sha256Base64: this.#hasChecksums ? sha256Base64 : undefined,
    }));
    const uploadId = this.#uploadId ?? "";
    const etag = await joinParts(client, target.objectKey, { uploadId, parts, signal, backoff });
    this.#isDone = true;
    return etag;
  }

  /** Deletes the parts in the store. Never throws, so that the upload's own error is reported. */
  async abort(): Promise<void> {
    this.#context.failed.abort();
    // A part that arrives after the clean-up would stay in the store.
    await Promise.allSettled([this.#before, this.#inFlight]);
    if (this.#uploadId === undefined || this.#isDone) return;
    const { client, target } = this.#context;
    const backoff = client.backoff({ action: "abort the upload of", key: target.key });
    try {
      await backoff.run(async () => (await client.send(this.#request("DELETE", {}))).discard());
    } catch {
      // `gc`, or the bucket's lifecycle rule for unfinished uploads, deletes them later.
    }
  }

  async #begin(withChecksums: boolean): Promise<string> {
    const { client, target, signal, backoff, checksums } = this.#context;
    const { objectKey } = target, query = { uploads: "" };
    const wanted: Record<string, string> = withChecksums
      ? { "x-amz-checksum-algorithm": "SHA256" }
      : {};
    return await backoff().run(async () => {
      const answer = await checksums.run(
        wanted,
        (headers) => client.send({ method: "POST", objectKey, query, headers, signal }),
      );
      this.#hasChecksums = answer.headers.has("x-amz-checksum-algorithm");
      const uploadId = xmlText(await answer.text(), "UploadId");
      if (uploadId !== undefined && uploadId !== "") return uploadId;
      throw new S3Error("the store sent no UploadId", { isTransient: false });
    });
  }

  async #sendPart(
    index: number,
    { bytes, sha256Base64 }: UploadPart,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { client, signal, backoff, checksums } = this.#context;
    const request = {
      ...this.#request("PUT", { partNumber: String(index + 1) }),
      body: bytes,
      signal,
    };
    const wanted: Record<string, string> = sha256Base64 === undefined
      ? {}
      : { "x-amz-checksum-sha256": sha256Base64 };
    await backoff().run(async () => {
      const answer = await checksums.run(
        wanted,
        (headers) => client.send({ ...request, headers }).catch(asDamaged),
      );
      await answer.discard();
      this.#sent[index] = { etag: etagOf(answer.headers), sha256Base64 };
    });
    // fetch copies a body, and nothing else of an upload makes the engine collect.
    trimHeap();
    return bytes;
  }

  #request<M extends "PUT" | "POST" | "DELETE">(method: M, query: Record<string, string>) {
    const { objectKey } = this.#context.target;
    return { method, objectKey, query: { ...query, uploadId: this.#uploadId ?? "" } };
  }
}

/** A part that does not match its checksum was damaged on its way: it is sent again. */
function asDamaged(error: unknown): never {
  if (!isDigestRefusal(error)) throw error;
  throw new S3Error((error as Error).message, { isTransient: true, status: 400, cause: error });
}
