/**
 * The `Content-Digest` field.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9530 | RFC 9530}
 * @module
 */

import { parseDictionary } from "structured-headers";
import { HttpProblem } from "../problem.ts";

const DIGEST_BYTES = 32;

/** Makes the field for a body with this SHA-256. */
export function contentDigest(sha256: Uint8Array): string {
  return `sha-256=:${sha256.toBase64()}:`;
}

/**
 * Refuses a digest that cannot be checked, and names the algorithm to use.
 *
 * @throws {HttpProblem} 400 with `Want-Content-Digest`.
 */
export function requireSha256(field: string): string {
  const digest = declaredSha256(field);
  if (digest !== undefined) return digest;
  const detail = "Cannot check the body: Content-Digest has no valid sha-256";
  throw new HttpProblem(400, "bad-request", detail, {
    headers: { "want-content-digest": "sha-256=10" },
  });
}

/**
 * Reads the SHA-256 in a `Content-Digest` field, as hex. @internal Exported for tests.
 *
 * @returns Undefined if the field is malformed or holds no SHA-256.
 * @internal Exported for tests.
 */
export function declaredSha256(field: string): string | undefined {
  try {
    const value = parseDictionary(field).get("sha-256")?.[0];
    if (!(value instanceof ArrayBuffer) || value.byteLength !== DIGEST_BYTES) return undefined;
    return new Uint8Array(value).toHex();
  } catch {
    return undefined;
  }
}
