/**
 * Gives a large object its name after its last byte: S3 cannot rename, so the store copies.
 *
 * @module
 */
import type { OptionalHeaders } from "./optional_headers.ts";
import type { S3Client } from "./client.ts";
import { listObjects } from "./list.ts";
import { MultipartUpload } from "./multipart.ts";
import type { S3Target } from "./reader.ts";

/** A part of a copy. The engine answers when it is copied, and S3 allows 10,000 parts. */
const COPY_BYTES = 256 * 1024 * 1024;

/** Which object to move where. */
interface MoveOptions {
  readonly from: S3Target;
  readonly to: S3Target;
  readonly sizeBytes: number;
  readonly checksums: OptionalHeaders;
  readonly signal?: AbortSignal;
}

/**
 * Copies an object inside the bucket, then deletes the source. If it is killed in between, `sweep()`
 * deletes the source later.
 */
export async function moveObject(
  client: S3Client,
  { from, to, sizeBytes, checksums, signal }: MoveOptions,
): Promise<{ readonly target: S3Target; readonly etag: string | undefined }> {
  const failed = new AbortController();
  const upload = new MultipartUpload({
    client,
    target: to,
    signal: signal ?? failed.signal,
    backoff: () => client.backoff({ action: "write", key: to.key }, signal),
    failed,
    checksums,
  });
  const source = `/${client.bucket}/${from.objectKey.split("/").map(encodeURIComponent).join("/")}`;
  let etag: string | undefined;
  try {
    for (let at = 0; at < sizeBytes; at += COPY_BYTES) {
      await upload.copy(source, at, Math.min(sizeBytes, at + COPY_BYTES));
    }
    etag = await upload.complete();
  } catch (error) {
    await upload.abort();
    throw error;
  } finally {
    await deleteObject(client, from.objectKey).catch(() => {});
  }
  return { target: to, etag };
}

/** Deletes objects that were written without a name before a time; returns how many there were. */
export async function deleteOldUnnamed(
  client: S3Client,
  objectPrefix: string,
  { before, isDryRun = false, signal }: {
    readonly before: Date;
    readonly isDryRun?: boolean;
    readonly signal?: AbortSignal;
  },
): Promise<number> {
  let deleted = 0;
  for await (const entry of listObjects(client, objectPrefix, { key: objectPrefix, signal })) {
    if (entry.modifiedAt >= before) continue;
    if (!isDryRun) await deleteObject(client, entry.key, signal);
    deleted++;
  }
  return deleted;
}

async function deleteObject(
  client: S3Client,
  objectKey: string,
  signal?: AbortSignal,
): Promise<void> {
  const backoff = client.backoff({ action: "delete", key: objectKey }, signal);
  const request = { method: "DELETE", objectKey, signal } as const;
  await backoff.run(async () => (await client.send(request)).discard());
}
