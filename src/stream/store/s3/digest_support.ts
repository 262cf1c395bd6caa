/**
 * Whether an engine compares a body with the digest in the header that it was signed with.
 *
 * Amazon, Swift, Ceph and MinIO do. One that did not would file any bytes under an object's key, and
 * nobody would notice, so each is asked before it is believed.
 *
 * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html | Error responses}
 * @module
 */
import { TEMP_FOLDER } from "../blob_key.ts";
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";

/** Amazon's word, and Swift's. */
const REFUSALS = new Set(["XAmzContentSHA256Mismatch", "BadDigest"]);
const WRONG_BODY = new Uint8Array([0]);
const SHA256_OF_NO_BYTES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Whether the store refused the body because it is not what the digest says. */
export function isDigestRefusal(error: unknown): boolean {
  return error instanceof S3Error && REFUSALS.has(error.s3Code ?? "");
}

/**
 * Asks by one PUT that must fail. Where that may not be tried, the answer is no.
 *
 * @param folder The store's folder in the bucket, with a slash behind, or "".
 */
export async function checksDigests(client: S3Client, folder: string): Promise<boolean> {
  const objectKey = `${folder}${TEMP_FOLDER}/${crypto.randomUUID()}`;
  const send = (method: "PUT" | "DELETE", body?: Uint8Array<ArrayBuffer>) =>
    client.backoff({ action: "write", key: objectKey }).run(async () => {
      const bodySha256Hex = body && SHA256_OF_NO_BYTES;
      try {
        await (await client.send({ method, objectKey, body, bodySha256Hex })).discard();
      } catch (error) {
        if (isDigestRefusal(error)) return "refused";
        if (error instanceof S3Error && error.isTransient) throw error;
        return "not allowed";
      }
      return "done";
    });
  const answer = await send("PUT", WRONG_BODY);
  if (answer === "done") await send("DELETE");
  return answer === "refused";
}
