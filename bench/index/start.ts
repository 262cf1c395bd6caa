/**
 * How long `main.ts index` takes to say its first word.
 *
 * @module
 */

import { median } from "./measure.ts";
import { runMain, runProcess } from "./process.ts";
import type { Part } from "./row.ts";
import type { BenchResources } from "./resources.ts";

const ROUNDS = 15;

/**
 * From the start of the process to the first byte on stdout, which is the result of a whole job:
 * the server runs, the store has the pack. Both sides take turns.
 */
export async function start(resources: BenchResources): Promise<Part> {
  const pack = await resources.make({ objects: 12 });
  const empty = `${resources.folder}/empty.ts`;
  await Deno.writeTextFile(empty, "");
  const index = ["index", pack.mpackKey, "--repo", "bench/bench", "--json"];
  const ours: number[] = [], bare: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const nothing = await runProcess(Deno.execPath(), ["run", empty], { isMeasured: false });
    const job = await runMain(index, resources.env, false);
    // The first round fills caches.
    if (round === 0) continue;
    bare.push(nothing.seconds * 1000);
    ours.push(job.firstByteMs);
  }
  await resources.empty();
  const [job, nothing] = [median(ours), median(bare)];
  return {
    name: "start",
    rows: [{
      what: "main.ts index, a whole small job, from start to first byte",
      ours: `${job.toFixed(0)} ms`,
      against: `deno run of an empty file: ${nothing.toFixed(0)} ms`,
      value: job - nothing,
      unit: "ms more",
      aim: { atMost: 150 },
    }],
    details: { ours_ms: ours, bare_ms: bare },
  };
}
