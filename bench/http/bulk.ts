/**
 * Requests that name many objects: which are missing, and all of them as one pack.
 *
 * @module
 */

import { parseSize } from "../../scripts/mpack/shape.ts";
import { MB, median, timed } from "../index/measure.ts";
import type { Part } from "../index/row.ts";
import { type HttpBench, inTurns } from "./contest.ts";
import { idsOf, indexed } from "./reads.ts";

const FILTER_IDS = 50_000;
const READ_OBJECTS = 2_000;
/** Such requests take a tenth of a second. */
const TIMES = 5;

/** filter-objects of 50,000 ids, half known; POST objects of 2,000 times 4 KiB. */
export async function bulk(bench: HttpBench): Promise<Part> {
  const { resources, api, authorization } = bench, { repoId } = resources;
  const post = async (route: string, ids: readonly string[]) => {
    const response = await fetch(`${api.url}/bench/bench/${route}`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({ object_ids: ids }),
    });
    const bytes = await response.bytes();
    if (!response.ok) throw new Error(new TextDecoder().decode(bytes));
    return bytes;
  };
  const known = Math.round(bench.share * FILTER_IDS / 2);
  const shape = { objects: known, size: parseSize("200"), seed: 8, empty: false };
  await resources.index(await resources.make(shape));
  await resources.db.sql.unsafe("vacuum analyze");
  const unknown = Array.from(
    { length: known },
    (_, i) => `sha256:${i.toString(16).padStart(64, "0")}`,
  );
  const ids = (await idsOf(bench, 200)).flatMap((id, i) => [id, unknown[i]]);
  const statement = `\\timing on
select object_id from musehub_object_refs where repo_id = '${repoId}'
  and object_id = any('{${ids.join(",")}}'::text[]) and damaged_at is null;\n`;
  const path = `${resources.folder}/filter.sql`;
  await Deno.writeTextFile(path, statement.repeat(TIMES));
  const filter = await inTurns(
    bench.rounds,
    async () => ({ ms: await ownMs(() => post("filter-objects", ids)) }),
    async () => ({ ms: await psqlMs(resources.env.DATABASE_URL, path) }),
  );

  const pack = await indexed(bench, 4096, READ_OBJECTS + 1);
  const objects = (await idsOf(bench, 4096)).slice(0, READ_OBJECTS);
  await Deno.writeFile(`${resources.folder}/answer`, await post("objects", objects));
  await using bare = await bench.bare(pack);
  const read = await inTurns(
    bench.rounds,
    async () => ({ ms: await ownMs(() => post("objects", objects)) }),
    async () => ({
      ms: await ownMs(async () => await (await fetch(`${bare.url}/file/answer`)).bytes()),
    }),
  );
  const speed = (ms: number) => objects.length * 4096 / MB / (ms / 1000);
  return {
    name: "bulk",
    rows: [{
      what: `filter-objects, ${ids.length} ids, half known`,
      ours: `${filter.ours.ms.toFixed(0)} ms`,
      against: `its statement, by psql: ${filter.theirs.ms.toFixed(0)} ms`,
      value: filter.ours.ms / filter.theirs.ms,
      aim: { atMost: 1.5 },
    }, {
      what: `POST objects, ${objects.length} of 4 KiB`,
      ours: `${speed(read.ours.ms).toFixed(0)} MB/s`,
      against: `the same bytes as a file: ${speed(read.theirs.ms).toFixed(0)} MB/s`,
      value: read.theirs.ms / read.ours.ms,
      aim: { atLeast: 0.5 },
    }],
  };
}

async function ownMs(work: () => Promise<unknown>): Promise<number> {
  const figures: number[] = [];
  for (let i = 0; i < TIMES; i++) figures.push((await timed(work)).seconds * 1000);
  return median(figures);
}

async function psqlMs(url: string, path: string): Promise<number> {
  const { stdout, stderr, code } = await new Deno.Command("psql", {
    args: ["--no-psqlrc", "--quiet", "--file", path, url],
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).matchAll(/^Time: ([\d.]+) ms/gm);
  return median(Array.from(lines, ([, ms]) => Number(ms)));
}
