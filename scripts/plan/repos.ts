/**
 * Repos of very different sizes, in the order in which they come.
 *
 * @module
 */

/** A repo, or many small ones together that are alike. */
export interface RepoGroup {
  readonly repos: number;
  /** Objects of all of them at the end. */
  readonly objects: number;
  /** Their part of all pushes. */
  readonly pushShare: number;
}

/** Repos that are looked at one by one; the others are so small that only their sum counts. */
const SINGLE = 20_000;
const GROUPS = 2_000;

/** The random numbers of a seed, from 0 up to 1: mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Makes repos whose sizes and push rates follow Pareto's law, in a random order.
 *
 * @param options.alpha The law's exponent: at 1.1 the largest of a million has some 2 % of all.
 */
export function makeRepos(
  { repos, objects, alpha, random }: {
    readonly repos: number;
    readonly objects: number;
    readonly alpha: number;
    readonly random: () => number;
  },
): RepoGroup[] {
  const single = Math.min(SINGLE, repos), rest = repos - single;
  const groups = Math.min(GROUPS, rest);
  const weight = (rank: number) => rank ** (-1 / alpha);
  const weights = Array.from({ length: single }, (_, i) => weight(i + 1));
  // The sum over the other ranks, as an integral.
  const power = 1 - 1 / alpha;
  const restWeight = rest === 0 ? 0 : ((repos + 0.5) ** power - (single + 0.5) ** power) / power;
  const total = weights.reduce((sum, one) => sum + one, 0) + restWeight;
  // A large repo need not be a busy one: the rates are drawn apart from the sizes.
  const rates = shuffled(weights, random);
  const made: RepoGroup[] = weights.map((one, i) => ({
    repos: 1,
    objects: objects * one / total,
    pushShare: rates[i] / total,
  }));
  for (let i = 0; i < groups; i++) {
    const share = restWeight / total / groups;
    made.push({ repos: rest / groups, objects: objects * share, pushShare: share });
  }
  return shuffled(made, random);
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
