/**
 * Lists a bucket.
 *
 * @module
 */
import type { BlobEntry } from "../blob_store.ts";
import type { S3Client } from "./client.ts";
import { badPage, listPages, timeIn } from "./pages.ts";
import { xmlText } from "./xml.ts";

/** Yields the objects whose keys in the bucket begin with `objectPrefix`. */
export function listObjects(
  client: S3Client,
  objectPrefix: string,
  options: { key: string; signal?: AbortSignal },
): AsyncGenerator<BlobEntry, void, undefined> {
  return listPages(client, {
    ...options,
    action: "list",
    root: "ListBucketResult",
    element: "Contents",
    parse: entryOf,
    next: { "continuation-token": "NextContinuationToken" },
    // XML cannot represent every key.
    query: { "list-type": "2", "encoding-type": "url", prefix: objectPrefix },
  });
}

function entryOf(xml: string, key: () => string): BlobEntry {
  const size = xmlText(xml, "Size") ?? "";
  if (!/^\d{1,15}$/.test(size)) throw badPage("listed an object without Size");
  return { key: key(), sizeBytes: Number(size), modifiedAt: timeIn(xml, "LastModified") };
}
