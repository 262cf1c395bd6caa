/**
 * Whether an engine compares a body with the digest that its request was signed with.
 *
 * Amazon, Swift, Ceph and MinIO do. An engine that does not would store wrong bytes under an
 * object's key without an error, so each engine is tested before mpackd relies on it.
 *
 * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html | Error responses}
 * @module
 */
import { TEMP_FOLDER } from "../blob_key.ts";
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";

/** The codes of Amazon and of Swift. */
const REFUSALS = new Set(["XAmzContentSHA256Mismatch", "BadDigest"]);
const WRONG_BODY = new Uint8Array([0]);
const SHA256_OF_NO_BYTES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Whether the store refused the body because it does not match the digest. */
export function isDigestRefusal(error: unknown): boolean {
  return error instanceof S3Error && REFUSALS.has(error.s3Code ?? "");
}

/**
 * Sends one PUT with a wrong digest, and returns whether the engine refused it for that reason.
 * Returns false if this PUT is not permitted.
 *
 * @param folder The store's folder in the bucket, with a slash at its end, or "".
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
