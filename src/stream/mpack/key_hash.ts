/**
 * The hash by which keys are told apart: 64 bits, byte by byte, so that a key is never held.
 *
 * @module
 */

import type { Type } from "./token.ts";

/** The hash of one key at a time. */
export class KeyHash {
  /** The upper half. */
  high = 0;
  /** The lower half. */
  low = 0;
  /** This decoder's own, so that nobody can prepare keys which crowd one slot. */
  readonly #seed = crypto.getRandomValues(new Int32Array(2));

  /** Begins the next key. */
  start(type: Type): void {
    this.high = this.#seed[0] ^ type;
    this.low = this.#seed[1] ^ type;
  }

  /** Takes in the bytes of `source` from `at` to `end`. */
  update(source: Uint8Array, at: number, end: number): void {
    let { high, low } = this;
    for (; at < end; at++) {
      // FNV-1a steps with a shift that carries high bits down.
      high = Math.imul(high ^ source[at], 0x01000193);
      high ^= high >>> 15;
      low = Math.imul(low ^ source[at], 0x85ebca6b);
      low ^= low >>> 13;
    }
    this.high = high;
    this.low = low;
  }

  /** Value and seed; as secret as keys need be, that is not at all once the pack is decoded. */
  save(): number[] {
    return [this.high, this.low, ...this.#seed];
  }

  /** Takes back what `save()` gave. */
  load([high, low, ...seed]: readonly number[]): void {
    this.high = high;
    this.low = low;
    this.#seed.set(seed);
  }
}
