/**
 * `deno task bench:http`: what a user waits for over HTTP, beside bare servers in the same run.
 *
 * Each row's two sides take turns, so that a busy machine slows them alike; what counts are the
 * ratios. Every server is a process of its own. wrk, curl and psql must be installed.
 *
 * @module
 */

import { Command, InvalidArgumentError } from "commander";
import { bulk } from "./http/bulk.ts";
import { commits } from "./http/commits.ts";
import type { HttpBench } from "./http/contest.ts";
import { rgw, swift } from "./http/engines.ts";
import { largePush, smallPacks, smallPush } from "./http/pushes.ts";
import { reads } from "./http/reads.ts";
import { startApi, startBare } from "./http/servers.ts";
import { svgChart } from "./index/chart.ts";
import { runMain } from "./index/process.ts";
import { openBenchResources } from "./index/resources.ts";
import { aimText, type Part, passes, table } from "./index/row.ts";

/** The parts in the order they run. */
const PARTS: Record<string, (bench: HttpBench) => Promise<Part>> = {
  reads,
  bulk,
  commits,
  packs: smallPacks,
  push: largePush,
  index: smallPush,
  swift,
  rgw,
};

interface Flags {
  readonly seconds: number;
  readonly rounds: number;
  readonly connections: number;
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly only?: readonly string[];
  readonly svg?: string;
  readonly profile?: string;
}

const { seconds, rounds, connections, quick, json, only = Object.keys(PARTS), svg, profile } =
  new Command("bench_http")
    .description("What a user waits for over HTTP, beside bare servers in the same run.")
    .option("--seconds <n>", "how long wrk asks, each time", Number, 4)
    .option("--rounds <n>", "measurements of each side; the median counts", Number, 3)
    .option("--connections <n>", "connections that wrk keeps busy", Number, 16)
    .option("--quick", "one round of two seconds, an eighth of the data")
    .option("--json", "print one JSON document")
    .option("--only <parts>", `some of ${Object.keys(PARTS).join(",")}`, parseParts)
    .option("--svg <file>", "also draw the ratios")
    .option("--profile <folder>", "have the API write a CPU profile there when it ends")
    .parse(Deno.args, { from: "user" }).opts<Flags>();

function parseParts(text: string): string[] {
  const names = text.split(",");
  const unknown = names.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no part "${unknown}".`);
  return names;
}

const load = () => Deno.loadavg().map((figure) => figure.toFixed(1)).join(" ");

const loadBefore = load(), parts: Part[] = [];
{
  await using resources = await openBenchResources();
  const env = {
    ...resources.env,
    MPACK_HTTP_REQUESTS_PER_MINUTE: "100000000",
    MPACK_HTTP_UPLOADS: "64",
  };
  const main = async (...args: string[]) => (await runMain(args, env, false)).stdout.trim();
  await main("identity", "create", "bench", "--key", `${resources.folder}/bench.pem`);
  const token = await main("token", "create", "bench");
  await using api = await startApi(env, profile);
  const bench: HttpBench = {
    resources,
    api,
    authorization: `Bearer ${token}`,
    bare: (pack, more) =>
      startBare([resources.repoId, pack.path, resources.folder], { ...env, ...more }),
    apiOn: (more) => startApi({ ...env, ...more }),
    connections,
    seconds: quick ? 2 : seconds,
    rounds: quick ? 1 : rounds,
    share: quick ? 1 / 8 : 1,
  };
  for (const name of only) parts.push(await measure(name, bench));
}

async function measure(name: string, bench: HttpBench): Promise<Part> {
  const startedAt = performance.now();
  try {
    const part = await PARTS[name](bench);
    console.error(table(part.rows));
    return part;
  } catch (error) {
    return { name, rows: [], missing: (error as Error).stack ?? String(error) };
  } finally {
    const took = ((performance.now() - startedAt) / 1000).toFixed(0);
    console.error(`${name}: ${took} s, load average ${load()}`);
  }
}

const rows = parts.flatMap((part) => part.rows);
const caption =
  `${navigator.hardwareConcurrency} cores, load average ${loadBefore} at the start, ` +
  `${load()} at the end; Deno ${Deno.version.deno}`;
if (json) {
  const judged = rows.map((row) => ({ ...row, aim: aimText(row), passes: passes(row) }));
  console.log(JSON.stringify({ machine: caption, rows: judged }));
} else console.log(`${caption}\n\n${table(rows)}`);
if (svg !== undefined) await Deno.writeTextFile(svg, svgChart(rows, caption));
for (const { name, missing } of parts) {
  if (missing !== undefined) console.error(`\n${name} is missing: ${missing}`);
}
