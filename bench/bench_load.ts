/**
 * `deno task bench:load`: what a tenant's reads take while another tenant publishes a large pack and
 * pushes packs that share its ids.
 *
 * Idle reads are measured before and after the publish, in the same run: what counts is the ratio.
 * The pushes take processor time of their own. On two cores at load average 7 to 9, with 400,000 ids:
 * publish alone (`--pushes 0`) p99 1.05 of idle; 15 pushes alone 325 ms, publish and pushes 348 ms.
 *
 * @module
 */

import { Command } from "commander";
import { measurePublishLoad, quantile } from "../tests/support/attack/publish_load.ts";

const AIM = 1.5;

const { ids, pushes, reads } = new Command("bench_load")
  .description("Reads of one tenant during the publish of another.")
  .option("--ids <n>", "objects of the pack that is published", Number, 5_000_000)
  .option("--pushes <n>", "pushes at once that share ids with it", Number, 15)
  .option("--reads <n>", "reads of the idle server, before and after", Number, 1_000)
  .parse(Deno.args, { from: "user" }).opts<{ ids: number; pushes: number; reads: number }>();

console.log(`load average ${Deno.loadavg().map((load) => load.toFixed(1)).join(" ")}`);
const result = await measurePublishLoad({ ids, pushes, idleReads: reads });
const { idleMs, busyMs, publishMs, pushed } = result;
console.log(
  `publish of ${ids} ids: ${(publishMs / 1000).toFixed(1)} s, ${pushed} pushes meanwhile`,
);
for (const [name, share] of [["p50", 0.5], ["p90", 0.9], ["p99", 0.99]] as const) {
  const idle = quantile(idleMs, share), busy = quantile(busyMs, share);
  console.log(
    `${name} idle ${idle.toFixed(2)} ms, during ${busy.toFixed(2)} ms: ${
      (busy / idle).toFixed(2)
    }` +
      (share === 0.99 ? ` (aim: at most ${AIM})` : ""),
  );
}
console.log(`longest ${Math.max(...busyMs).toFixed(1)} ms of ${busyMs.length} reads`);
console.log(`load average ${Deno.loadavg().map((load) => load.toFixed(1)).join(" ")}`);
