/**
 * A multipart upload: begun by its first part, two parts in flight, nothing left when it fails.
 *
 * @module
 */
import type { Backoff } from "./backoff.ts";
import type { S3Client } from "./client.ts";
import { errorOfAnswer, S3Error } from "./s3_error.ts";
import type { S3Target } from "./reader.ts";
import { etagOf, statObject } from "./stat.ts";
import { encodeXml, xmlText } from "./xml.ts";

/** S3's own limit. See {@link https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html}. */
export const MAX_PARTS = 10_000;
/** Joining the parts may take the store minutes. */
const COMPLETE_WITHIN_MS = 10 * 60 * 1000;

/** What an upload needs. */
export interface UploadParts {
  /** Sends the requests. */
  readonly client: S3Client;
  /** What is written. */
  readonly target: S3Target;
  /** Ends everything but the clean-up. */
  readonly signal: AbortSignal;
  /** A fresh counter of failures. */
  readonly backoff: () => Backoff;
  /** Told when a part fails for good. */
  readonly failed: AbortController;
}

/** Resolves to the buffer that was sent, when it is free again. */
type PartSent = Promise<Uint8Array<ArrayBuffer> | undefined>;

/** One upload in parts. */
export class MultipartUpload {
  readonly #parts: UploadParts;
  readonly #etags: string[] = [];
  #uploadId: string | undefined;
  /** The part sent last; while it is under way, the next buffer is filled. */
  #inFlight: PartSent = Promise.resolve(undefined);
  /** The part before it. */
  #before: PartSent = this.#inFlight;
  #isDone = false;

  /** Builds the upload; sends nothing. */
  constructor(parts: UploadParts) {
    this.#parts = parts;
  }

  /** Whether a part was sent. */
  get isBegun(): boolean {
    return this.#uploadId !== undefined;
  }

  /**
   * Sends `buffer` as the next part.
   *
   * @returns A buffer of the same length to fill next: the one of the part before, which has
   * arrived, or a new one.
   */
  async send(buffer: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    this.#uploadId ??= await this.#begin();
    const index = this.#etags.length;
    if (index === MAX_PARTS) {
      const message = `the body has more than ${MAX_PARTS} parts of ${buffer.length} bytes; ` +
        "declare its length";
      await this.#parts.backoff().after(new S3Error(message, { isTransient: false }));
    }
    this.#etags.push("");
    this.#before = this.#inFlight;
    this.#inFlight = this.#sendPart(index, buffer);
    // Seen by whoever awaits it next; until then it is not an unhandled rejection.
    this.#inFlight.catch((error) => this.#parts.failed.abort(error));
    return await this.#before ?? new Uint8Array(buffer.length);
  }

  /** Joins the parts, and returns the ETag of the whole. */
  async complete(): Promise<string> {
    await this.#inFlight;
    const { client, target, signal, backoff } = this.#parts;
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
        // The status is sent before the parts are joined, so an error may follow in the body.
        const text = await answer.text();
        const joined = xmlText(text, "ETag");
        if (joined === undefined) throw errorOfAnswer(500, answer.headers, text);
        return joined;
      } catch (error) {
        const isLostAnswer = tries > 1 && error instanceof S3Error &&
          error.s3Code === "NoSuchUpload";
        if (!isLostAnswer) throw error;
        // An earlier try did join them, and its answer was lost.
        return (await statObject(client, target.objectKey, signal)).etag;
      }
    });
    this.#isDone = true;
    return etag;
  }

  /** Has the store forget the parts, if there are any. Never throws: the upload's error counts. */
  async abort(): Promise<void> {
    this.#parts.failed.abort();
    // A part that arrives after the clean-up would stay for ever.
    await Promise.allSettled([this.#before, this.#inFlight]);
    if (this.#uploadId === undefined || this.#isDone) return;
    const { client, target } = this.#parts;
    const backoff = client.backoff({ action: "abort the upload of", key: target.key });
    try {
      await backoff.run(async () => (await client.send(this.#request("DELETE", {}))).discard());
    } catch {
      // The bucket's lifecycle rule for unfinished uploads is what is left.
    }
  }

  async #begin(): Promise<string> {
    const { client, target, signal, backoff } = this.#parts;
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
    const { client, signal, backoff } = this.#parts;
    const request = this.#request("PUT", { partNumber: String(index + 1) });
    await backoff().run(async () => {
      const answer = await client.send({ ...request, body, signal });
      await answer.discard();
      this.#etags[index] = etagOf(answer.headers);
    });
    return body;
  }

  #request<M extends "PUT" | "POST" | "DELETE">(method: M, query: Record<string, string>) {
    const { objectKey } = this.#parts.target;
    return { method, objectKey, query: { ...query, uploadId: this.#uploadId ?? "" } };
  }
}
