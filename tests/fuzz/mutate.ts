/**
 * Ways to damage a pack: as bytes, and as a tree of values.
 *
 * @module
 */

import { concat } from "../support/mpack/mpacks.ts";
import type { Random } from "./random.ts";
import { type Node, nodesOf, parseTree, writeTree } from "./tree.ts";

const UTF8 = new TextEncoder();
const WORDS = [
  "objects",
  "commits",
  "snapshots",
  "tags",
  "object_id",
  "content",
  "manifest",
  "delta_add",
  "encoding",
  "delta_remove",
  "parent_snapshot_id",
  "directories",
  "commit_id",
  "snapshot_id",
  "parent_commit_id",
  "message",
  "metadata",
  "reviewed_by",
  "test_runs",
  "branch_heads",
  "..",
  "a/b",
]
  .concat("__proto__", "", "x", "0".repeat(64), "sha256:" + "a".repeat(64), "A".repeat(64))
  .map((word) => UTF8.encode(word));
const MOST_BYTES = 32 * 1024;

/** A pack made from `bytes`, with parts of `other` perhaps. */
export function mutate(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const tree = random.once(2) ? undefined : parseTree(bytes);
  let mutant = tree ? mutateTree(tree, other, random) : bytes;
  if (!tree || random.once(5)) {
    for (let left = 1 + random.below(3); left > 0; left--) {
      mutant = mutateBytes(mutant, other, random);
    }
  }
  return mutant.subarray(0, MOST_BYTES);
}

function mutateBytes(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length + 1);
  const before = bytes.subarray(0, at), after = bytes.subarray(at);
  switch (random.below(8)) {
    case 0:
      return concat([before, Uint8Array.of(random.below(256)), after.subarray(1)]);
    case 1:
      return concat([
        before,
        Uint8Array.of((bytes[at] ?? 0) ^ (1 << random.below(8))),
        after.subarray(1),
      ]);
    case 2:
      return concat([
        before,
        Uint8Array.of(0xc0 + random.below(32)),
        after.subarray(random.below(2)),
      ]);
    case 3:
      return before;
    case 4:
      return concat([before, after.subarray(1 + random.below(8))]);
    case 5: {
      const from = random.below(bytes.length + 1);
      return concat([before, bytes.subarray(from, from + random.below(64)), after]);
    }
    case 6: {
      const from = random.below(other.length + 1);
      return concat([before, other.subarray(from, from + random.below(200)), after]);
    }
    default:
      return concat([before, random.pick(WORDS), after]);
  }
}

function mutateTree(root: Node, other: Uint8Array, random: Random): Uint8Array {
  for (let left = 1 + random.below(3); left > 0; left--) {
    const nodes = nodesOf(root);
    change(random.pick(nodes), nodes, other, random);
  }
  return writeTree(root);
}

/** One change to `node`; where it does not apply, nothing happens. */
function change(node: Node, nodes: readonly Node[], other: Uint8Array, random: Random): void {
  const { children } = node;
  const at = random.below(children.length + 1);
  switch (random.below(10)) {
    case 0:
      node.width = random.pick([0, 8, 16, 32] as const);
      return;
    case 1:
      node.miscount = random.pick([1, -1, 2, 255, 65_535, 2 ** 31, 2 ** 32]);
      return;
    case 2:
      children.splice(at, 1 + random.below(2));
      return;
    case 3:
      children.push(...structuredClone(children.slice(at, at + 2)));
      return;
    case 4:
      if (children.length > 1) children.push(...children.splice(0, at));
      return;
    case 5:
      replace(node, random.pick(nodes));
      return;
    case 6: {
      const tree = parseTree(other);
      if (tree) replace(node, random.pick(nodesOf(tree)));
      return;
    }
    case 7:
      node.body = random.pick(WORDS);
      return;
    case 8:
      node.family = random.pick(["str", "bin", "array", "map"] as const);
      node.head = undefined;
      return;
    default:
      node.head = Uint8Array.of(random.below(256));
  }
}

function replace(node: Node, by: Node): void {
  // Copied before it is assigned: `by` may hold `node`.
  Object.assign(node, { head: undefined, width: undefined }, structuredClone(by));
}
