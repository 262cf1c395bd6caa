/**
 * Aborts multipart uploads that were never completed. Their parts are in no listing, but they take
 * space and cost money.
 *
 * @module
 */
import type { SweepOptions } from "../blob_store.ts";
import type { S3Client } from "./client.ts";
import { badPage, listPages, timeIn } from "./pages.ts";
import { S3Error } from "./s3_error.ts";
import { xmlText } from "./xml.ts";

interface Upload {
  readonly objectKey: string;
  readonly uploadId: string;
  readonly begunAt: Date;
}

/** Aborts the uploads under a prefix that were begun before a time; returns how many there were. */
export async function abortOldUploads(
  client: S3Client,
  objectPrefix: string,
  options: SweepOptions,
): Promise<number> {
  const { before, isDryRun = false, isOpen, signal } = options;
  const uploads = listPages(client, {
    action: "list uploads to",
    key: objectPrefix,
    signal,
    root: "ListMultipartUploadsResult",
    element: "Upload",
    parse: uploadOf,
    next: { "key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker" },
    query: { uploads: "", prefix: objectPrefix },
  });
  let aborted = 0;
  for await (const { objectKey, uploadId, begunAt } of uploads) {
    if (begunAt >= before || await isOpen?.(uploadId)) continue;
    if (!isDryRun) await abortUpload(client, objectKey, uploadId, signal);
    aborted++;
  }
  return aborted;
}

function uploadOf(xml: string, key: () => string): Upload {
  const uploadId = xmlText(xml, "UploadId") ?? "";
  if (uploadId === "") throw badPage("listed an upload without UploadId");
  return { objectKey: key(), uploadId, begunAt: timeIn(xml, "Initiated") };
}

/** Aborts one upload. Succeeds if it was completed or aborted before. */
export async function abortUpload(
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
