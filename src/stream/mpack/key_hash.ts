/**
 * A 64-bit hash of map keys, computed byte by byte so that no key is held in memory.
 *
 * @module
 */

import type { Type } from "./token.ts";

/** Random numbers for many decoders: one draw per decoder took a tenth of a tiny pack's time. */
const SEEDS = new Int32Array(256);
let seedsUsed = SEEDS.length;

function seed(): number {
  if (seedsUsed === SEEDS.length) {
    crypto.getRandomValues(SEEDS);
    seedsUsed = 0;
  }
  return SEEDS[seedsUsed++];
}

/** Hashes one key at a time. */
export class KeyHash {
  /** The upper half. */
  high = 0;
  /** The lower half. */
  low = 0;
  /** Random per decoder, so that an attacker cannot prepare keys that collide. */
  #highSeed = seed();
  #lowSeed = seed();

  start(type: Type): void {
    this.high = this.#highSeed ^ type;
    this.low = this.#lowSeed ^ type;
  }

  /** Hashes the bytes of `source` from `at` to `end`. */
  update(source: Uint8Array, at: number, end: number): void {
    let { high, low } = this;
    for (; at < end; at++) {
      // Steps of FNV-1a, with a shift that mixes high bits into low ones.
      high = Math.imul(high ^ source[at], 0x01000193);
      high ^= high >>> 15;
      low = Math.imul(low ^ source[at], 0x85ebca6b);
      low ^= low >>> 13;
    }
    this.high = high;
    this.low = low;
  }

  /** Value and seed. The seed needs no secrecy once the pack is decoded. */
  save(): number[] {
    return [this.high, this.low, this.#highSeed, this.#lowSeed];
  }

  /** Restores what `save()` returned. */
  load([high, low, highSeed, lowSeed]: readonly number[]): void {
    this.high = high | 0;
    this.low = low | 0;
    this.#highSeed = highSeed | 0;
    this.#lowSeed = lowSeed | 0;
  }
}
