/**
 * Searches for packs on which the decoder and the oracle disagree: `deno task fuzz --help`.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { acceptedHistories, refusedHistories } from "../support/mpack/history_rules.ts";
import { check } from "./check.ts";
import { readCase, readCorpus, writeCase } from "./files.ts";
import { fuzz, type FuzzReport } from "./run.ts";

const CORPUS = fileURLToPath(new URL("../corpus/", import.meta.url));
/** Where failures are kept. */
export const FINDS = `${CORPUS}fuzz`;

/** The packs every run begins with: the small ones first, for what fails there is soon minimised. */
export function ownCorpus(): Uint8Array[] {
  const records = [...acceptedHistories(), ...refusedHistories()].map(({ pack }) => pack);
  const packs = [
    ...readCorpus(`${CORPUS}samples`),
    ...readCorpus(`${CORPUS}malicious`),
    ...records.filter(({ length }) => length < 1000),
  ];
  return packs.sort((a, b) => a.length - b.length);
}

const number = (text: string) => {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError("It is not a number of 0 or more.");
  return value;
};

const program = new Command("fuzz")
  .description("Search for packs on which the decoder and a whole-document reader disagree.")
  .option("--seed <n>", "where the random numbers begin; the time, if none is given", number)
  .option("--minutes <m>", "how long to search", number, 1)
  .option("--corpus <dir>", "more packs to begin with; large ones are thinned out")
  .option("--replay <file>", "run one failure again, from its .json, and say what it does");

function search(flags: { seed?: number; minutes: number; corpus?: string }): FuzzReport {
  const seed = flags.seed ?? Date.now() % 2 ** 32;
  const corpus = [...ownCorpus(), ...(flags.corpus ? readCorpus(flags.corpus) : [])];
  const startedAt = performance.now(), endsAt = startedAt + flags.minutes * 60_000;
  const report = fuzz({ seed, corpus, isOver: () => performance.now() >= endsAt });
  const seconds = (performance.now() - startedAt) / 1000;
  const { executions, features, pool } = report;
  console.log(
    `seed ${seed}: ${executions} executions in ${seconds.toFixed(0)} s, ` +
      `${features} behaviours, ${pool} packs in the pool`,
  );
  return report;
}

if (import.meta.main) {
  const flags = program.parse(Deno.args, { from: "user" })
    .opts<{ seed?: number; minutes: number; corpus?: string; replay?: string }>();
  if (flags.replay) {
    const { problem } = check(readCase(flags.replay));
    console.log(problem ?? "The decoder and the oracle agree.");
    if (problem) Deno.exit(1);
  } else {
    const { find } = search(flags);
    if (find) {
      const path = writeCase(FINDS, find.input, find.problem);
      console.log(`${find.problem}\n\nTo replay: deno task fuzz --replay ${path}`);
      Deno.exit(1);
    }
  }
}
