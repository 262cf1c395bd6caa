/**
 * What one repo costs another: how long a write of an object waits that a large pack brings, too.
 *
 * @module
 */

import { count } from "./measure.ts";
import type { BenchResources } from "./resources.ts";
import type { Part } from "./row.ts";

const OBJECTS = 1_000_000;
const SIZE = { kind: "range", minBytes: 200, maxBytes: 200 } as const;
const PAUSE_MS = 10;

/** The longest wait while a million objects are published, against the time that takes. */
export async function sharedIds(resources: BenchResources, share: number): Promise<Part> {
  const pack = await resources.make({ objects: Math.round(share * OBJECTS), size: SIZE });
  await resources.empty();
  const waits: number[] = [];
  let isPublished = false;
  const indexing = resources.index(pack).finally(() => isPublished = true);
  while (!isPublished) {
    const startedAt = performance.now();
    // What the publish of any other repo does with an id of the pack.
    const rows = await resources.db.sql`
      insert into musehub_objects (object_id)
      select object_ids[1 + floor(random() * rows)::int] from (
        select object_ids, rows from mpack_staged_objects order by random() limit 1
      ) as batch
      on conflict (object_id) do nothing returning 1`;
    if (rows.length > 0 || waits.length > 0) waits.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  const { value: { phases_ms: { publish } } } = await indexing;
  const longest = Math.max(0, ...waits);
  return {
    name: "shared",
    rows: [{
      what: `longest wait of another repo for one of ${count(pack.objects)} objects in a publish`,
      ours: `${count(longest)} ms, ${count(waits.length)} writes`,
      against: `the publish: ${count(publish)} ms`,
      value: longest / publish,
      aim: { atMost: 0.1 },
    }],
    details: { longest, publish, waits: waits.length },
  };
}
