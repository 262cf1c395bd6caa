/**
 * Which SHA-256 engine hashes a pack.
 *
 * @module
 */

import type { HashEngine } from "./hasher.ts";

/**
 * A pack up to this length needs no midstate: the runtime's engine hashes it in two seconds even on
 * a processor without SHA instructions, at 500 MB/s.
 */
const TWO_SECONDS_BYTES = 1024 ** 3;

/** What an engine is chosen by. */
export interface EngineQuestion {
  /** The setting. */
  readonly hash: "auto" | HashEngine;
  /** Path of libcrypto, if its calls may be used: then the native engine can be resumed. */
  readonly libcrypto?: string;
  /** Bytes still to hash; 0 if their number is not known. */
  readonly restBytes: number;
  /** Whether the hash goes on from a midstate. */
  readonly isResumed: boolean;
}

/** The engine itself unless the setting is `auto`. */
export function chooseEngine(question: EngineQuestion): HashEngine {
  const { hash, libcrypto, restBytes, isResumed } = question;
  if (hash !== "auto") return hash;
  if (libcrypto !== undefined) return "native";
  const isShort = !isResumed && restBytes > 0 && restBytes <= TWO_SECONDS_BYTES;
  return isShort ? "native" : "simd";
}
