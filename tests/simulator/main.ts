/**
 * The simulator: mpackd among faults, one run for each seed. `deno task simulate --help`.
 *
 * @module
 */

import { Command, InvalidArgumentError, Option } from "commander";
import { type ProfileName, PROFILES, startSimulatorServer } from "./profiles.ts";
import { lineOf, type Report } from "./report.ts";
import type { StoreKind } from "./stores.ts";
import { addUp } from "./tally.ts";

interface Flags {
  readonly profile: ProfileName;
  readonly seed?: number;
  readonly minutes?: number;
  readonly steps: number;
  readonly share: number;
  readonly store: StoreKind;
  readonly json: boolean;
}

/** Connections that are kept open for a next time may come and go between two runs. */
const SPARE_FILES = 20;

const number = (text: string) => {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError("It is not a number of 0 or more.");
  return value;
};

const program = new Command("simulate")
  .description("Run mpackd among faults, and check that nothing is lost, doubled or shown early.")
  .addOption(
    new Option("--profile <name>", "what to run, see below")
      .choices(Object.keys(PROFILES)).default("faults"),
  )
  .option("--seed <n>", "the first seed; the time, if none is given", number)
  .option("--minutes <m>", "go on with the next seeds for so long; else run once", number)
  .option("--steps <n>", "steps of a run: faults, processes", number, 40)
  .option("--share <s>", "1 is full size: all profiles but faults, processes", number, 1)
  .addOption(
    new Option("--store <kind>", "an S3 server in this process, or Swift, where it is installed")
      .choices(["double", "swift"]).default("double"),
  )
  .option("--json", "one JSON document on stdout", false)
  .addHelpText(
    "after",
    `
Profiles:
${Object.entries(PROFILES).map(([name, { what }]) => `  ${name.padEnd(12)} ${what}`).join("\n")}

The seed decides packs, steps, faults and their order. Which call of which worker meets a
fault depends on the machine's timing: repeat a replay if it does not fail at once.`,
  );

async function main(flags: Flags): Promise<boolean> {
  const { profile, steps, share, store } = flags;
  const first = flags.seed ?? Date.now() % 2 ** 32;
  const startedAt = performance.now(), endsAt = startedAt + (flags.minutes ?? 0) * 60_000;
  const total = { runs: 0, facts: {}, faults: {} };
  let failed: Report | undefined, last: Report, mostFiles: number | undefined;
  await using server = await startSimulatorServer();
  do {
    const seed = first + total.runs;
    last = await PROFILES[profile].run({ seed, server, steps, share, store });
    total.runs++;
    addUp(total.facts, last.facts);
    addUp(total.faults, last.faults);
    if (!flags.json) console.error(lineOf(profile, last));
    if (last.problems.length > 0) failed = last;
    const files = openFiles();
    mostFiles ??= files + SPARE_FILES;
    if (files > mostFiles) {
      failed = { ...last, problems: [...last.problems, `${files} files and sockets are open`] };
    }
  } while (failed === undefined && performance.now() < endsAt);
  const minutes = Math.round((performance.now() - startedAt) / 600) / 100;
  const replay = failed && `deno task simulate --profile ${profile} --seed ${failed.seed} ` +
      `--steps ${steps} --share ${share} --store ${store}`;
  if (flags.json) {
    const { seed, problems, events } = failed ?? {};
    const failure = failed && { seed, problems, events, replay };
    console.log(JSON.stringify({ profile, seed: first, minutes, ...total, failure }, null, 2));
  } else {
    if (failed) {
      console.log([...failed.events, "", ...failed.problems.slice(0, 20), ""].join("\n"));
      console.log(`To replay: ${replay}`);
    }
    const seeds = `seeds ${first} to ${first + total.runs - 1}`;
    console.log(`${profile}, ${seeds}, ${minutes} minutes:`, total);
  }
  return failed === undefined;
}

/** Files and sockets of this process. */
function openFiles(): number {
  return Deno.build.os === "linux" ? [...Deno.readDirSync("/proc/self/fd")].length : 0;
}

if (import.meta.main) {
  const flags = program.parse(Deno.args, { from: "user" }).opts<Flags>();
  if (!await main(flags)) Deno.exit(1);
}
