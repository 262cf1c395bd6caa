/**
 * `deno task bench`: how fast mpackd is, as ratios to limits measured in the same run.
 *
 * Packs and a PostgreSQL of its own lie in a folder under TMPDIR, some 20 GB of them, and go with the
 * run. `--only` names parts; a part that cannot be measured says why and the others go on.
 *
 * @module
 */

import { Command, InvalidArgumentError } from "commander";
import { binaryCopy } from "./index/binary_copy.ts";
import { svgChart } from "./index/chart.ts";
import { concurrentJobs } from "./index/concurrent.ts";
import { decoder, decoderTable, type Figure } from "./index/decoder.ts";
import { history } from "./index/history.ts";
import { largeObjects } from "./index/large_objects.ts";
import { memory } from "./index/memory.ts";
import { ancestors } from "./index/ancestors.ts";
import { aimText, type Part, passes, table } from "./index/row.ts";
import { sharedIds } from "./index/shared_ids.ts";
import { amongOthers, smallObjects } from "./index/small_objects.ts";
import { smallPacks } from "./index/small_packs.ts";
import { start } from "./index/start.ts";
import { gitIndexPack, usualWay } from "./index/whole_job.ts";
import { type BenchResources, openBenchResources } from "./index/resources.ts";
import { parseSize } from "../scripts/mpack/shape.ts";

type Measure = (resources: BenchResources, share: number) => Promise<Part>;

/** The parts in the order they run: what needs a calm disk comes before what fills it. */
const PARTS: Record<string, Measure> = {
  start,
  decoder: (_, share) => decoder(share),
  large: largeObjects,
  history,
  small: smallObjects,
  copy: binaryCopy,
  packs: smallPacks,
  shared: sharedIds,
  ancestors,
  concurrent: concurrentJobs,
  usual: usualWay,
  git: gitIndexPack,
  others: amongOthers,
  memory,
};

interface Flags {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly svg?: string;
  readonly only?: readonly string[];
}

const { quick, json, svg, only = Object.keys(PARTS) } = new Command("bench")
  .description("How fast mpackd is, as ratios to limits measured in the same run.")
  .option("--quick", "a sixteenth of the data")
  .option("--json", "print one JSON document")
  .option("--only <parts>", `some of ${Object.keys(PARTS).join(",")}`, parseParts)
  .option("--svg <file>", "also draw the ratios")
  .parse(Deno.args, { from: "user" }).opts<Flags>();

function parseParts(text: string): string[] {
  const names = text.split(",");
  const unknown = names.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no part "${unknown}".`);
  return names;
}

function load(): string {
  return Deno.loadavg().map((figure) => figure.toFixed(1)).join(" ");
}

async function measure(name: string, resources: BenchResources): Promise<Part> {
  const startedAt = performance.now();
  console.error(`${name} …`);
  try {
    const part = await PARTS[name](resources, quick ? 1 / 16 : 1);
    // A run takes long: what it has found so far is not to be lost with it.
    console.error(table(part.rows));
    return part;
  } catch (error) {
    return { name, rows: [], missing: (error as Error).stack ?? String(error) };
  } finally {
    const seconds = (performance.now() - startedAt) / 1000;
    console.error(`${name}: ${seconds.toFixed(0)} s, load average ${load()}`);
  }
}

const loadBefore = load(), parts: Part[] = [];
let postgresql: string;
{
  await using resources = await openBenchResources();
  postgresql = resources.version;
  // The first job of a process also compiles it.
  await resources.index(await resources.make({ objects: 5_000, size: parseSize("1KiB"), seed: 2 }));
  for (const name of only) parts.push(await measure(name, resources));
}
const machine = {
  cores: navigator.hardwareConcurrency,
  cpu: await cpuName(),
  deno: Deno.version.deno,
  postgresql,
  load_average: { start: loadBefore, end: load() },
  size: quick ? "a sixteenth" : "full",
};
const rows = parts.flatMap((part) => part.rows);
const missing = parts.flatMap(({ name, missing }) => missing ? [{ name, missing }] : []);
const caption =
  `${machine.cores} cores (${machine.cpu}), load average ${loadBefore} at the start, ` +
  `${machine.load_average.end} at the end; Deno ${machine.deno}, PostgreSQL ${postgresql}` +
  (quick ? "; a sixteenth of the data" : "");

if (json) {
  const judged = parts.map((part) => ({
    ...part,
    rows: part.rows.map((row) => ({ ...row, aim: aimText(row), passes: passes(row) })),
  }));
  console.log(JSON.stringify({ machine, parts: judged }));
} else {
  console.log(`${caption}\n\n${table(rows)}`);
  const details = parts.find(({ name }) => name === "decoder")?.details as Figure[] | undefined;
  if (details) console.log(`\n${decoderTable(details)}`);
}
for (const { name, missing: why } of missing) console.error(`\n${name} is missing: ${why}`);
if (svg !== undefined) await Deno.writeTextFile(svg, svgChart(rows, caption));
const isBroken = missing.some(({ missing: why }) => !why.startsWith("not installed"));
Deno.exit(isBroken ? 1 : 0);

async function cpuName(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return /^model name\s*:\s*(.+)$/m.exec(text)?.[1].trim() ?? Deno.build.arch;
}
