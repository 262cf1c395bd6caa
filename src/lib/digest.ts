/**
 * SHA-256 of short values in memory: keys, tokens, request bodies. Streams use src/hash.
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
