/**
 * The queue beside graphile-worker and pg-boss, in one run on one server with its usual settings
 * (fsync on): `deno task bench:jobs`, `--help` for its length.
 *
 * @module
 */

import { cpus, loadavg } from "node:os";
import { Command } from "commander";
import { startTestServer } from "../support/test_server.ts";
import { graphile } from "./jobs/graphile_system.ts";
import { Bench } from "./jobs/measure.ts";
import { mpackd } from "./jobs/mpackd_system.ts";
import { packsPerSecond, rescueMs } from "./jobs/packs.ts";
import { pgBoss } from "./jobs/pg_boss_system.ts";

const CONTENDERS = [mpackd, graphile({ isBatched: false }), graphile({ isBatched: true }), pgBoss];
const JOBS_PER_SECOND = 100;

interface Flags {
  readonly jobs: number;
  readonly concurrency: number;
  readonly samples: number;
  readonly idleSeconds: number;
  readonly paceSeconds: number;
  readonly packs: number;
  readonly json?: boolean;
}

const flags = new Command("bench:jobs")
  .option("--jobs <n>", "no-op jobs to run", Number, 5_000)
  .option("--concurrency <n>", "jobs at once", Number, 24)
  .option("--samples <n>", "jobs added one by one to an idle worker", Number, 200)
  .option("--idle-seconds <n>", "how long to count the statements of an idle worker", Number, 20)
  .option("--pace-seconds <n>", "how long to add 100 jobs a second", Number, 30)
  .option("--packs <n>", "packs of 20 objects", Number, 1_000)
  .option("--json", "print one JSON document")
  .parse(Deno.args, { from: "user" }).opts<Flags>();

await using server = await startTestServer({
  settings: { fsync: "on", synchronous_commit: "on", full_page_writes: "on" },
});
const bench = new Bench(server.url);
const rows: Record<string, string>[] = [];
for (const contender of CONTENDERS) {
  const { p50, p99 } = await bench.pickup(contender, flags.samples);
  rows.push({
    queue: contender.name,
    "no-op jobs/s": whole(await bench.throughput(contender, flags.jobs, flags.concurrency)),
    "pickup p50 ms": p50.toFixed(1),
    "pickup p99 ms": p99.toFixed(1),
    "idle statements/s": (await bench.idle(contender, flags.idleSeconds)).toFixed(2),
    "dead rows": whole(await bench.deadRows(contender, flags.paceSeconds, JOBS_PER_SECOND)),
  });
}
const { packs, concurrency } = flags;
const ours = {
  "packs of 20 objects/s": whole(
    await packsPerSecond(await bench.database(), { packs, concurrency }),
  ),
  "s until the job of a killed worker runs again": ((await rescueMs(await bench.database())) / 1000)
    .toFixed(1),
};
await bench.close();

const machine = `${cpus().length} cores, load average ${loadavg()[0].toFixed(1)}, ` +
  `PostgreSQL ${server.version}, Deno ${Deno.version.deno}`;
if (flags.json) console.log(JSON.stringify({ machine, queues: rows, mpackd: ours }));
else {
  console.log(`${machine}\n\n${markdown(rows)}\n`);
  for (const [name, value] of Object.entries(ours)) console.log(`mpackd: ${value} ${name}`);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function markdown(table: readonly Record<string, string>[]): string {
  const names = Object.keys(table[0]);
  const lines = [names, names.map(() => "---"), ...table.map((row) => Object.values(row))];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
