/**
 * Values that mean nothing to us. They are counted and held to the limits, and none is kept.
 *
 * @module
 */

import type { MpackLimits } from "../limits.ts";
import type { Containers } from "./containers.ts";
import { Body, In } from "./grammar.ts";
import type { Keys } from "./keys.ts";
import { exceeded, neverUsed } from "./refusals.ts";
import { Type } from "./token.ts";
import type { Value } from "./value.ts";

/** Reads values of any kind. */
export class SkippedValues {
  /** How many there were. */
  nodes: number;
  readonly #limits: MpackLimits;
  readonly #containers: Containers;
  readonly #keys: Keys;

  /** Starts after `nodes` values. */
  constructor(limits: MpackLimits, containers: Containers, keys: Keys, nodes: number) {
    this.nodes = nodes;
    this.#limits = limits;
    this.#containers = containers;
    this.#keys = keys;
  }

  /** Counts one. */
  count(value: Value): void {
    if (++this.nodes <= this.#limits.maxNodes) return;
    throw exceeded(this.#limits, "maxNodes", this.nodes, value.offsetBytes);
  }

  /** Its header says that it is the key of a map. */
  key(value: Value): void {
    const isComplete = this.#keys.startHashed(value);
    this.count(value);
    if (!isComplete) return this.#startBody(value, Body.HashKey);
    this.#keys.add(value);
    this.#containers.valuesEnd(1, value.endBytes);
  }

  /** It is no key. */
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

  #startBody(value: Value, body: Body.Skip | Body.HashKey): void {
    const { length } = value.header;
    if (length > this.#limits.maxValueBytes) {
      throw exceeded(this.#limits, "maxValueBytes", length, value.offsetBytes);
    }
    value.startBody(body, length);
  }
}
