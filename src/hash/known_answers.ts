import type { ResumableCore } from "./core.ts";
import { encodeMidstate, START } from "./midstate.ts";

/** The bytes 0 to 99, their digest, and the state words after the first 64 of them. */
const BYTES = Uint8Array.from({ length: 100 }, (_, i) => i);
const DIGEST = "bce0aff19cf5aa6a7469a30d61d04e4376e4bbf6381052ee9e7f33925c954d52";
const WORDS = [
  ...[0xfc99a2df, 0x88f42a7a, 0x7bb9d180, 0x33cdc6a2],
  ...[0x0256755f, 0x9d5b9a50, 0x44a9cc31, 0x5abe84a7],
];

/**
 * Checks an engine before it is used: digest, saved state, and digest from a loaded state. Leaves it
 * at the first byte.
 *
 * @throws {Error} If an answer is wrong.
 */
export function checkKnownAnswers(core: ResumableCore): void {
  const known = encodeMidstate({ words: WORDS, lengthBytes: 100, tail: BYTES.subarray(64) });
  const start = encodeMidstate(START);
  core.load(start);
  core.update(BYTES);
  const saved = core.save().toHex(), digest = core.digest();
  core.load(known);
  const resumed = core.digest();
  core.load(start);
  if (saved === known.toHex() && digest === DIGEST && resumed === DIGEST) return;
  throw new Error("Cannot hash: the SHA-256 engine fails its known answers");
}
