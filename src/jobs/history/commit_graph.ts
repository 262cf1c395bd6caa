/**
 * The commits of one pack as a graph, in some 90 bytes each.
 *
 * @module
 */

import type { GraphRow } from "../../db/publish/record_rows.ts";
import { IdTable } from "../../lib/id_table.ts";

/** A commit of the pack. */
export interface PackCommit {
  readonly commitId: string;
  readonly parentIds: readonly string[];
  /** Where its record begins. */
  readonly offsetBytes: number;
  /** When it was made, in milliseconds since 1970. */
  readonly timeMs?: number | null;
}

/** A commit that the repo has, with all its ancestors. */
export interface KnownCommit {
  readonly commitId: string;
  readonly generation: number;
  readonly depth: number;
  readonly jumpId: string;
  readonly sortTime?: number | null;
}

/** Commits looked at between two pauses, so that a long history does not block the process. */
const SLICE = 20_000;

const IN_PACK = 1;
/** The repo has it, but lacks one of its ancestors. */
const CUT = 2;
const KNOWN = 4;
const HAS_CHILD = 8;
const OPEN = 16;
const DONE = 32;
const REACHED = 64;

const NONE = -1;

/** A growing list of numbers. */
class Numbers<A extends Int32Array | Uint8Array | Float64Array> {
  values: A;

  constructor(values: A, readonly initially: number) {
    this.values = values;
    values.fill(initially);
  }

  /** Makes room for this many. */
  reserve(length: number): void {
    const before = this.values;
    if (length <= before.length) return;
    const Kind = before.constructor as { new (length: number): A };
    this.values = new Kind(Math.max(length, Math.ceil(before.length * 1.5)));
    this.values.set(before);
    this.values.fill(this.initially, before.length);
  }
}

/**
 * Numbers the commits of a pack by generation and finds its tips. Commits outside the pack that matter
 * are added as the repo knows them.
 */
export class CommitGraph {
  readonly #ids = new IdTable();
  readonly #flags = new Numbers(new Uint8Array(64), 0);
  readonly #first = new Numbers(new Int32Array(64), NONE);
  readonly #second = new Numbers(new Int32Array(64), NONE);
  readonly #generation = new Numbers(new Int32Array(64), 0);
  readonly #depth = new Numbers(new Int32Array(64), 0);
  readonly #jump = new Numbers(new Int32Array(64), NONE);
  readonly #offset = new Numbers(new Float64Array(64), NONE);
  /** Its own time; when it is numbered, not before its parents'. */
  readonly #time = new Numbers(new Float64Array(64), 0);
  /** Commits of the pack, each counted once. */
  commits = 0;

  /** Adds a commit of the pack. Of several records with one id the first counts. */
  addCommit({ commitId, parentIds, offsetBytes, timeMs }: PackCommit): void {
    const node = this.#node(commitId);
    if (this.#flags.values[node] & IN_PACK) return;
    this.#flags.values[node] |= IN_PACK;
    this.#offset.values[node] = offsetBytes;
    this.#time.values[node] = timeMs ?? 0;
    this.commits++;
    for (const parent of this.#addParents(node, parentIds)) {
      this.#flags.values[parent] |= HAS_CHILD;
    }
  }

  /** Adds a commit of the repo that waits for an ancestor: the pack may bring it. */
  addCut({ commitId, parentIds, timeMs }: Omit<PackCommit, "offsetBytes">): void {
    const node = this.#node(commitId);
    if (this.#flags.values[node] & (IN_PACK | CUT)) return;
    this.#flags.values[node] |= CUT;
    this.#time.values[node] = timeMs ?? 0;
    this.#addParents(node, parentIds);
  }

  /** Adds what the repo knows of a commit. */
  addKnown({ commitId, generation, depth, jumpId, sortTime }: KnownCommit): void {
    const node = this.#node(commitId), jump = this.#node(jumpId);
    if (this.#flags.values[node] & (IN_PACK | CUT)) return;
    this.#flags.values[node] |= KNOWN | DONE;
    this.#generation.values[node] = generation;
    this.#depth.values[node] = depth;
    this.#jump.values[node] = jump;
    this.#time.values[node] = sortTime ?? 0;
  }

  /** Whether this is a commit of the pack. */
  has(commitId: string): boolean {
    const node = this.#ids.find(commitId);
    return node !== NONE && (this.#flags.values[node] & IN_PACK) !== 0;
  }

  /** Whether this is a parent that is not in the pack, and of which nothing is known. */
  isOutside(commitId: string): boolean {
    const node = this.#ids.find(commitId);
    return node !== NONE && (this.#flags.values[node] & (IN_PACK | CUT | KNOWN)) === 0;
  }

  /** The ids of parents that are not in the pack, each once. Known commits may be added meanwhile. */
  *outside(): Generator<string, void, undefined> {
    const size = this.#ids.size;
    for (let node = 0; node < size; node++) {
      if ((this.#flags.values[node] & (IN_PACK | CUT | KNOWN)) === 0) yield this.#ids.id(node);
    }
  }

  /**
   * Numbers all commits; call it when all are added, and again if others were added since.
   *
   * @returns The offset of the record of a commit that is its own ancestor; undefined if none is.
   */
  async number(): Promise<number | undefined> {
    const flags = this.#flags.values, first = this.#first.values, second = this.#second.values;
    const path = new Numbers(new Int32Array(64), NONE);
    let steps = 0;
    for (let node = 0; node < this.#ids.size; node++) {
      if (this.#isOwn(node)) flags[node] &= ~(OPEN | DONE);
    }
    for (let start = 0; start < this.#ids.size; start++) {
      if (!this.#isOwn(start)) continue;
      let length = 0;
      path.values[length++] = start;
      while (length > 0) {
        if (++steps % SLICE === 0) await pause();
        const node = path.values[length - 1];
        if (flags[node] & DONE) {
          length--;
          continue;
        }
        const isOpen = flags[node] & OPEN;
        flags[node] |= OPEN;
        let isReady = true;
        for (const parent of [first[node], second[node]]) {
          if (parent === NONE || !this.#isOwn(parent) || flags[parent] & DONE) continue;
          if (isOpen || flags[parent] & OPEN) return this.#offset.values[node];
          path.reserve(length + 1);
          path.values[length++] = parent;
          isReady = false;
        }
        if (!isReady) continue;
        this.#numberOne(node);
        flags[node] |= DONE;
        length--;
      }
    }
  }

  /**
   * A parent that keeps a commit of the pack from being numbered, and where that commit's record
   * begins; undefined if all are, after `number()`. The repo may have it, but not all of its ancestors.
   */
  missingParent(): { readonly parentId: string; readonly offsetBytes: number } | undefined {
    for (let node = 0; node < this.#ids.size; node++) {
      if ((this.#flags.values[node] & IN_PACK) === 0 || this.#generation.values[node] > 0) continue;
      for (const parent of [this.#first.values[node], this.#second.values[node]]) {
        if (parent === NONE || this.#generation.values[parent] > 0) continue;
        if ((this.#flags.values[parent] & IN_PACK) !== 0) continue;
        return { parentId: this.#ids.id(parent), offsetBytes: this.#offset.values[node] };
      }
    }
    return undefined;
  }

  /** The ids of the pack's commits that are no parent of another one in it, `limit` at most. */
  tips(limit: number): string[] {
    const tips: string[] = [];
    for (let node = 0; node < this.#ids.size && tips.length < limit; node++) {
      if ((this.#flags.values[node] & (IN_PACK | HAS_CHILD)) === IN_PACK) {
        tips.push(this.#ids.id(node));
      }
    }
    return tips;
  }

  /** The generation of a commit; 0 if one of its ancestors is missing. */
  generation(commitId: string): number {
    const node = this.#ids.find(commitId);
    return node === NONE ? 0 : this.#generation.values[node];
  }

  /** Where a commit's record begins; undefined if it is not in the pack. */
  offset(commitId: string): number | undefined {
    const node = this.#ids.find(commitId);
    return node === NONE || this.#offset.values[node] < 0 ? undefined : this.#offset.values[node];
  }

  /**
   * Looks for one commit among the ancestors of another, as far as the pack goes.
   *
   * @returns True if it is one; else the commits where the pack ends, among whose ancestors it may be.
   */
  async findAncestor(ancestorId: string, commitId: string): Promise<true | string[]> {
    if (ancestorId === commitId) return true;
    const flags = this.#flags.values, ancestor = this.#ids.find(ancestorId);
    const start = this.#ids.find(commitId);
    if (start === NONE || !this.#isOwn(start)) return [commitId];
    const stack = new Numbers(new Int32Array(64), NONE), outside: string[] = [];
    let length = 0, steps = 0, isFound = false;
    const visit = (node: number) => {
      if (node === NONE || flags[node] & REACHED) return;
      flags[node] |= REACHED;
      if (node === ancestor) isFound = true;
      if (!this.#isOwn(node)) {
        if (flags[node] & KNOWN) outside.push(this.#ids.id(node));
        return;
      }
      stack.reserve(length + 1);
      stack.values[length++] = node;
    };
    visit(start);
    while (length > 0 && !isFound) {
      if (++steps % SLICE === 0) await pause();
      const node = stack.values[--length];
      visit(this.#first.values[node]);
      visit(this.#second.values[node]);
    }
    for (let node = 0; node < this.#ids.size; node++) flags[node] &= ~REACHED;
    return isFound || outside;
  }

  /** The rows of the graph that the repo lacks or that have changed, `limit` in each batch. */
  *rows(limit: number): Generator<GraphRow[], void, undefined> {
    let batch: GraphRow[] = [];
    for (let node = 0; node < this.#ids.size; node++) {
      if (!this.#isOwn(node)) continue;
      const generation = this.#generation.values[node], isCut = generation === 0;
      if (isCut && !(this.#flags.values[node] & IN_PACK)) continue;
      batch.push({
        commit_id: this.#ids.id(node),
        parent_ids: [this.#first.values[node], this.#second.values[node]]
          .filter((parent) => parent !== NONE).map((parent) => this.#ids.id(parent)),
        generation: isCut ? null : generation,
        depth: isCut ? null : this.#depth.values[node],
        jump_id: isCut ? null : this.#ids.id(this.#jump.values[node]),
        sort_time: isCut ? null : this.#time.values[node],
      });
      if (batch.length < limit) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  #isOwn(node: number): boolean {
    return (this.#flags.values[node] & (IN_PACK | CUT)) !== 0;
  }

  #node(id: string): number {
    const node = this.#ids.add(id), length = this.#ids.size;
    for (
      const list of [
        this.#flags,
        this.#first,
        this.#second,
        this.#generation,
        this.#depth,
        this.#jump,
        this.#offset,
        this.#time,
      ]
    ) list.reserve(length);
    return node;
  }

  #addParents(node: number, parentIds: readonly string[]): number[] {
    const parents = parentIds.map((id) => this.#node(id));
    this.#first.values[node] = parents[0] ?? NONE;
    this.#second.values[node] = parents[1] ?? NONE;
    return parents;
  }

  /** All its parents are numbered, or missing. */
  #numberOne(node: number): void {
    const generations = this.#generation.values, depths = this.#depth.values;
    const jumps = this.#jump.values, times = this.#time.values;
    const first = this.#first.values[node], second = this.#second.values[node];
    let generation = 1;
    for (const parent of [first, second]) {
      if (parent === NONE) continue;
      if (generations[parent] === 0) return;
      generation = Math.max(generation, generations[parent] + 1);
    }
    generations[node] = generation;
    for (const parent of [first, second]) {
      if (parent !== NONE) times[node] = Math.max(times[node], times[parent] + 1);
    }
    if (first === NONE) {
      depths[node] = 1;
      jumps[node] = node;
      return;
    }
    depths[node] = depths[first] + 1;
    // Two jumps of one length become one of their sum: see is_ancestor_1.sql.
    const jump = jumps[first], next = jumps[jump];
    const isSame = next !== NONE && depths[first] - depths[jump] === depths[jump] - depths[next];
    jumps[node] = isSame ? next : first;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
