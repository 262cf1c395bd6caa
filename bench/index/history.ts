/**
 * A pack of 12,000 commits, each with a snapshot of a whole manifest: the hash is the limit, although
 * every record's id is checked.
 *
 * @module
 */

import { count, hashSpeed, MB, speedText } from "./measure.ts";
import type { Part, Row } from "./row.ts";
import type { BenchResources } from "./resources.ts";

const COMMITS = 12_000;
/** 2.2 million entries in all, as in the largest history seen. */
const PATHS = 183;

/** Indexes it with hash-wasm and with the default engine. */
export async function history(resources: BenchResources, share: number): Promise<Part> {
  const commits = Math.round(share * COMMITS);
  const pack = await resources.make({
    objects: PATHS,
    size: { kind: "range", minBytes: 200, maxBytes: 200 },
    commits,
    snapshots: commits,
    paths: PATHS,
    seed: 41,
  });
  const bytes = await Deno.readFile(pack.path);
  const rows: Row[] = [];
  let before = await hashSpeed(bytes);
  for (const engine of ["wasm", "simd"]) {
    await resources.empty();
    const { seconds } = await resources.index(pack, { env: { MPACK_HASH: engine } });
    const after = await hashSpeed(bytes);
    const ours = pack.sizeBytes / MB / seconds, limit = (before + after) / 2;
    before = after;
    rows.push({
      what: `${count(commits)} commits with whole manifests, ${count(pack.sizeBytes / MB)} MB, ` +
        engine,
      ours: speedText(ours),
      against: `hash-wasm in memory: ${speedText(limit)}`,
      value: ours / limit,
      aim: { atLeast: 0.8 },
    });
  }
  return { name: "history", rows };
}
