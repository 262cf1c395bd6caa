/**
 * Makes a failing input smaller for as long as it goes on failing.
 *
 * @module
 */

import { concat } from "../support/mpack/mpacks.ts";
import { nodesOf, parseTree, writeTree } from "./tree.ts";

/** So that a large pack is given up on before anybody does. */
const MOST_TRIES = 3000;

type Fails = (bytes: Uint8Array) => boolean;

/** A pack that still fails, with as little in it as a few thousand tries could find. */
export function minimise(bytes: Uint8Array, fails: Fails): Uint8Array {
  return withoutPieces(withoutValues(bytes, fails), fails);
}

/** Leaves out values: first half of a container's at a time, in the end one. */
function withoutValues(bytes: Uint8Array, fails: Fails): Uint8Array {
  const tree = parseTree(bytes);
  if (!tree || !fails(writeTree(tree))) return bytes;
  let tries = MOST_TRIES;
  // Children of what is left out later are still in this list: they cost a try each, no more.
  for (const node of nodesOf(tree)) {
    const step = node.family === "map" ? 2 : 1;
    for (let count = node.children.length; count >= step; count = Math.floor(count / 2)) {
      const piece = Math.max(step, count - count % step);
      for (let at = 0; at < node.children.length && tries > 0; tries--) {
        const removed = node.children.splice(at, piece);
        if (fails(writeTree(tree))) continue;
        node.children.splice(at, 0, ...removed);
        at += piece;
      }
    }
  }
  return writeTree(tree);
}

/** Leaves out ever smaller pieces of the bytes. */
function withoutPieces(bytes: Uint8Array, fails: Fails): Uint8Array {
  let best = bytes, tries = MOST_TRIES;
  for (let pieceBytes = best.length; pieceBytes >= 1; pieceBytes = Math.floor(pieceBytes / 2)) {
    for (let at = 0; at < best.length && tries > 0; tries--) {
      const shorter = concat([best.subarray(0, at), best.subarray(at + pieceBytes)]);
      if (fails(shorter)) best = shorter;
      else at += pieceBytes;
    }
  }
  return best;
}
