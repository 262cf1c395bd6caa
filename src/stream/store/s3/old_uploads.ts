/**
 * Aborts multipart uploads that were never completed. Their parts are in no listing, but they take
 * space and cost money.
 *
 * @module
 */
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";
import { xmlElements, xmlText } from "./xml.ts";

interface Upload {
  readonly objectKey: string;
  readonly uploadId: string;
  readonly begunAt: Date;
}

interface Marker {
  readonly "key-marker"?: string;
  readonly "upload-id-marker"?: string;
}

/** Aborts the uploads under a prefix that were begun before a time; returns how many there were. */
export async function abortOldUploads(
  client: S3Client,
  objectPrefix: string,
  options: { readonly before: Date; readonly isDryRun?: boolean; readonly signal?: AbortSignal },
): Promise<number> {
  const { before, isDryRun = false, signal } = options;
  let aborted = 0;
  let marker: Marker | undefined = {};
  while (marker !== undefined) {
    const query: Record<string, string> = { uploads: "", prefix: objectPrefix, ...marker };
    const backoff = client.backoff({ action: "list uploads to", key: objectPrefix }, signal);
    const page = await backoff.run(async () => {
      const answer = await client.send({ method: "GET", query, signal });
      return parsePage(await answer.text());
    });
    for (const { objectKey, uploadId, begunAt } of page.uploads) {
      if (begunAt >= before) continue;
      if (!isDryRun) await abortUpload(client, objectKey, uploadId, signal);
      aborted++;
    }
    marker = page.next;
  }
  return aborted;
}

async function abortUpload(
  client: S3Client,
  objectKey: string,
  uploadId: string,
  signal?: AbortSignal,
): Promise<void> {
  const backoff = client.backoff({ action: "abort the upload of", key: objectKey }, signal);
  await backoff.run(async () => {
    try {
      const request = { method: "DELETE", objectKey, query: { uploadId }, signal } as const;
      await (await client.send(request)).discard();
    } catch (error) {
      // Its writer completed or aborted it first.
      if (!(error instanceof S3Error && error.s3Code === "NoSuchUpload")) throw error;
    }
  });
}

function parsePage(xml: string): { uploads: Upload[]; next?: Marker } {
  if (!/<ListMultipartUploadsResult[\s>]/.test(xml)) {
    throw new S3Error("the store's answer is not a list of uploads", {
      isTransient: false,
    });
  }
  const uploads = xmlElements(xml, "Upload").map((element) => ({
    objectKey: xmlText(element, "Key") ?? "",
    uploadId: xmlText(element, "UploadId") ?? "",
    begunAt: new Date(xmlText(element, "Initiated") ?? Date.now()),
  }));
  if (xmlText(xml, "IsTruncated") !== "true" || uploads.length === 0) return { uploads };
  return {
    uploads,
    next: {
      "key-marker": xmlText(xml, "NextKeyMarker") ?? "",
      "upload-id-marker": xmlText(xml, "NextUploadIdMarker") ?? "",
    },
  };
}
