/**
 * Hashes records for the decoder.
 *
 * A record that fits into memory is hashed at once, which the runtime's own SHA-256 does several
 * times as fast as WebAssembly. Only a manifest that is too large for that needs a state that can be
 * saved.
 *
 * @module
 */

import { hash } from "node:crypto";
import type { RecordHasher, ResumableHash } from "../lib/record_hasher.ts";
import { checkKnownAnswers } from "./known_answers.ts";
import { openSimd } from "./simd.ts";

let isChecked = false;

/** SHA-256 of records. */
export const recordHasher: RecordHasher = {
  hash: (input) => hash("sha256", input, "hex"),
  open(midstate?: Uint8Array): ResumableHash {
    const core = openSimd();
    if (!isChecked) checkKnownAnswers(core);
    isChecked = true;
    if (midstate) core.load(midstate);
    return core;
  },
};
