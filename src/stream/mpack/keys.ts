/**
 * Map keys: which values may be keys, and whether a key comes twice.
 *
 * @module
 */

import type { MpackLimits } from "./limits.ts";
import type { Containers } from "./containers.ts";
import type { Body } from "./grammar.ts";
import { KeyHash } from "./key_hash.ts";
import { exceeded, neverUsed, unexpected } from "./refusals.ts";
import { Type } from "./token.ts";
import type { Value } from "./value.ts";

/** Reads the keys of the innermost map. */
export class Keys {
  readonly #limits: MpackLimits;
  readonly #containers: Containers;
  readonly #hash = new KeyHash();

  constructor(limits: MpackLimits, containers: Containers, state?: readonly number[]) {
    this.#limits = limits;
    this.#containers = containers;
    if (state) this.#hash.load(state);
  }

  /** Starts a key that is read: it must be a string, and is kept. */
  startKept(value: Value, body: Body, where: string): void {
    const { type, length } = value.header, { offsetBytes } = value;
    if (type !== Type.Str) throw unexpected(`a key of ${where}`, "a string", offsetBytes);
    const { maxKeyBytes, maxKeys } = this.#limits;
    if (length > maxKeyBytes) throw exceeded(this.#limits, "maxKeyBytes", length, offsetBytes);
    const number = this.#containers.keys + 1;
    if (number > maxKeys) throw exceeded(this.#limits, "maxKeys", number, offsetBytes);
    value.startBody(body, length);
  }

  /** Adds the kept key. */
  addKept(value: Value): void {
    this.#hash.start(Type.Str);
    const { bytes, at, sizeBytes } = value.kept;
    this.#hash.update(bytes, at, at + sizeBytes);
    this.add(value);
  }

  /** Starts a key of a skipped map, which is only hashed. Returns true if it has no body. */
  startHashed(value: Value): boolean {
    const { header, offsetBytes } = value, { type } = header;
    const isContainer = type === Type.Array || type === Type.Map;
    if (isContainer) throw unexpected("a map key", "a scalar", offsetBytes);
    if (type === Type.Never) throw neverUsed(offsetBytes);
    this.#hash.start(type);
    if (type === Type.Ext) this.update(Uint8Array.of(header.extType), 0, 1);
    if (type === Type.Str || type === Type.Bin || type === Type.Ext) return false;
    const scalar = header.canonicalScalar();
    this.update(scalar, 0, scalar.length);
    return true;
  }

  /** Adds a string key; its header is at `offsetBytes`, its bytes in `source` from `at` to `end`. */
  addText(source: Uint8Array, at: number, end: number, offsetBytes: number): void {
    this.#hash.start(Type.Str);
    this.#hash.update(source, at, end);
    this.#containers.addKey(this.#hash, offsetBytes);
  }

  /** Adds a string key to the set that was counted as known to differ. */
  moveDistinct(source: Uint8Array, at: number, end: number): void {
    this.#hash.start(Type.Str);
    this.#hash.update(source, at, end);
    this.#containers.moveDistinctKey(this.#hash);
  }

  /** Hashes the next bytes of the key. */
  update(source: Uint8Array, at: number, end: number): void {
    this.#hash.update(source, at, end);
  }

  /** Adds the hashed key. */
  add(value: Value): void {
    this.#containers.addKey(this.#hash, value.offsetBytes);
  }

  save(): number[] {
    return this.#hash.save();
  }
}
