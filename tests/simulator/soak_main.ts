/**
 * Thousands of jobs through one worker, and whether it holds more at the end than at the beginning:
 * `deno task soak`, `--help` for how much. Linux only.
 *
 * @module
 */

import { cpus, loadavg } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { parseBytes } from "../../scripts/mpack/shape.ts";
import { type Slice, soak, together } from "./soak.ts";

const count = (text: string) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError("It is not a count.");
  }
  return value;
};

const flags = new Command("soak")
  .option("--small <n>", "packs of ten objects", count, 10_000)
  .option("--large <n>", "large packs", count, 20)
  .option("--bytes <size>", "the length of a large one", parseBytes, parseBytes("256MiB"))
  .option("--slices <n>", "how many slices of time to compare", count, 20)
  .parse(Deno.args, { from: "user" })
  .opts<{ small: number; large: number; bytes: number; slices: number }>();

const row = (slice: Slice) =>
  Object.fromEntries(
    Object.entries(slice).map(([name, value]) => [name, Number(value.toFixed(1))]),
  );

const slices = await soak({
  smallJobs: flags.small,
  largeJobs: flags.large,
  largeBytes: flags.bytes,
  slices: flags.slices,
  onSlice: (slice) => console.log(JSON.stringify(row(slice))),
});
console.table(slices.map(row));
const quarter = Math.max(1, slices.length >> 2);
const first = together(slices.slice(0, quarter)), last = together(slices.slice(-quarter));
console.table({ "first quarter": row(first), "last quarter": row(last) });
const load = loadavg().map((n) => n.toFixed(1)).join(" ");
console.log(`Deno ${Deno.version.deno}, ${cpus().length} cores, load average ${load}`);
