/**
 * The hash by which keys are told apart: 64 bits, byte by byte, so that a key is never held.
 *
 * @module
 */

import type { Type } from "./token.ts";

/** Drawn at once for many decoders: each draw of its own took a tenth of a tiny pack's time. */
const SEEDS = new Int32Array(256);
let seedsUsed = SEEDS.length;

/** A number that nobody outside can guess. */
function seed(): number {
  if (seedsUsed === SEEDS.length) {
    crypto.getRandomValues(SEEDS);
    seedsUsed = 0;
  }
  return SEEDS[seedsUsed++];
}

/** The hash of one key at a time. */
export class KeyHash {
  /** The upper half. */
  high = 0;
  /** The lower half. */
  low = 0;
  /** This decoder's own, so that nobody can prepare keys which crowd one slot. */
  #highSeed = seed();
  #lowSeed = seed();

  /** Begins the next key. */
  start(type: Type): void {
    this.high = this.#highSeed ^ type;
    this.low = this.#lowSeed ^ type;
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
    return [this.high, this.low, this.#highSeed, this.#lowSeed];
  }

  /** Takes back what `save()` gave. */
  load([high, low, highSeed, lowSeed]: readonly number[]): void {
    this.high = high | 0;
    this.low = low | 0;
    this.#highSeed = highSeed | 0;
    this.#lowSeed = lowSeed | 0;
  }
}
