/**
 * The most memory that `main.ts index` takes, by what it is given.
 *
 * @module
 */

import type { MpackShape } from "../../scripts/make_mpack.ts";
import { count, MB } from "./measure.ts";
import { runMain } from "./process.ts";
import type { Part, Row } from "./row.ts";
import type { BenchResources } from "./resources.ts";

const KIB = 1024, MIB = 1024 * KIB, GIB = 1024 * MIB;
/** Where a bin 32 ends: no object of MessagePack is longer, so one of 8 GiB cannot be. */
const LONGEST_OBJECT = 4 * GIB - 1;
const MOST_MB = 200;

/** Peak resident memory of large packs, a huge object and many objects, against a 40 MB pack. */
export async function memory(resources: BenchResources, share: number): Promise<Part> {
  const of = (bytes: number) => ({ kind: "range", minBytes: bytes, maxBytes: bytes }) as const;
  // Of the two kinds of small pack the larger peak is the bar: many rows take more than few.
  const small = Math.max(
    await peakMb(resources, { objects: 160, size: of(256 * KIB), seed: 21 }),
    await peakMb(resources, { objects: 136_000, size: of(200), seed: 22 }),
  );
  const huge = Math.round(share * LONGEST_OBJECT);
  const many = Math.round(share * 3_000_000), large = Math.round(share * 10 * GIB);
  const commits = Math.round(share * 12_000);
  const shapes: [string, Partial<MpackShape>][] = [
    [`pack of ${count(large / MB)} MB`, {
      objects: Math.round(large / (256 * KIB)),
      size: of(256 * KIB),
      seed: 23,
    }],
    [`one object of ${count(huge / MB)} MB (a bin ends at 4 GiB - 1)`, {
      objects: 2,
      size: of(200),
      hugeBytes: huge,
      seed: 24,
    }],
    [`${count(many)} objects of 200 B`, { objects: many, size: of(200), seed: 25 }],
    [`${count(commits)} commits with whole manifests`, {
      objects: 183,
      size: of(200),
      commits,
      snapshots: commits,
      paths: 183,
      seed: 26,
    }],
  ];
  const rows: Row[] = [];
  for (const [what, shape] of shapes) {
    const peak = await peakMb(resources, shape);
    rows.push(
      {
        what: `peak memory, ${what}`,
        ours: `${peak.toFixed(0)} MB`,
        against: `a 40 MB pack: ${small.toFixed(0)} MB`,
        value: peak / small,
        aim: { atMost: 1.15 },
      },
      {
        what: `the same in MB, ${what}`,
        ours: `${peak.toFixed(0)} MB`,
        against: "nothing",
        value: peak,
        unit: "MB",
        aim: { atMost: MOST_MB },
      },
    );
  }
  return { name: "memory", rows };
}

async function peakMb(resources: BenchResources, shape: Partial<MpackShape>): Promise<number> {
  const pack = await resources.make(shape);
  const { peakBytes } = await runMain(["index", pack.mpackKey, "--repo", "bench/bench", "--json"], {
    ...resources.env,
  });
  await resources.forget(pack);
  await resources.empty();
  return peakBytes / MB;
}
