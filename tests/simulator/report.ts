/**
 * What a run of the simulator found.
 *
 * @module
 */

import type { Random } from "../fuzz/random.ts";
import type { TestServer } from "../support/postgres/test_server.ts";
import type { Tally } from "./tally.ts";

/** The outcome of one run of one profile. */
export interface Report {
  /** The seed. */
  readonly seed: number;
  /** How long the run took. */
  readonly elapsedMs: number;
  /** What was measured or counted. */
  readonly facts: Readonly<Record<string, number>>;
  /** Faults that took place, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** What was found wrong; empty if everything is well. */
  readonly problems: readonly string[];
  /** The last events, to look for the cause. */
  readonly events: readonly string[];
}

/** What a profile is given. */
export interface ProfileOptions {
  /** Draws what the seed decides. */
  readonly random: Random;
  /** Counts the faults. */
  readonly tally: Tally;
  /** 1: the sizes that the documents promise. */
  readonly share: number;
  /** The server of profiles that do things to it. */
  readonly server: TestServer;
}

/** One line about one run. */
export function lineOf(profile: string, report: Report): string {
  const { seed, facts, faults, elapsedMs, problems } = report;
  const count = Object.values(faults).reduce((sum, times) => sum + times, 0);
  const figures = Object.entries(facts).map(([name, value]) => `${value} ${name}`).join(", ");
  const end = problems.length === 0 ? "well" : `${problems.length} PROBLEMS`;
  const seconds = (elapsedMs / 1000).toFixed(1);
  return `${profile}, seed ${seed}: ${figures}; ${count} faults, ${seconds} s: ${end}`;
}
