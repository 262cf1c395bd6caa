import { sha256Hex } from "../../../src/lib/digest.ts";

/** A commit of a made-up history. */
export interface MadeCommit {
  readonly commitId: string;
  readonly parentIds: readonly string[];
}

/** Numbers from 0 up to 1, from a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

/** A commit's id by its number. */
export function madeId(n: number | string): string {
  return `sha256:${sha256Hex(`commit ${n}`)}`;
}

/** A random history, parents first: a main line, branches off it, merges, and some roots. */
export function makeGraph(
  commits: number,
  random: () => number,
  { name = "" }: { readonly name?: string } = {},
): MadeCommit[] {
  const made: MadeCommit[] = [];
  for (let n = 0; n < commits; n++) {
    // Mostly near the end, sometimes anywhere.
    const pick = () =>
      random() < 0.8 ? Math.max(0, n - 1 - Math.floor(random() * 6)) : Math.floor(random() * n);
    const count = n === 0 || random() < 0.02 ? 0 : random() < 0.25 ? 2 : 1;
    const parents = new Set(Array.from({ length: count }, pick));
    made.push({
      commitId: madeId(name + n),
      parentIds: [...parents].map((parent) => made[parent].commitId),
    });
  }
  return made;
}

/** All ancestors of each commit, itself included. */
export function ancestorsOf(commits: readonly MadeCommit[]): Map<string, Set<string>> {
  const all = new Map<string, Set<string>>();
  for (const { commitId, parentIds } of commits) {
    const mine = new Set([commitId]);
    for (const parent of parentIds) for (const id of all.get(parent)!) mine.add(id);
    all.set(commitId, mine);
  }
  return all;
}

/** In an order that has nothing to do with parents. */
export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const mixed = [...values];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
  }
  return mixed;
}
