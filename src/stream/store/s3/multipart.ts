/**
 * A multipart upload. The first part begins it, two parts are sent at a time, and a failed upload is
 * aborted, so that no part is left in the store.
 *
 * @module
 */
import type { Backoff } from "./backoff.ts";
import type { S3Client } from "./client.ts";
import { errorOfAnswer, S3Error } from "./s3_error.ts";
import type { S3Target } from "./reader.ts";
import { etagOf, parseEtag, statObject } from "./stat.ts";
import { encodeXml, xmlText } from "./xml.ts";

/** S3's own limit. See {@link https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html}. */
export const MAX_PARTS = 10_000;
/** The store may need minutes to join the parts. */
const COMPLETE_WITHIN_MS = 10 * 60 * 1000;

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
}

/** Resolves to the buffer, which can be filled again, when the part was sent. */
type PartSent = Promise<Uint8Array<ArrayBuffer> | undefined>;

/** One upload in parts. Sends nothing before the first part. */
export class MultipartUpload {
  readonly #context: UploadContext;
  readonly #etags: string[] = [];
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
   * Starts to send `buffer` as the next part, and waits for the part before it.
   *
   * @returns A buffer of the same length to fill next: that of the part before, or a new one.
   */
  async send(buffer: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    this.#uploadId ??= await this.#begin();
    const index = this.#etags.length;
    if (index === MAX_PARTS) {
      const message = `the body has more than ${MAX_PARTS} parts of ${buffer.length} bytes; ` +
        "declare its length";
      await this.#context.backoff().after(new S3Error(message, { isTransient: false }));
    }
    this.#etags.push("");
    this.#before = this.#inFlight;
    this.#inFlight = this.#sendPart(index, buffer);
    // The next send() or complete() awaits it; this keeps it from being an unhandled rejection.
    this.#inFlight.catch((error) => this.#context.failed.abort(error));
    return await this.#before ?? new Uint8Array(buffer.length);
  }

  /** Joins the parts to one object, and returns its ETag. */
  async complete(): Promise<string> {
    await this.#inFlight;
    const { client, target, signal, backoff } = this.#context;
    const parts = this.#etags.map((etag, index) =>
      `<Part><PartNumber>${index + 1}</PartNumber><ETag>${encodeXml(etag)}</ETag></Part>`
    );
    const body = new TextEncoder().encode(
      `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`,
    );
    let tries = 0;
    const etag = await backoff().run(async () => {
      tries++;
      try {
        const answer = await client.send({
          ...this.#request("POST", {}),
          body,
          answerWithinMs: COMPLETE_WITHIN_MS,
          signal,
        });
        // The store sends the status before it joins the parts, so the body may hold an error.
        const text = await answer.text();
        const joined = xmlText(text, "ETag");
        if (joined === undefined) {
          throw errorOfAnswer({ status: 500, headers: answer.headers }, text, "");
        }
        return parseEtag(joined);
      } catch (error) {
        const isLostAnswer = tries > 1 && error instanceof S3Error &&
          error.s3Code === "NoSuchUpload";
        if (!isLostAnswer) throw error;
        // An earlier try joined the parts, but its answer was lost.
        return (await statObject(client, target.objectKey, signal)).etag;
      }
    });
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

  async #begin(): Promise<string> {
    const { client, target, signal, backoff } = this.#context;
    const { objectKey } = target;
    return await backoff().run(async () => {
      const query = { uploads: "" };
      const answer = await client.send({ method: "POST", objectKey, query, signal });
      const uploadId = xmlText(await answer.text(), "UploadId");
      if (uploadId !== undefined && uploadId !== "") return uploadId;
      throw new S3Error("the store sent no UploadId", { isTransient: false });
    });
  }

  async #sendPart(
    index: number,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { client, signal, backoff } = this.#context;
    const request = this.#request("PUT", { partNumber: String(index + 1) });
    await backoff().run(async () => {
      const answer = await client.send({ ...request, body, signal });
      await answer.discard();
      this.#etags[index] = etagOf(answer.headers);
    });
    return body;
  }

  #request<M extends "PUT" | "POST" | "DELETE">(method: M, query: Record<string, string>) {
    const { objectKey } = this.#context.target;
    return { method, objectKey, query: { ...query, uploadId: this.#uploadId ?? "" } };
  }
}
