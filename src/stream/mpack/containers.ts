/**
 * The open containers of a document, and the keys of their maps so far.
 *
 * @module
 */

import type { MpackLimits } from "./limits.ts";
import type { Contents } from "./contents.ts";
import { In } from "./grammar.ts";
import type { KeyHash } from "./key_hash.ts";
import { KeySet } from "./key_set.ts";
import { duplicateKey, exceeded } from "./refusals.ts";
import { Type } from "./token.ts";
import type { DecoderState } from "./types.ts";
import type { Value } from "./value.ts";

/** What the stack needs: `contents` hears of sections that end, `onClose` of records and objects. */
interface ContainersOptions {
  readonly limits: MpackLimits;
  readonly contents: Contents;
  readonly onClose: (kind: In, endBytes: number) => void;
  readonly state?: Pick<DecoderState, "isWhole" | "containers">;
}

/** The stack of open containers; `left` counts values still to come, keys included. */
export class Containers {
  /** Whether the document has ended. */
  isWhole = false;
  /** How many are open. */
  depth = 0;
  /** Kind of the innermost container. */
  kind: In = In.Nothing;
  /** The most that were open at once. */
  deepest = 0;
  /** Keys of all open maps. */
  openKeys = 0;
  /** Keys of the innermost map that are known to differ, and so are not in its set. */
  distinctKeys = 0;
  readonly #kinds: In[] = [];
  readonly #left: number[] = [];
  readonly #keys: KeySet[] = [];
  readonly #limits: MpackLimits;
  readonly #contents: Contents;
  readonly #onClose: (kind: In, endBytes: number) => void;

  constructor({ limits, contents, onClose, state }: ContainersOptions) {
    this.#limits = limits;
    this.#contents = contents;
    this.#onClose = onClose;
    if (!state) return;
    const { kinds, left, keys, deepest, distinctKeys } = state.containers;
    this.#kinds.push(...kinds);
    this.#left.push(...left);
    for (const hashes of keys) {
      const set = new KeySet();
      set.load(hashes);
      this.#keys.push(set);
      this.openKeys += set.size;
    }
    this.distinctKeys = distinctKeys;
    this.openKeys += distinctKeys;
    this.isWhole = state.isWhole;
    this.depth = kinds.length;
    this.kind = kinds.at(-1) ?? In.Nothing;
    this.deepest = deepest;
  }

  /** Whether the next value of the innermost container, a map, is a key. */
  get expectsKey(): boolean {
    return (this.#left[this.depth - 1] & 1) === 0;
  }

  /** Values still to come in the innermost container. */
  get left(): number {
    return this.#left[this.depth - 1];
  }

  /** Keys of the innermost map so far. */
  get keys(): number {
    return this.#keys[this.depth - 1].size;
  }

  /** Opens the container whose header was read. */
  open({ header, offsetBytes, endBytes }: Value, kind: In): void {
    const values = header.type === Type.Map ? 2 * header.length : header.length;
    this.openWith(kind, values, offsetBytes, endBytes);
  }

  /** As `open()`, for `values` values and a header from `offsetBytes` to `endBytes`. */
  openWith(kind: In, values: number, offsetBytes: number, endBytes: number): void {
    this.push(kind, values, offsetBytes);
    if (values === 0) this.#close(endBytes);
  }

  /** Opens a container in which `values` values, 1 or more, are still to come. */
  push(kind: In, values: number, offsetBytes: number): void {
    if (this.depth >= this.#limits.maxDepth) {
      throw exceeded(this.#limits, "maxDepth", this.depth + 1, offsetBytes);
    }
    const depth = this.depth++;
    this.kind = kind;
    this.#kinds[depth] = kind;
    this.#left[depth] = values;
    if (depth === this.#keys.length) this.#keys.push(new KeySet());
    if (this.depth > this.deepest) this.deepest = this.depth;
  }

  /** A key of the innermost map has ended; its value follows. */
  keyEnds(): void {
    this.#left[this.depth - 1]--;
  }

  /** `count` values of the innermost container have ended, the last one at `endBytes`. */
  valuesEnd(count: number, endBytes: number): void {
    const { depth } = this;
    if (depth === 0) {
      this.isWhole = true;
      return;
    }
    const left = this.#left[depth - 1] -= count;
    if (depth === 1 && (left & 1) === 0) this.#contents.endSection(endBytes);
    if (left === 0) this.#close(endBytes);
  }

  /** Whether one more key stays within the limit. */
  get hasKeyRoom(): boolean {
    return this.openKeys < this.#limits.maxOpenKeys;
  }

  /** Adds a key to the innermost map; its header is at `offsetBytes`. */
  addKey(hash: KeyHash, offsetBytes: number): void {
    if (!this.#keys[this.depth - 1].add(hash.high, hash.low)) throw duplicateKey(offsetBytes);
    if (++this.openKeys > this.#limits.maxOpenKeys) {
      throw exceeded(this.#limits, "maxOpenKeys", this.openKeys, offsetBytes);
    }
  }

  /** Counts `count` keys of the innermost map that are known to differ from all its other keys. */
  addDistinctKeys(count: number, offsetBytes: number): void {
    this.distinctKeys += count;
    if ((this.openKeys += count) > this.#limits.maxOpenKeys) {
      throw exceeded(this.#limits, "maxOpenKeys", this.openKeys, offsetBytes);
    }
  }

  /** Moves one of these keys into the set. */
  moveDistinctKey(hash: KeyHash): void {
    this.#keys[this.depth - 1].add(hash.high, hash.low);
    this.distinctKeys--;
  }

  save(): Pick<DecoderState, "isWhole" | "containers"> {
    const { isWhole, depth, deepest, distinctKeys } = this;
    const kinds = this.#kinds.slice(0, depth), left = this.#left.slice(0, depth);
    const keys = this.#keys.slice(0, depth).map((set) => set.save());
    return { isWhole, containers: { kinds, left, keys, deepest, distinctKeys } };
  }

  /** Closes the innermost container, and those that this completes. */
  #close(endBytes: number): void {
    if (this.kind < In.Array) this.#onClose(this.kind, endBytes);
    const depth = --this.depth;
    this.openKeys -= this.#keys[depth].size + this.distinctKeys;
    this.distinctKeys = 0;
    this.#keys[depth].clear();
    this.kind = depth === 0 ? In.Nothing : this.#kinds[depth - 1];
    this.valuesEnd(1, endBytes);
  }
}
