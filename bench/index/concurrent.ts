/**
 * Four jobs at once beside one.
 *
 * @module
 */

import { count, MB, speedText, timed } from "./measure.ts";
import type { Part } from "./row.ts";
import type { BenchResources, Pack } from "./resources.ts";

const OBJECT_BYTES = 7_000;

/** The throughput of four jobs together; a deadlock would fail one of them. */
export async function concurrentJobs(resources: BenchResources, share: number): Promise<Part> {
  const objects = Math.round(share * 40_000);
  const size = { kind: "range", minBytes: OBJECT_BYTES, maxBytes: OBJECT_BYTES } as const;
  const packs: Pack[] = [];
  for (let seed = 11; seed < 16; seed++) packs.push(await resources.make({ objects, size, seed }));
  await resources.empty();
  const [first, ...four] = packs;
  const one = await resources.index(first);
  const all = await timed(() => Promise.all(four.map((pack) => resources.index(pack))));
  await resources.empty();
  for (const pack of packs) await resources.forget(pack);
  const speed = (jobs: number, seconds: number) => speedText(jobs * first.sizeBytes / MB / seconds);
  return {
    name: "concurrent",
    rows: [{
      what: `4 jobs at once, ${count(objects)} objects of 7 kB each`,
      ours: speed(4, all.seconds),
      against: `one: ${speed(1, one.seconds)}`,
      value: 4 * one.seconds / all.seconds,
      aim: { atLeast: 1.3 },
    }],
  };
}
