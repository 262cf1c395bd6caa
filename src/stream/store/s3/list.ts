/**
 * Lists a bucket in pages of at most 1,000 objects.
 *
 * @module
 */
import type { BlobEntry } from "../blob_store.ts";
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";
import { xmlElements, xmlText } from "./xml.ts";

/** Yields the objects whose keys in the bucket begin with `objectPrefix`. */
export async function* listObjects(
  client: S3Client,
  objectPrefix: string,
  options: { key: string; signal?: AbortSignal },
): AsyncGenerator<BlobEntry, void, undefined> {
  const { key, signal } = options;
  let token: string | undefined;
  do {
    const query: Record<string, string> = {
      "list-type": "2",
      // XML cannot represent every key.
      "encoding-type": "url",
      prefix: objectPrefix,
    };
    if (token !== undefined) query["continuation-token"] = token;
    const backoff = client.backoff({ action: "list", key }, signal);
    const page = await backoff.run(async () => {
      const answer = await client.send({ method: "GET", query, signal });
      return parsePage(await answer.text());
    });
    yield* page.entries;
    token = page.token;
  } while (token !== undefined);
}

function parsePage(xml: string): { entries: BlobEntry[]; token?: string } {
  if (!/<ListBucketResult[\s>]/.test(xml)) {
    throw new S3Error("the store's answer is not a listing", { isTransient: false });
  }
  const isEncoded = xmlText(xml, "EncodingType") === "url";
  const entries = xmlElements(xml, "Contents").map((element) => {
    const key = xmlText(element, "Key") ?? "";
    return {
      key: isEncoded ? decodeURIComponent(key.replaceAll("+", " ")) : key,
      sizeBytes: Number(xmlText(element, "Size")),
      modifiedAt: new Date(xmlText(element, "LastModified") ?? 0),
    };
  });
  if (xmlText(xml, "IsTruncated") !== "true") return { entries };
  const token = xmlText(xml, "NextContinuationToken");
  if (token === undefined || token === "") {
    throw new S3Error("the store sent a part of a listing, and no token for the rest", {
      isTransient: false,
    });
  }
  return { entries, token };
}
