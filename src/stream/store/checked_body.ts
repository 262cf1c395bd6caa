/**
 * Compares a body with the length and the digest that were declared for it.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";

/** What is declared of a body. */
export interface DeclaredBody {
  /** Length in bytes. */
  readonly sizeBytes?: number;
  /** SHA-256 as 64 lower-case hexadecimal digits. */
  readonly sha256Hex?: string;
}

/** The body does not have its declared digest. Nothing was written. */
export class DigestError extends Error {
  /** Builds the error for the blob of this key. */
  constructor(key: string, options?: ErrorOptions) {
    super(`Cannot write ${JSON.stringify(key)}: the body does not match its digest`, options);
    this.name = "DigestError";
  }
}

/**
 * Yields the body's chunks, and throws in place of the end if the body is not as declared.
 *
 * @throws {RangeError} As soon as the body is too long, or at its end if it is too short.
 * @throws {DigestError} At its end, if it has another digest.
 */
export async function* checkedBody(
  key: string,
  body: AsyncIterable<Uint8Array>,
  { sizeBytes, sha256Hex }: DeclaredBody,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = sha256Hex === undefined ? undefined : createHash("sha256");
  let soFarBytes = 0;
  for await (const chunk of body) {
    soFarBytes += chunk.length;
    if (sizeBytes !== undefined && soFarBytes > sizeBytes) {
      throw wrongSize(key, sizeBytes, `at least ${soFarBytes}`);
    }
    // Before the yield: the body may overwrite the chunk when the next one is asked for.
    hash?.update(chunk);
    yield chunk;
  }
  if (sizeBytes !== undefined && soFarBytes < sizeBytes) {
    throw wrongSize(key, sizeBytes, `${soFarBytes}`);
  }
  if (hash !== undefined && hash.digest("hex") !== sha256Hex) throw new DigestError(key);
}

/**
 * Returns a hash for the checksum that a store compares with what it receives: TLS ends before the
 * store does, and buckets with Object Lock require it.
 */
export function newChecksum(): Hash {
  return createHash("sha256");
}

/** Whether the bytes have the digest. */
export function hasDigest(bytes: Uint8Array, sha256Hex: string): boolean {
  return createHash("sha256").update(bytes).digest("hex") === sha256Hex;
}

function wrongSize(key: string, declaredBytes: number, cameBytes: string): RangeError {
  return new RangeError(
    `Cannot write ${JSON.stringify(key)}: ${declaredBytes} bytes were declared, ${cameBytes} came`,
  );
}
