/**
 * The search: inputs that make the decoder do something new are kept and built upon.
 *
 * Deno has no cheap edge coverage, so what is sought is behaviour: verdict, kind of byte blamed, and
 * the decoder's own state (open containers, what its body is for, whether a header is cut) at the
 * end and on the way. That sees less than branches, and everything that the grammar tells apart.
 *
 * @module
 */

import { check, type Decode, type FuzzCase } from "./check.ts";
import { minimise } from "./minimise.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";
import type { WholeLimits } from "../support/mpack/whole_document.ts";

/** How to search. */
export interface FuzzOptions {
  /** Where the random numbers begin. */
  readonly seed: number;
  /** Inputs to begin with; one at least. */
  readonly corpus: readonly Uint8Array[];
  /** Whether to stop, asked before each execution with their number so far. */
  readonly isOver: (executions: number) => boolean;
  /** The decoder, where it is not ours. */
  readonly decode?: Decode;
}

/** What the search came to. */
export interface FuzzReport {
  /** Executions. */
  readonly executions: number;
  /** Different behaviours seen. */
  readonly features: number;
  /** Inputs in the pool at the end. */
  readonly pool: number;
  /** The first failure, minimised; undefined if there was none. */
  readonly find?: { readonly input: FuzzCase; readonly problem: string };
}

/** Searches until a failure is found or it is over. */
export function fuzz({ seed, corpus, isOver, decode }: FuzzOptions): FuzzReport {
  const random = new Random(seed), features = new Set<string>(), pool = [...corpus];
  let executions = 0;
  for (; !isOver(executions); executions++) {
    const isFirstRound = executions < corpus.length;
    const bytes = isFirstRound
      ? corpus[executions]
      : mutate(choose(pool, random), choose(pool, random), random);
    const input = { bytes, ...settings(bytes, random) };
    const outcome = check(input, decode);
    if (outcome.problem !== undefined) {
      const fails = (shorter: Uint8Array) =>
        check({ ...input, bytes: shorter }, decode).problem !== undefined;
      const smallest = { ...input, bytes: minimise(bytes, fails) };
      const problem = check(smallest, decode).problem ?? outcome.problem;
      return report({ input: smallest, problem });
    }
    const before = features.size;
    for (const feature of outcome.features) features.add(feature);
    if (features.size > before && !isFirstRound) pool.push(bytes);
  }
  return report();

  function report(find?: FuzzReport["find"]): FuzzReport {
    return { executions, features: features.size, pool: pool.length, find };
  }
}

/** Prefers what came last: there the search is. */
function choose(pool: readonly Uint8Array[], random: Random): Uint8Array {
  if (random.once(2)) return random.pick(pool);
  return pool[pool.length - 1 - random.below(Math.min(pool.length, 50))];
}

function settings(bytes: Uint8Array, random: Random): Omit<FuzzCase, "bytes"> {
  const chunkBytes = random.once(3) ? bytes.length + 1 : 1 + random.below(96);
  const resumeEvery = random.once(3) ? 1 + random.below(20) : 0;
  const limits = random.once(4) ? tight(random) : {};
  return { chunkBytes, resumeEvery, limits, history: random.once(2) };
}

function tight(random: Random): Partial<WholeLimits> {
  return {
    maxPackBytes: 1 + random.below(4000),
    maxDepth: 1 + random.below(8),
    maxNodes: random.below(80),
    maxObjects: random.below(8),
    maxValueBytes: random.below(200),
    maxKeys: random.below(8),
    maxKeyBytes: random.below(16),
    maxContentBytes: random.below(500),
    maxOpenKeys: random.below(30),
    maxCommits: random.below(4),
    maxSnapshots: random.below(4),
    maxMessageBytes: random.below(40),
    maxAnnotationBytes: random.below(20),
    maxPathBytes: random.below(20),
    maxUnsortedManifestBytes: random.below(400),
    maxManifestBytes: random.below(200),
  };
}
