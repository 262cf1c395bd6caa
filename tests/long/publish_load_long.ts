import assert from "node:assert/strict";
import { measurePublishLoad, quantile } from "../support/attack/publish_load.ts";

/** bench/bench_load.ts publishes five million. */
const IDS = 400_000;
/** A wait for the publish would be longer: it takes seconds. */
const LONGEST_SHARE = 0.5;

Deno.test("reads do not wait for a publish, or for pushes that wait for it", async () => {
  const result = await measurePublishLoad({ ids: IDS, pushes: 15, idleReads: 300 });
  const { idleMs, busyMs, publishMs, pushed } = result;
  const ratio = quantile(busyMs, 0.99) / quantile(idleMs, 0.99);
  console.log(
    `publish ${Math.round(publishMs)} ms, ${pushed} pushes; p99 of ${busyMs.length} reads ` +
      `${quantile(busyMs, 0.99).toFixed(1)} ms, ${ratio.toFixed(2)} of an idle server's`,
  );
  assert.ok(busyMs.length > 50);
  assert.ok(Math.max(...busyMs) < LONGEST_SHARE * publishMs, `${Math.max(...busyMs)} ms`);
});
