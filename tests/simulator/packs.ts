/**
 * The packs that producers push, good and bad, and the result that each must have.
 *
 * @module
 */

import { array, buildMpack, concat, map, mpackKey, object } from "../support/mpack/mpacks.ts";
import { raw, type Value } from "../support/mpack/mpacks.ts";
import { readWhole, type WholeRow } from "../support/mpack/whole_document.ts";
import type { Random } from "../fuzz/random.ts";
import { commitRecord, type Fields, snapshotRecord } from "../support/history/records.ts";

/** A pack of one repo. */
export interface SimPack {
  /** The repo that pushes it. */
  readonly repoId: string;
  /** Its name. */
  readonly mpackKey: string;
  /** Its bytes in the store. */
  readonly bytes: Uint8Array;
  /** What its producer says of it. */
  readonly payload: Record<string, unknown>;
  /** The code it must be refused with; undefined for a good one. */
  readonly rejection?: string;
  /** The first place of each of its objects. */
  readonly rows: readonly WholeRow[];
  /** What it holds, repeated objects included. */
  readonly counts: Record<"commits" | "snapshots" | "objects" | "tags", number>;
  /** Its commits, if it is good. */
  readonly commitIds: readonly string[];
}

/** What is wrong with a pack. */
const FLAWS = ["cut", "flipped", "trailing", "malformed", "two-sizes", "miscounted"] as const;
type Flaw = typeof FLAWS[number];

const SHARED = 60;
const BAD_ONE_IN = 5;

/** Makes packs of which some have objects in common. */
export class PackMaker {
  readonly #random: Random;
  /** Most objects, and the most bytes of each. */
  readonly #sizes: readonly [number, number][];
  readonly #shared: Uint8Array[];
  /** Commits of the good packs, by repo: later ones go on from any of them. */
  readonly #commits = new Map<string, string[]>();
  #messages = 0;

  /** The same random numbers give the same packs. `small`: at most twenty small objects. */
  constructor(random: Random, small = false) {
    this.#random = random;
    this.#sizes = small ? [[17, 200]] : [[3, 100], [60, 300], [300, 400], [150, 12_000]];
    this.#shared = Array.from({ length: SHARED }, () => this.#content(2_000));
  }

  /** Makes the next pack, for a repo. */
  make(repoId: string): SimPack {
    const flaw = this.#random.once(BAD_ONE_IN) ? this.#random.pick(FLAWS) : undefined;
    const commits = this.#commitsFor(repoId);
    const whole = this.#build(commits, flaw);
    const bytes = damaged(whole, flaw);
    const key = mpackKey(flaw === "cut" || flaw === "flipped" ? whole : bytes);
    const read = readWhole(bytes, {}, { history: true });
    const counts = read.accepted ? read : { commits: 0, snapshots: 0, objects: 0, tags: 0 };
    const isMiscounted = flaw === "miscounted";
    const declared = isMiscounted ? counts.objects + 1 : counts.objects;
    const isDeclared = read.accepted && (isMiscounted || this.#random.once(2));
    const rejection = read.accepted ? flaw && CODES[flaw] : read.code;
    const commitIds = rejection === undefined ? commits.map(idOf) : [];
    this.#commits.set(repoId, [...this.#commits.get(repoId) ?? [], ...commitIds]);
    const branch = this.#random.once(3)
      ? {}
      : { branch: this.#random.once(4) ? "dev" : "main", force: this.#random.once(5) };
    return {
      repoId,
      mpackKey: key,
      bytes,
      payload: {
        mpack_key: key,
        ...branch,
        ...(isDeclared && { declared_objects_count: declared }),
      },
      rejection,
      commitIds,
      rows: read.accepted ? firstOfEach(read.rows) : [],
      counts,
    };
  }

  /** An empty one, many small objects, or a few chunks of 256 KiB. */
  #build(commits: readonly Fields[], flaw: Flaw | undefined): Uint8Array {
    const random = this.#random;
    const [most, mostBytes] = random.pick(this.#sizes);
    const contents = Array.from(
      { length: random.below(most + 1) },
      () => random.once(3) ? random.pick(this.#shared) : this.#content(mostBytes),
    );
    // One content of its own makes every pack different.
    contents.push(this.#content(100), random.once(2) ? new Uint8Array(0) : this.#content(50));
    if (random.once(4)) contents.push(contents[0]);
    const ids = new Map(contents.map((content) => [content, mpackKey(content)]));
    if (random.once(2)) contents.sort((a, b) => ids.get(a)! < ids.get(b)! ? -1 : 1);
    const objects: Value[] = contents.map((content) =>
      object({ content, objectId: ids.get(content) })
    );
    if (flaw === "two-sizes") {
      const objectId = ids.get(contents[0]);
      objects.push(object({ content: new Uint8Array(contents[0].length + 1), objectId }));
    }
    const snapshots = commits.length > 0 ? [snapshotRecord({})] : [];
    const rest = { commits, snapshots, objects: array(objects) };
    return buildMpack(
      flaw === "malformed" ? { ...rest, tags: [map([["name", raw([0xc1])]])] } : rest,
    );
  }

  /** A line of a few commits, from a root, a commit of before, or two of these. */
  #commitsFor(repoId: string): Fields[] {
    const random = this.#random, known = this.#commits.get(repoId) ?? [];
    const pick = () => known.length === 0 ? null : random.pick(known.slice(-6));
    let parent = random.once(6) ? null : pick();
    return Array.from({ length: random.below(4) }, () => {
      const second = parent !== null && random.once(4) ? pick() : null;
      const record = commitRecord({
        message: `m${this.#messages++}`,
        parent_commit_id: parent,
        parent2_commit_id: second === parent ? null : second,
      });
      parent = idOf(record);
      return record;
    });
  }

  #content(mostBytes: number): Uint8Array {
    const bytes = new Uint8Array(16 + this.#random.below(mostBytes));
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.#random.below(256);
    return bytes;
  }
}

function idOf(commit: Fields): string {
  return commit.commit_id as string;
}

/** Codes of flaws that a reader of the bytes alone cannot see. */
const CODES: Partial<Record<Flaw, string>> = {
  flipped: "digest-mismatch",
  "two-sizes": "duplicate-key",
  miscounted: "declared-count-mismatch",
};

function damaged(whole: Uint8Array, flaw: Flaw | undefined): Uint8Array {
  if (flaw === "cut") return whole.subarray(0, -1);
  if (flaw === "trailing") return concat([whole, Uint8Array.of(0xc0)]);
  if (flaw !== "flipped") return whole;
  // The last byte is one of a content.
  const flipped = whole.slice();
  flipped[flipped.length - 1] ^= 1;
  return flipped;
}

function firstOfEach(rows: readonly WholeRow[]): WholeRow[] {
  const first = new Map<string, WholeRow>();
  for (const row of rows) if (!first.has(row.objectId)) first.set(row.objectId, row);
  return [...first.values()];
}
