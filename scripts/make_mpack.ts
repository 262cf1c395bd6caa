/**
 * Makes sample mpacks: `deno run -A scripts/make_mpack.ts --help`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Command, InvalidArgumentError } from "commander";
import { makeMpack } from "./mpack/generate.ts";
import {
  type MpackShape,
  parseBytes,
  parseSections,
  parseSize,
  type Section,
  shapeOf,
  type SizeSpec,
} from "./mpack/shape.ts";

export { makeMpack } from "./mpack/generate.ts";
export type { MpackShape, Section, SizeSpec } from "./mpack/shape.ts";

interface Flags extends Omit<MpackShape, "hugeBytes" | "sections" | "sorted"> {
  readonly huge: number;
  readonly unsorted: boolean;
  readonly sections?: Section[];
  readonly out: string;
}

const argument = <T>(parse: (text: string) => T) => (text: string): T => {
  try {
    return parse(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
};
const sizeSpec: (text: string) => SizeSpec = argument(parseSize);

const program = new Command("make_mpack")
  .description("Write an mpack of any shape as a stream; the same options give the same bytes.")
  .requiredOption("--out <file>", "where to write; - is stdout")
  .option("--objects <n>", "objects, the empty and the huge one included", Number, 1000)
  .option("--known <n>", "objects that manifests name but the pack does not hold", Number, 0)
  .option(
    "--size <spec>",
    "BYTES, MIN..MAX or lognormal[:MEDIAN]",
    sizeSpec,
    parseSize("lognormal"),
  )
  .option("--huge <bytes>", "one object of this size, in the middle", argument(parseBytes), 0)
  .option("--no-empty", "leave the empty object out")
  .option("--commits <n>", "commits in one line of history", Number, 10)
  .option("--snapshots <n>", "snapshots", Number, 10)
  .option("--paths <n>", "paths per manifest at most", Number, 500)
  .option("--shuffled", "paths of manifests in no order, in place of sorted", false)
  .option("--tags <n>", "tags", Number, 0)
  .option("--seed <n>", "chooses the contents", Number, 1)
  .option("--bare", "bare hex ids, as older clients write them", false)
  .option("--unsorted", "objects as they are made, in place of sorted by id", false)
  .option(
    "--sections <list>",
    "order in the file, of commits,snapshots,objects,tags,branch_heads",
    argument(parseSections),
  )
  .addHelpText("after", "\nSizes may end in KiB, MiB or GiB. A JSON line on stderr tells the key.");

async function main(): Promise<void> {
  const { huge, sections, unsorted, out, ...rest } = program.parse(Deno.args, { from: "user" })
    .opts<Flags>();
  const shape = shapeOf({
    ...rest,
    sorted: !unsorted,
    hugeBytes: huge,
    ...(sections ? { sections } : {}),
  });
  using file = out === "-" ? undefined : await Deno.open(out, {
    write: true,
    create: true,
    truncate: true,
  });
  const sink = file ?? Deno.stdout;
  const startMs = performance.now();
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of makeMpack(shape)) {
    hash.update(chunk);
    for (let at = 0; at < chunk.length;) at += await sink.write(chunk.subarray(at));
    sizeBytes += chunk.length;
  }
  const has = (section: Section) => shape.sections.includes(section);
  console.error(JSON.stringify({
    mpack_key: `sha256:${hash.digest("hex")}`,
    size_bytes: sizeBytes,
    commits: has("commits") ? shape.commits : 0,
    snapshots: has("snapshots") ? shape.snapshots : 0,
    objects: has("objects") ? shape.objects : 0,
    tags: has("tags") ? shape.tags : 0,
    seconds: Math.round(performance.now() - startMs) / 1000,
  }));
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(`error: ${error.message}`);
    Deno.exit(2);
  }
}
