/**
 * Packs of 20 objects through one worker: the statements themselves are the limit.
 *
 * @module
 */

import { CONTENDERS } from "../jobs/contenders.ts";
import { Bench } from "../jobs/measure.ts";
import { runPacks } from "../jobs/packs.ts";
import { count } from "./measure.ts";
import type { Part } from "./row.ts";
import type { BenchResources } from "./resources.ts";

const PACKS = 10_000, NO_OPS = 10_000;
/** Jobs at once, of both kinds. */
const CONCURRENCY = 64;

/** Packs between two runs of the no-op jobs that they are compared with, on the same server. */
export async function smallPacks(resources: BenchResources, share: number): Promise<Part> {
  const bench = new Bench(resources.env.DATABASE_URL), packs = Math.round(share * PACKS);
  const noOps = () => bench.throughput(CONTENDERS[0], NO_OPS, CONCURRENCY);
  const before = await noOps();
  const options = { packs, concurrency: CONCURRENCY };
  const run = await runPacks(await bench.database(), options);
  const bare = await runPacks(await bench.database(), { ...options, commits: 0 });
  const noOp = (before + await noOps()) / 2;
  await bench.close();
  const what = `${count(packs)} packs of 20 objects, ${CONCURRENCY} at once`;
  return {
    name: "packs",
    rows: [
      {
        what: `${what}, each one job`,
        ours: `${count(run.perSecond)} packs/s`,
        against: `no-op jobs: ${count(noOp)}/s`,
        value: run.perSecond / noOp,
        aim: { atLeast: 0.5 },
      },
      {
        what: `what their commits cost, ${count(packs)} packs`,
        ours: `${count(run.perSecond)} packs/s`,
        against: `without their commits: ${count(bare.perSecond)}/s`,
        value: run.perSecond / bare.perSecond,
        aim: { atLeast: 0.75 },
      },
      {
        what: `statements a job, ${what}`,
        ours: `${run.statementsPerJob.toFixed(2)}, claims and publishes included`,
        against: "nothing",
        value: run.statementsPerJob,
        unit: "a job",
        aim: { atMost: 3 },
      },
    ],
  };
}
