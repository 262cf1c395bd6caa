/**
 * Asks whether a bucket has Object Lock. Its objects are then versions: a deletion hides an object
 * and frees nothing, and no version can be removed before its retention has ended.
 *
 * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLockConfiguration.html}
 * @module
 */

import { counted } from "../../lib/numbers.ts";
import type { S3Client } from "./s3/client.ts";
import { S3Error } from "./s3/s3_error.ts";
import { xmlElements, xmlText } from "./s3/xml.ts";

/** What the lock does, in words; undefined if there is none, or the engine or the rights say nothing. */
export async function readObjectLock(
  client: S3Client,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const query = { "object-lock": "" };
  const xml = await client.backoff({ action: "look for a lock of", key: "" }, signal)
    .run(async () => {
      try {
        // An engine that does not know the query lists the bucket, at any length.
        return await (await client.send({ method: "GET", query, signal })).errorText();
      } catch (error) {
        if (error instanceof S3Error && saysNothing(error)) return "";
        throw error;
      }
    });
  if (xmlText(xml, "ObjectLockEnabled") !== "Enabled") return undefined;
  const [rule] = xmlElements(xml, "DefaultRetention");
  if (rule === undefined) return "Object Lock is enabled, without a default retention";
  const [days, years] = ["Days", "Years"].map((tag) => Number(xmlText(rule, tag) ?? 0));
  const period = days > 0 ? counted(days, "day") : counted(years, "year");
  return `Object Lock keeps each object for ${period} (${xmlText(rule, "Mode") ?? "no mode"})`;
}

/** 404: no lock. 400, 405, 501: an engine without locks. 403: a key that may not ask. */
function saysNothing({ status = 0 }: S3Error): boolean {
  return [400, 403, 404, 405, 501].includes(status);
}
