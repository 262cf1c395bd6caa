/**
 * Two servers in turns, so that a busy machine slows both alike.
 *
 * @module
 */

import { median } from "../index/measure.ts";
import type { Pack } from "../index/resources.ts";
import type { BenchResources } from "../index/resources.ts";
import type { Server } from "./servers.ts";

/** What the parts work with. */
export interface HttpBench {
  readonly resources: BenchResources;
  readonly api: Server;
  /** `Bearer mpk_…` */
  readonly authorization: string;
  /** Starts a bare server over a pack; its folder is the bench's own. */
  bare(pack: Pack, env?: Record<string, string>): Promise<Server>;
  /** Starts another API, on another store. */
  apiOn(env: Record<string, string>): Promise<Server>;
  readonly connections: number;
  /** How long wrk asks. */
  readonly seconds: number;
  readonly rounds: number;
  /** How much of the data: 1, less for a quick run. */
  readonly share: number;
}

/** Runs both sides in turns; returns the median of each figure. The first round warms up. */
export async function inTurns<F extends Record<string, number>>(
  rounds: number,
  ours: () => Promise<F>,
  theirs: () => Promise<F>,
): Promise<{ ours: F; theirs: F }> {
  const figures: { ours: F; theirs: F }[] = [];
  for (let round = 0; round <= rounds; round++) {
    const figure = { ours: await ours(), theirs: await theirs() };
    if (round > 0) figures.push(figure);
  }
  const middle = (side: "ours" | "theirs") =>
    Object.fromEntries(
      Object.keys(figures[0][side])
        .map((name) => [name, median(figures.map((figure) => figure[side][name]))]),
    ) as F;
  return { ours: middle("ours"), theirs: middle("theirs") };
}
