/**
 * The fuzzer's files: packs to begin with, and failures to replay.
 *
 * @module
 */

import { join } from "node:path";
import { mpackKey } from "../support/mpack/mpacks.ts";
import type { FuzzCase } from "./check.ts";
import { nodesOf, parseTree, writeTree } from "./tree.ts";

/** Larger packs make an execution slow, and show nothing more: they are thinned out. */
const MOST_BYTES = 16 * 1024;
const MOST_CHILDREN = 4;
const MOST_BODY_BYTES = 80;

/** The packs of a folder, in the order of their names; of large ones a little of everything. */
export function readCorpus(folder: string): Uint8Array[] {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".mpack")).sort()
    .map((name) => thin(Deno.readFileSync(join(folder, name))))
    .filter((bytes) => bytes.length <= MOST_BYTES);
}

/** A large pack with the first few values of each container, and the first bytes of each body. */
function thin(bytes: Uint8Array): Uint8Array {
  const tree = bytes.length > MOST_BYTES ? parseTree(bytes) : undefined;
  if (!tree) return bytes;
  for (const node of nodesOf(tree).slice(1)) {
    // A commit has 22 keys, each with another type of value.
    const isRecord = node.family === "map" && node.children.length <= 44;
    if (!isRecord) node.children.splice(MOST_CHILDREN);
    if (node.head === undefined) node.body = node.body.subarray(0, MOST_BODY_BYTES);
  }
  return writeTree(tree);
}

/** Writes a failure as NAME.mpack and NAME.json; returns the latter's path. */
export function writeCase(folder: string, input: FuzzCase, problem: string): string {
  const { bytes, ...settings } = input;
  const path = join(folder, mpackKey(bytes).slice("sha256:".length, -48));
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeFileSync(`${path}.mpack`, bytes);
  Deno.writeTextFileSync(`${path}.json`, JSON.stringify({ problem, ...settings }, null, 2) + "\n");
  return `${path}.json`;
}

/** Reads what `writeCase()` wrote. */
export function readCase(path: string): FuzzCase {
  const { chunkBytes, resumeEvery, limits, history = false } = JSON.parse(
    Deno.readTextFileSync(path),
  );
  const bytes = Deno.readFileSync(path.replace(/\.json$/, ".mpack"));
  return { bytes, chunkBytes, resumeEvery, limits, history };
}
