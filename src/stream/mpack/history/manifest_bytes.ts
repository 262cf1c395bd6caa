/**
 * A manifest as bytes: for each path, the path, NUL, 64 hex digits, NUL. Sorted by path and without
 * the last NUL, these are the bytes that a snapshot's id is the SHA-256 of.
 *
 * @module
 */

import { BARE_ID_BYTES } from "../object_id.ts";

/** What an entry has besides its path: the id, and a NUL after each. */
export const ENTRY_BYTES: number = 1 + BARE_ID_BYTES + 1;

/** Where the entry that begins at `at` ends. */
export function entryEnd(bytes: Uint8Array, at: number): number {
  return bytes.indexOf(0, at) + ENTRY_BYTES;
}

/**
 * Negative, 0 or positive as the path at `a` comes before, is, or comes after the one at `b`. Paths
 * are compared as bytes, which is the order of their code points; a NUL ends each.
 */
export function comparePaths(bytes: Uint8Array, a: number, b: number): number {
  for (;; a++, b++) {
    const difference = bytes[a] - bytes[b];
    if (difference !== 0 || bytes[a] === 0) return difference;
  }
}

/** The first `sizeBytes` bytes of `bytes`, which are whole entries, sorted by path. */
export function sortEntries(bytes: Uint8Array, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const starts: number[] = [];
  for (let at = 0; at < sizeBytes; at = entryEnd(bytes, at)) starts.push(at);
  // The runtime merges the runs that it finds, and a walk of folders makes long ones.
  starts.sort((a, b) => comparePaths(bytes, a, b));
  const sorted = new Uint8Array(sizeBytes);
  let to = 0;
  for (const at of starts) {
    const end = entryEnd(bytes, at);
    sorted.set(bytes.subarray(at, end), to);
    to += end - at;
  }
  return sorted;
}
