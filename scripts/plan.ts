/**
 * `deno task plan`: how many servers a number of objects and a rate of pushes need, and what gives
 * out first. A simulation from measured constants: scripts/plan/constants.ts.
 *
 * @module
 */

import { Command, InvalidArgumentError } from "commander";
import { COSTS, type Server, TARGET_USE } from "./plan/constants.ts";
import {
  bytesPerSecond,
  catalogCores,
  type Layout,
  type Load,
  type Outcome,
  processesFor,
  RESOURCES,
  simulate,
} from "./plan/simulate.ts";

const SEEDS = [1, 2, 3];
const MOST_SERVERS = 10_000;

/** A plan: the fewest servers with which nothing gives out, and the outcome with them. */
export interface Plan extends Layout {
  readonly outcome: Outcome;
  /** Whether there is such a number; else `servers` is the most that was tried. */
  readonly isEnough: boolean;
}

/** Looks for the fewest servers; each number is tried with three seeds, of which the worst counts. */
export function plan(
  load: Load,
  server: Server,
  { shardsPerServer, isMoving }: Omit<Layout, "servers">,
): Plan {
  const attempt = (servers: number): Plan => {
    const layout = { servers, shardsPerServer, isMoving };
    const outcomes = SEEDS.map((seed) => simulate(load, server, layout, seed));
    const outcome = outcomes.reduce((worst, one) => peakOf(one) > peakOf(worst) ? one : worst);
    return { ...layout, outcome, isEnough: outcomes.every(({ first }) => first === undefined) };
  };
  let few = 0, enough = attempt(1);
  while (!enough.isEnough) {
    // More servers do not help where their number does not count.
    const { outcome: { first }, servers } = enough;
    // The catalog is on one server.
    if (first?.resource === "catalog" || servers >= MOST_SERVERS) return enough;
    // Nor where one repo alone is too much.
    const next = attempt(Math.min(2 * servers, MOST_SERVERS));
    if (servers >= 64 && peakOf(next.outcome) > 0.99 * peakOf(enough.outcome)) return enough;
    few = servers;
    enough = next;
  }
  while (enough.servers - few > 1) {
    const middle = attempt(Math.floor((few + enough.servers) / 2));
    if (middle.isEnough) enough = middle;
    else few = middle.servers;
  }
  return enough;
}

function peakOf({ use }: Outcome): number {
  return Math.max(...Object.values(use));
}

/** A number that may be written as 1e11 or 64e9. */
function positive(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("It is not a number above 0; 1e11 may be written.");
}

const SMALL = [" thousand", " million", " billion"];

function short(value: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), SMALL.length);
  if (power === 0) return `${Number(value.toPrecision(3))}`;
  return `${Number((value / 1_000 ** power).toPrecision(3))}${SMALL[power - 1]}`;
}

const NAMES: Readonly<Record<typeof RESOURCES[number], string>> = {
  catalog: "processor of the catalog's server",
  disk_reads: "random reads of its disk, for the index by id",
  wal: "WAL",
  cpu: "processor",
  queue: "jobs through its queue (one NOTIFY lock)",
  disk: "disk",
};

function tooMuch(server: Server, { outcome, servers }: Plan): string {
  const { first, largestRepo } = outcome, name = NAMES[first!.resource];
  if (first!.resource === "catalog") {
    return `The ${name} gives out at this rate, however many shards there are: it is one server.`;
  }
  const isOneRepo = largestRepo * COSTS.objectDiskBytes > TARGET_USE * server.diskBytes;
  return `With ${servers} servers, ${name} gives out at ${short(first!.objects)} objects` +
    (isOneRepo ? ": the largest repo alone is too much for one server." : ".");
}

function describe(load: Load, server: Server, found: Plan): string {
  const { outcome, servers, shardsPerServer, isEnough } = found;
  const percent = (use: number) => `${(100 * use).toFixed(0)} %`.padStart(7);
  const lines = [
    `${short(load.objects)} objects in ${short(load.repos)} repos, ${
      short(load.pushesPerSecond)
    } ` +
    `pushes a second of ${load.objectsPerPush} objects of ${short(load.objectBytes)} bytes, ` +
    `${short(load.readsPerSecond)} reads a second:`,
    "",
    isEnough
      ? `${
        servers === 1 ? "1 server" : `${servers} servers`
      } with ${shardsPerServer} shards each, ` +
        `one for the catalog, and ${processesFor(load)} ` +
        `${processesFor(load) === 1 ? "core" : "cores"} for serve and worker.`
      : tooMuch(server, found),
    "",
    "The busiest server uses, at the end:",
    ...RESOURCES.map((name) => `${percent(outcome.use[name])}  ${NAMES[name]}`),
    `${
      percent(outcome.indexInMemory)
    }  of the memory that its index by id gets: above 100 it is read from disk`,
    `${percent(outcome.connections)}  of its connections, if every process uses every shard` +
    (outcome.connections > TARGET_USE ? ": put a pooler before it" : ""),
    "",
    `The fullest server has ${
      outcome.skew.toFixed(2)
    } times the mean; ${outcome.moves} shards were ` +
    `moved for that. The largest repo has ${short(outcome.largestRepo)} objects, on one shard.`,
    `The store takes ${
      (bytesPerSecond(load) / 1e6).toFixed(0)
    } MB/s. At this rate the objects are ` +
    `there after ${
      short(load.objects / load.pushesPerSecond / load.objectsPerPush / 86_400)
    } days.`,
  ];
  return lines.join("\n");
}

function main(): void {
  const program = new Command("plan")
    .description(
      "Simulate the growth of shards on several servers, from measured constants, and say how many\n" +
        `servers it takes that none uses more than ${100 * TARGET_USE} % of anything.`,
    )
    .requiredOption(
      "--objects <n>",
      "objects at the end, once for each repo that has them",
      positive,
    )
    .requiredOption("--pushes-per-second <n>", "pushes a second, all the time", positive)
    .option("--objects-per-push <n>", "new objects of one push", positive, 20)
    .option("--object-bytes <n>", "bytes of one object", positive, 2_000)
    .option("--reads-per-second <n>", "objects read a second; default: 10 for each push", positive)
    .option("--repos <n>", "repos; default: one for 5,000 objects", positive)
    .option("--alpha <n>", "how unequal repos are: the exponent of Pareto's law", positive, 1.1)
    .option("--shards <n>", "shards on each server", positive, 16)
    .option("--no-moves", "never move a shard to another server")
    .option("--servers <n>", "simulate this number, in place of looking for the fewest", positive)
    .option("--cores <n>", "cores of a database server", positive, 16)
    .option("--memory <bytes>", "memory of a database server", positive, 128e9)
    .option("--disk <bytes>", "disk of a database server", positive, 4e12)
    .option("--disk-reads <n>", "random reads of 8 KiB a second", positive, 50_000)
    .option("--wal <bytes>", "WAL a second that a server's disk takes", positive, 400e6)
    .option("--connections <n>", "connections of a database server", positive, 2_000)
    .option("--json", "print the plan as JSON");
  const flags = program.parse(["deno", "plan", ...Deno.args]).opts();
  const load: Load = {
    objects: flags.objects,
    pushesPerSecond: flags.pushesPerSecond,
    objectsPerPush: flags.objectsPerPush,
    objectBytes: flags.objectBytes,
    readsPerSecond: flags.readsPerSecond ?? 10 * flags.pushesPerSecond,
    repos: flags.repos ?? Math.max(1, Math.round(flags.objects / 5_000)),
    alpha: flags.alpha,
  };
  const server: Server = {
    cores: flags.cores,
    memoryBytes: flags.memory,
    diskBytes: flags.disk,
    diskReadsPerSecond: flags.diskReads,
    walBytesPerSecond: flags.wal,
    connections: flags.connections,
  };
  const layout = { shardsPerServer: Math.round(flags.shards), isMoving: flags.moves };
  const found = flags.servers === undefined
    ? plan(load, server, layout)
    : withServers(load, server, { ...layout, servers: Math.round(flags.servers) });
  if (flags.json) {
    const { outcome, ...rest } = found;
    const cores = { processes: processesFor(load), catalog_cores: catalogCores(load) };
    console.log(JSON.stringify({ load, server, costs: COSTS, ...rest, ...cores, ...outcome }));
  } else console.log(describe(load, server, found));
}

function withServers(load: Load, server: Server, layout: Layout): Plan {
  const outcome = simulate(load, server, layout, SEEDS[0]);
  return { ...layout, outcome, isEnough: outcome.first === undefined };
}

if (import.meta.main) main();
