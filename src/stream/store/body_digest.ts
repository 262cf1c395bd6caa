/**
 * Holds a body to the digest its owner declared, for stores that have nobody to do it for them.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** The body is not what its declared digest says; nothing was written. */
export class DigestError extends Error {
  /** Builds the error for the blob of this key. */
  constructor(key: string, options?: ErrorOptions) {
    super(`Cannot write ${JSON.stringify(key)}: the body is not what its digest says`, options);
    this.name = "DigestError";
  }
}

/** The body's chunks; at its end, in place of the end, a {@link DigestError} if it is another. */
export async function* checkedBody(
  key: string,
  body: AsyncIterable<Uint8Array>,
  sha256Hex: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  for await (const chunk of body) {
    // A store may let go of the chunk before it asks for the next.
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest("hex") !== sha256Hex) throw new DigestError(key);
}

/** Whether the bytes hash to the digest. */
export function hasDigest(bytes: Uint8Array, sha256Hex: string): boolean {
  return createHash("sha256").update(bytes).digest("hex") === sha256Hex;
}
