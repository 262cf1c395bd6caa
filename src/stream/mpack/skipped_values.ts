/**
 * Values that are not read: they are checked and counted, but not kept.
 *
 * @module
 */

import type { MpackLimits } from "./limits.ts";
import type { Containers } from "./containers.ts";
import { Body, In } from "./grammar.ts";
import type { Keys } from "./keys.ts";
import { exceeded, neverUsed } from "./refusals.ts";
import { Type, wholeBytes } from "./token.ts";
import type { Value } from "./value.ts";

const FIX_MAP = 0x80, FIX_ARRAY = 0x90, FIX_STR = 0xa0, STR_8 = 0xd9;

/** Skips values of any kind. */
export class SkippedValues {
  /** How many were skipped. */
  nodes: number;
  readonly #limits: MpackLimits;
  readonly #containers: Containers;
  readonly #keys: Keys;
  /** Whether every string with a length of one byte is within `maxValueBytes`. */
  readonly #areShortAllowed: boolean;

  constructor(limits: MpackLimits, containers: Containers, keys: Keys, nodes: number) {
    this.nodes = nodes;
    this.#limits = limits;
    this.#containers = containers;
    this.#keys = keys;
    this.#areShortAllowed = limits.maxValueBytes >= 255;
  }

  count(value: Value): void {
    if (++this.nodes <= this.#limits.maxNodes) return;
    throw exceeded(this.#limits, "maxNodes", this.nodes, value.offsetBytes);
  }

  /** Skips the key of a map, whose header was read. */
  key(value: Value): void {
    const isComplete = this.#keys.startHashed(value);
    this.count(value);
    if (!isComplete) return this.#startBody(value, Body.HashKey);
    this.#keys.add(value);
    this.#containers.valuesEnd(1, value.endBytes);
  }

  /** Skips a value that is not a key, whose header was read. */
  value(value: Value): void {
    this.count(value);
    switch (value.header.type) {
      case Type.Array:
        return this.#containers.open(value, In.Array);
      case Type.Map:
        return this.#containers.open(value, In.Map);
      case Type.Str:
      case Type.Bin:
      case Type.Ext:
        return this.#startBody(value, Body.Skip);
      case Type.Never:
        throw neverUsed(value.offsetBytes);
      default:
        return this.#containers.valuesEnd(1, value.endBytes);
    }
  }

  /**
   * Inside skipped arrays and maps: skips short values, containers and keys that are whole, from
   * `at` in `chunk`, whose first byte is at `base` in the pack. Returns where it stopped. A value
   * that is unusual, cut or breaks a limit is left to the way value by value, which finds the right
   * error.
   */
  readWhole(chunk: Uint8Array, at: number, base: number): number {
    const containers = this.#containers, { maxNodes } = this.#limits, end = chunk.length;
    if (!this.#areShortAllowed) return at;
    while (at < end && this.nodes < maxNodes) {
      const first = chunk[at];
      if (containers.kind === In.Map) {
        if (containers.expectsKey) {
          const from = first === STR_8 ? at + 2 : at + 1;
          const to = first === STR_8 ? from + chunk[at + 1] : from + (first & 0x1f);
          const isText = first === STR_8 || (first & 0xe0) === FIX_STR;
          // NaN if the chunk ends before the length byte.
          if (!isText || !(to <= end) || !containers.hasKeyRoom) return at;
          this.nodes++;
          this.#keys.addText(chunk, from, to, base + at);
          containers.keyEnds();
          at = to;
          continue;
        }
      } else if (containers.kind !== In.Array) return at;
      let to = at + wholeBytes(first);
      if (to === at) {
        if (first === STR_8) to = at + 2 + chunk[at + 1];
        else if (first < FIX_STR && first >= FIX_MAP) {
          this.nodes++;
          const isMap = first < FIX_ARRAY, length = first & 0x0f, offsetBytes = base + at++;
          if (isMap) containers.openWith(In.Map, 2 * length, offsetBytes, base + at);
          else containers.openWith(In.Array, length, offsetBytes, base + at);
          continue;
        } else return at;
      }
      if (!(to <= end)) return at;
      this.nodes++;
      at = to;
      containers.valuesEnd(1, base + at);
    }
    return at;
  }

  #startBody(value: Value, body: Body.Skip | Body.HashKey): void {
    const { length } = value.header;
    if (length > this.#limits.maxValueBytes) {
      throw exceeded(this.#limits, "maxValueBytes", length, value.offsetBytes);
    }
    value.startBody(body, length);
  }
}
