/**
 * Small worlds full of faults, one for each seed: `deno task simulate --help`.
 *
 * @module
 */

import { Command, InvalidArgumentError, Option } from "commander";
import { type EpisodeReport, runEpisode } from "./episode.ts";
import type { StoreKind } from "./stores.ts";
import { addUp } from "./tally.ts";
import type { ServerSettings } from "../../src/db/embedded/server.ts";
import { startTestServer } from "../support/postgres/test_server.ts";

interface Flags {
  readonly seed?: number;
  readonly minutes?: number;
  readonly steps: number;
  readonly store: StoreKind;
  readonly processes: boolean;
  readonly json: boolean;
}

/**
 * A commit that was acknowledged survives an immediate restart, and a deadlock is found before a
 * statement's deadline.
 */
export const SERVER_SETTINGS: ServerSettings = {
  synchronous_commit: "on",
  deadlock_timeout: "50ms",
};

/** Connections that are kept open for a next time may come and go between two worlds. */
const SPARE_FILES = 20;

const number = (text: string) => {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError("It is not a number of 0 or more.");
  return value;
};

const program = new Command("simulate")
  .description(
    "Run small worlds of producers, workers, a store and a database, with faults from a seed.",
  )
  .option("--seed <n>", "the first world's seed; the time, if none is given", number)
  .option("--minutes <m>", "go on with the next seeds for so long; else one world", number)
  .option("--steps <n>", "steps per world", number, 40)
  .addOption(
    new Option("--store <kind>", "an S3 server in this process, or Swift, where it is installed")
      .choices(["double", "swift"]).default("double"),
  )
  .option("--processes", "workers are processes, with real SIGKILL and SIGSTOP", false)
  .option("--json", "one JSON document on stdout", false)
  .addHelpText(
    "after",
    "\nThe seed decides packs, steps, faults and their order. Which call of which worker meets a" +
      "\nfault depends on the machine's timing: repeat a replay if it does not fail at once.",
  );

async function main(flags: Flags): Promise<boolean> {
  const first = flags.seed ?? Date.now() % 2 ** 32, { steps, store, processes } = flags;
  const startedAt = performance.now(), endsAt = startedAt + (flags.minutes ?? 0) * 60_000;
  const total = { worlds: 0, steps: 0, jobs: 0, ends: {}, faults: {} };
  let failed: EpisodeReport | undefined, mostFiles: number | undefined;
  await using server = await startTestServer({ settings: SERVER_SETTINGS });
  do {
    const seed = first + total.worlds;
    const report = await runEpisode({ seed, server, steps, store, processes });
    total.worlds++;
    total.steps += report.steps;
    total.jobs += report.jobs;
    addUp(total.ends, report.ends);
    addUp(total.faults, report.faults);
    if (!flags.json) console.error(lineOf(report));
    if (report.problems.length > 0) failed = report;
    const files = openFiles();
    mostFiles ??= files + SPARE_FILES;
    if (files > mostFiles) {
      failed = { ...report, problems: [...report.problems, `${files} files and sockets are open`] };
    }
  } while (failed === undefined && performance.now() < endsAt);
  const minutes = Math.round((performance.now() - startedAt) / 600) / 100;
  const replay = failed && [
    `deno task simulate --seed ${failed.seed} --steps ${steps} --store ${store}`,
    ...(processes ? ["--processes"] : []),
  ].join(" ");
  if (flags.json) {
    const { seed, problems, events } = failed ?? {};
    const failure = failed && { seed, problems, events, replay };
    console.log(JSON.stringify({ seed: first, minutes, ...total, failure }, null, 2));
  } else {
    if (failed) {
      console.log([...failed.events, "", ...failed.problems.slice(0, 20), ""].join("\n"));
      console.log(`To replay: ${replay}`);
    }
    console.log(`seeds ${first} to ${first + total.worlds - 1}, ${minutes} minutes:`, total);
  }
  return failed === undefined;
}

/** Files and sockets of this process. */
function openFiles(): number {
  return Deno.build.os === "linux" ? [...Deno.readDirSync("/proc/self/fd")].length : 0;
}

/** One line for one world. */
export function lineOf({ seed, steps, jobs, faults, elapsedMs, problems }: EpisodeReport): string {
  const count = Object.values(faults).reduce((sum, times) => sum + times, 0);
  const end = problems.length === 0 ? "well" : `${problems.length} PROBLEMS`;
  const seconds = (elapsedMs / 1000).toFixed(1);
  return `seed ${seed}: ${steps} steps, ${jobs} jobs, ${count} faults, ${seconds} s: ${end}`;
}

if (import.meta.main) {
  const flags = program.parse(Deno.args, { from: "user" }).opts<Flags>();
  if (!await main(flags)) Deno.exit(1);
}
