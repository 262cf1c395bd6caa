/**
 * The queue beside graphile-worker and pg-boss, in one run on one server with its usual settings
 * (fsync on): `deno task bench:jobs`, `--help` for its length.
 *
 * @module
 */

import { cpus, loadavg } from "node:os";
import { Command, Option } from "commander";
import { startTestServer } from "../tests/support/postgres/test_server.ts";
import { CONTENDERS } from "./jobs/contenders.ts";
import { loneWaits } from "./jobs/flood.ts";
import { Bench } from "./jobs/measure.ts";
import { runPacks } from "./jobs/packs.ts";
import { shardWaits } from "./jobs/shards.ts";

const JOBS_PER_SECOND = 100;
/** Rounds of no-op jobs, the contenders taking turns; the median counts. */
const ROUNDS = 3;
/** Lone jobs, one after another. */
const LONE_SAMPLES = 10;
/** Longer than our lease and the poll behind it; of the peers, no job is back before minutes. */
const RESCUE_LIMIT_MS = 60_000;

interface Flags {
  readonly jobs: number;
  readonly concurrency: number;
  readonly samples: number;
  readonly idleSeconds: number;
  readonly paceSeconds: number;
  readonly packs: number;
  readonly only?: "shards";
  readonly json?: boolean;
}

const SERVER = { fsync: "on", synchronous_commit: "on", full_page_writes: "on" };

const flags = new Command("bench:jobs")
  .option("--jobs <n>", "no-op jobs to run", Number, 5_000)
  .option("--concurrency <n>", "jobs at once", Number, 24)
  .option("--samples <n>", "jobs added one by one to an idle worker", Number, 300)
  .option("--idle-seconds <n>", "how long to count the statements of an idle worker", Number, 20)
  .option("--pace-seconds <n>", "how long to add 100 jobs a second", Number, 30)
  .option("--packs <n>", "packs of 20 objects", Number, 10_000)
  .addOption(new Option("--only <part>", "measure one part").choices(["shards"]))
  .option("--json", "print one JSON document")
  .parse(Deno.args, { from: "user" }).opts<Flags>();

if (flags.only === "shards") {
  const { both, killed, longest, ratios } = await shardWaits(SERVER, {
    samples: 6 * flags.samples,
  });
  const row = {
    "two servers with 8 shards each": "a job's wait in the shards of the first",
    "p50 ms": both.p50.toFixed(1),
    "p99 ms": both.p99.toFixed(1),
    "p50, the second killed": killed.p50.toFixed(1),
    "p99, the second killed": killed.p99.toFixed(1),
    "times as long, p99": (killed.p99 / both.p99).toFixed(2),
    "by round": ratios.map((ratio) => ratio.toFixed(2)).join(" "),
    "longest ms": longest.both.toFixed(0),
    "longest, the second killed": longest.killed.toFixed(0),
  };
  console.log(flags.json ? JSON.stringify(row) : markdown([row]));
  Deno.exit();
}

await using server = await startTestServer({ settings: SERVER });
const bench = new Bench(server.url);
const load = loadavg()[0].toFixed(1);
const { packs, concurrency } = flags;
const noOps = (contender = CONTENDERS[0]) => bench.throughput(contender, flags.jobs, concurrency);
const rates: number[][] = [];
for (let round = 0; round < ROUNDS; round++) {
  for (const [i, contender] of CONTENDERS.entries()) (rates[i] ??= []).push(await noOps(contender));
}
const pickups = await bench.pickups(CONTENDERS, flags.samples);
const rows: Record<string, string>[] = [];
for (const [i, contender] of CONTENDERS.entries()) {
  const row: Record<string, string> = {
    queue: contender.name,
    "no-op jobs/s": whole(rates[i].sort((a, b) => a - b)[(ROUNDS - 1) / 2]),
    "pickup p50 ms": pickups[i].p50.toFixed(1),
    "pickup p99 ms": pickups[i].p99.toFixed(1),
    "idle statements/s": (await bench.idle(contender, flags.idleSeconds)).toFixed(2),
  };
  rows.push(row);
  console.error(row);
}
// The packs between two runs of the no-op jobs that they are compared with.
const before = await noOps();
const { perSecond, statementsPerJob } = await runPacks(await bench.database(), {
  packs,
  concurrency,
});
const share = perSecond / ((before + await noOps()) / 2);
const ours = {
  "packs of 20 objects/s": whole(perSecond),
  "statements for each": statementsPerJob.toFixed(2),
  "of the no-op jobs/s right before and after": share.toFixed(2),
};
// How long a lone owner's job waits. A repo for each job is the most that one owner can make of ten
// thousand.
const waits: Record<string, string>[] = [];
for (const [floodRepos, others] of [[1, 0], [100, 0], [10_000, 0], [10_000, 500]]) {
  const url = await bench.database();
  const { alone, flooded } = await loneWaits(url, { floodRepos, others, samples: LONE_SAMPLES });
  waits.push({
    "10,000 jobs of another owner": `in ${whole(floodRepos)} repos` +
      (others > 0 ? `, beside ${others} owners with 20 jobs a second` : ""),
    "wait before them, p50 ms": alone.p50.toFixed(1),
    "at most": alone.max.toFixed(0),
    "wait behind them, p50 ms": flooded.p50.toFixed(1),
    "at most, behind": flooded.max.toFixed(0),
    "times as long, p50": (flooded.p50 / alone.p50).toFixed(1),
  });
}
console.error(waits);
console.error(ours);
// From here on there is little to do but to wait: all at once, each on its database.
const rescued = await Promise.all(CONTENDERS.map((each) => bench.rescue(each, RESCUE_LIMIT_MS)));
const dead = await Promise.all(
  CONTENDERS.map((each) => bench.deadRows(each, flags.paceSeconds, JOBS_PER_SECOND)),
);
rows.forEach((row, i) => {
  const ms = rescued[i];
  row["s to run again after SIGKILL"] = ms === undefined
    ? `over ${RESCUE_LIMIT_MS / 1000}`
    : (ms / 1000).toFixed(1);
  row[`dead rows after ${flags.paceSeconds} s`] = whole(dead[i]);
});
await bench.close();

const machine = `${cpus().length} cores, load average ${load} to ${loadavg()[0].toFixed(1)}, ` +
  `PostgreSQL ${server.version}, Deno ${Deno.version.deno}`;
if (flags.json) console.log(JSON.stringify({ machine, queues: rows, mpackd: ours, waits }));
else {
  console.log(`${machine}\n\n${markdown(rows)}\n\n${markdown(waits)}\n`);
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
