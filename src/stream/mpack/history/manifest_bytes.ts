/**
 * A manifest as bytes: for each path, the path, NUL, 64 hex digits, NUL. Sorted by path and without
 * the last NUL, these are the bytes that a snapshot's id is the SHA-256 of.
 *
 * @module
 */

import { BARE_ID_BYTES } from "../object_id.ts";
import { sortPaths } from "./sort_paths.ts";

const UTF8 = new TextEncoder();

/** What an entry has besides its path: the id, and a NUL after each. */
export const ENTRY_BYTES: number = 1 + BARE_ID_BYTES + 1;

/** Where the entry that begins at `at` ends. */
export function entryEnd(bytes: Uint8Array, at: number): number {
  // Paths are short: a call of indexOf() takes longer.
  while (bytes[at] !== 0) at++;
  return at + ENTRY_BYTES;
}

/** Sorts the entries from `at` to `end` by path, in place. */
export function sortEntries(bytes: Uint8Array, at: number, end: number): void {
  const unsorted = new Uint8Array(bytes.subarray(at, end)), starts: number[] = [];
  for (let from = 0; from < unsorted.length; from = entryEnd(unsorted, from)) starts.push(from);
  const sorted = Uint32Array.from(starts);
  sortPaths(unsorted, sorted);
  let to = at;
  for (const from of sorted) {
    const entry = unsorted.subarray(from, entryEnd(unsorted, from));
    bytes.set(entry, to);
    to += entry.length;
  }
}

/** Merges the sorted entries from `at` to `middle` with those from there to `end`, in place. */
export function mergeEntries(bytes: Uint8Array, at: number, middle: number, end: number): void {
  // What is written never passes what is left of the second half.
  const first = new Uint8Array(bytes.subarray(at, middle));
  let to = at, from = 0, other = middle;
  while (from < first.length && other < end) {
    const run = from;
    while (from < first.length && orderOf(first, from, bytes, other) < 0) {
      from = entryEnd(first, from);
    }
    if (from > run) {
      bytes.set(first.subarray(run, from), to);
      to += from - run;
      if (from === first.length) return;
    }
    const otherRun = other;
    do other = entryEnd(bytes, other); while (
      other < end && orderOf(first, from, bytes, other) > 0
    );
    bytes.copyWithin(to, otherRun, other);
    to += other - otherRun;
  }
  bytes.set(first.subarray(from), to);
}

/** A manifest with other entries in place of, or beside, some of its own. */
export interface AppliedDelta {
  /** The entries, sorted. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many there are. */
  readonly entries: number;
}

/**
 * The manifest that a delta makes of another one: without the removed paths, then with the added
 * entries.
 *
 * @param base Sorted entries.
 * @param added Sorted entries.
 * @param removed Paths in any order; those that are not in the base do nothing.
 */
export function applyDelta(
  base: Uint8Array,
  added: Uint8Array,
  removed: readonly string[],
): AppliedDelta {
  const gone = sortedPaths(removed);
  const bytes = new Uint8Array(base.length + added.length);
  let to = 0, entries = 0, at = 0, addedAt = 0, goneAt = 0;
  const copy = (source: Uint8Array, from: number, end: number) => {
    bytes.set(source.subarray(from, end), to);
    to += end - from;
    entries++;
  };
  while (at < base.length || addedAt < added.length) {
    const order = orderOf(base, at, added, addedAt);
    if (order < 0) {
      while (goneAt < gone.length && orderOf(gone, goneAt, base, at) < 0) {
        goneAt = gone.indexOf(0, goneAt) + 1;
      }
      const isGone = goneAt < gone.length && orderOf(gone, goneAt, base, at) === 0;
      const end = entryEnd(base, at);
      if (!isGone) copy(base, at, end);
      at = end;
      continue;
    }
    if (order === 0) at = entryEnd(base, at);
    const end = entryEnd(added, addedAt);
    copy(added, addedAt, end);
    addedAt = end;
  }
  return { bytes: bytes.subarray(0, to), entries };
}

/** The paths sorted, a NUL after each. */
function sortedPaths(paths: readonly string[]): Uint8Array {
  const encoded = paths.map((path) => UTF8.encode(`${path}\0`));
  encoded.sort((one, other) => orderOf(one, 0, other, 0));
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 0));
  let to = 0;
  for (const path of encoded) {
    bytes.set(path, to);
    to += path.length;
  }
  return bytes;
}

/** As `comparePaths()`, in two arrays; what has ended comes last. */
function orderOf(one: Uint8Array, at: number, other: Uint8Array, otherAt: number): number {
  if (at >= one.length) return 1;
  if (otherAt >= other.length) return -1;
  for (;; at++, otherAt++) {
    const difference = one[at] - other[otherAt];
    if (difference !== 0 || one[at] === 0) return difference;
  }
}
