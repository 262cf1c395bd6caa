/**
 * A pack as a tree of values that can be changed and written again.
 *
 * @module
 */

import { type Header, readHeader } from "../support/mpack/msgpack_header.ts";
import { concat, header, type Width } from "../support/mpack/mpacks.ts";

/** A value: its header in parts, and its body or children. */
export interface Node {
  /** The bytes of a header that is written as it is: of scalars, exts and anything raw. */
  head?: Uint8Array;
  /** Otherwise the family, */
  family: Header["family"];
  /** the width of its length, undefined for the smallest, */
  width?: Width;
  /** and how much more it declares than there is. */
  miscount: number;
  /** The body of a str, bin or ext. */
  body: Uint8Array;
  /** The elements of an array; keys and values of a map in turn. */
  children: Node[];
}

/** Reads a valid document; undefined if it is not valid, or too deep. */
export function parseTree(bytes: Uint8Array): Node | undefined {
  let at = 0, depth = 0;
  const read = (): Node | undefined => {
    const found = readHeader(bytes, at);
    if (!found || depth > 200) return undefined;
    const { family, length, offsetBytes, bodyOffsetBytes } = found;
    at = bodyOffsetBytes;
    const node: Node = { family, miscount: 0, body: new Uint8Array(0), children: [] };
    if (family === "array" || family === "map") {
      depth++;
      for (let left = family === "map" ? 2 * length : length; left > 0; left--) {
        const child = read();
        if (!child) return undefined;
        node.children.push(child);
      }
      depth--;
      return node;
    }
    if (family !== "str" && family !== "bin") {
      node.head = bytes.slice(offsetBytes, bodyOffsetBytes);
    }
    if (at + length > bytes.length) return undefined;
    node.body = bytes.slice(at, at + length);
    at += length;
    return node;
  };
  const root = read();
  return at === bytes.length ? root : undefined;
}

/** Writes a tree. */
export function writeTree(root: Node): Uint8Array {
  const parts: Uint8Array[] = [];
  const write = (node: Node) => {
    parts.push(node.head ?? headOf(node));
    parts.push(node.body);
    for (const child of node.children) write(child);
  };
  write(root);
  return concat(parts);
}

function headOf({ family, width, miscount, body, children }: Node): Uint8Array {
  const own = family as "str" | "bin" | "array" | "map";
  const count = family === "map"
    ? Math.floor(children.length / 2)
    : family === "array"
    ? children.length
    : body.length;
  const length = Math.min(2 ** 32 - 1, Math.max(0, count + miscount));
  try {
    return header(own, length, width).bytes;
  } catch {
    // That family has no such width.
    return header(own, length, 32).bytes;
  }
}

/** Every node of a tree. */
export function nodesOf(root: Node): Node[] {
  const nodes = [root];
  for (let i = 0; i < nodes.length; i++) nodes.push(...nodes[i].children);
  return nodes;
}
