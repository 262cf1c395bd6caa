/**
 * How a malicious pack is written down.
 *
 * @module
 */

import type { MpackErrorCode } from "../../../src/errors.ts";
import { marked } from "../../support/mpack/rules.ts";
import type { WholeLimits } from "../../support/mpack/whole_document.ts";

/** One pack of the corpus. */
export interface MaliciousCase {
  /** File name without `.mpack`. */
  readonly name: string;
  /** The code it is refused with; null if it is odd, but valid. */
  readonly code: MpackErrorCode | null;
  /** The byte blamed; null if none is. */
  readonly offsetBytes: number | null;
  /** What it is, and what a careless reader does with it. */
  readonly why: string;
  /** The pack. */
  readonly bytes: Uint8Array;
  /** Limits other than the defaults. */
  readonly limits?: Partial<WholeLimits>;
  /** Whether the verdict is that of a reader who reads records, too. */
  readonly history?: true;
}

/** A pack with a mark before the byte to blame. */
export function refused(
  code: MpackErrorCode,
  name: string,
  pack: Uint8Array,
  why: string,
  limits?: Partial<WholeLimits>,
): MaliciousCase {
  const { pack: bytes, offsetBytes } = marked(pack);
  return { name, code, offsetBytes, why, bytes, limits };
}

/** A pack that ends too early. */
export function truncated(name: string, bytes: Uint8Array, why: string): MaliciousCase {
  return { name, code: "truncated", offsetBytes: bytes.length, why, bytes };
}

/** A pack that has to be accepted. */
export function valid(name: string, bytes: Uint8Array, why: string): MaliciousCase {
  return { name, code: null, offsetBytes: null, why, bytes };
}
