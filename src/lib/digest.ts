/**
 * SHA-256 of short values in memory: keys, tokens, request bodies. Streams use src/hash. And the MD5
 * that S3 wants of a part.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** The SHA-256 of bytes, or of a text as UTF-8. */
export function sha256(input: string | Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(input).digest());
}

/** The same as 64 lower-case hex digits. */
export function sha256Hex(input: string | Uint8Array): string {
  return createHash("sha256").update(input).digest("hex");
}

/**
 * The MD5 of chunks in base64, as `Content-MD5` has it.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc1864 | RFC 1864}
 */
export async function contentMd5(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("md5");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("base64");
}
