/**
 * `deno task demo`: makes an mpack of 1,000 objects, indexes it on the embedded database, and shows
 * the rows. With `MPACKD=path` a program made by `deno task compile` does the indexing.
 *
 * @module
 */

import { openDatabase } from "../src/cli/resources.ts";
import { configFromEnv } from "../src/config/config_from_env.ts";
import { runProgram } from "../src/cli/program.ts";
import { makeMpack } from "./make_mpack.ts";
import { parseSize } from "./mpack/shape.ts";

const OBJECTS = 1000;
const REPO = "demo/engine";

const config = configFromEnv();
await Deno.mkdir(config.home, { recursive: true });
const path = `${config.home}/demo.mpack`;

console.log(`Making ${path}: an mpack of ${OBJECTS} objects`);
await Deno.writeFile(
  path,
  ReadableStream.from(makeMpack({ objects: OBJECTS, size: parseSize("lognormal"), seed: 1 })),
);

const program = Deno.env.get("MPACKD");
const args = ["index", path, "--repo", REPO, "--create"];
console.log(`\n$ ${program ?? "mpackd"} ${args.join(" ")}\n`);
const exitCode = program === undefined
  ? await runProgram(args)
  : (await new Deno.Command(program, { args }).spawn().status).code;
if (exitCode !== 0) Deno.exit(exitCode);

await using opened = await openDatabase(config);
const rows = await opened.db.sql`
  select r.object_id, r.content_offset, r.size_bytes, p.mpack_key, p.blob_key
  from musehub_object_refs r
  join musehub_mpacks p using (mpack_id)
  join musehub_repos o on o.repo_id = r.repo_id
  where o.owner || '/' || o.slug = ${REPO}
  order by r.content_offset limit 5`;
console.log("\nThe first rows of musehub_object_refs:\n");
console.table(
  rows.map(({ object_id, content_offset, size_bytes }) => ({
    object_id: `${object_id.slice(0, 19)}…`,
    content_offset,
    size_bytes,
  })),
);
const [first] = rows;
console.log(`An object lies where its ref says:

  object   ${first.object_id}
  in       mpack://${first.mpack_key}
  at       bytes ${first.content_offset} to ${first.content_offset + first.size_bytes - 1}
  blob     ${first.blob_key}

Run it again: nothing new will be written. \`mpackd --help\` shows the rest.`);
