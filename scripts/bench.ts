/**
 * `deno task bench`: how fast mpackd is, as ratios to a limit measured in the same run.
 *
 * The limits: hash-wasm over the same bytes in memory for large objects, and two bare
 * `insert … select` over a ready table on the same server for small ones.
 *
 * @module
 */

import { Command } from "commander";
import { indexMpack } from "../mod.ts";
import type { IndexResult } from "../mod.ts";
import { createSHA256 } from "hash-wasm";
import { openBenchWorld } from "./bench/world.ts";
import type { BenchWorld, Pack } from "./bench/world.ts";

/** One line of the table. */
interface Row {
  readonly what: string;
  readonly ours: string;
  readonly against: string;
  readonly ratio: number;
  readonly aim: string;
}

const MB = 1e6;

/** MB/s of hash-wasm alone, fed from memory in the pipeline's buffer size. */
async function hashSpeed(sizeBytes: number): Promise<number> {
  const hash = await createSHA256();
  const chunk = crypto.getRandomValues(new Uint8Array(65_536));
  const buffer = new Uint8Array(4 * chunk.length);
  for (let at = 0; at < buffer.length; at += chunk.length) buffer.set(chunk, at);
  const startedAt = performance.now();
  for (let done = 0; done < sizeBytes; done += buffer.length) hash.update(buffer);
  hash.digest();
  return sizeBytes / MB / ((performance.now() - startedAt) / 1000);
}

async function timed<T>(work: () => Promise<T>): Promise<{ seconds: number; value: T }> {
  const startedAt = performance.now();
  const value = await work();
  return { seconds: (performance.now() - startedAt) / 1000, value };
}

/** The whole job on a pack that the store has. */
async function indexed(
  world: BenchWorld,
  pack: Pack,
  env: Record<string, string> = {},
): Promise<{ seconds: number; value: IndexResult }> {
  return await timed(() => indexMpack(world.options(pack, env)));
}

/** Seconds of the two inserts with nothing around them, on tables as empty as ours were. */
async function bareInserts(world: BenchWorld, objects: number): Promise<number> {
  const { sql } = world.db;
  await sql.unsafe(`
    create unlogged table bench_ready as
      select object_id, content_offset, size_bytes from musehub_object_refs`);
  await sql.unsafe("analyze bench_ready");
  await world.empty();
  const { seconds } = await timed(async () => {
    await sql.unsafe(`
      insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
      select object_id, 'mpack://sha256:${"0".repeat(64)}', size_bytes, content_offset
      from bench_ready order by object_id collate "C" on conflict do nothing`);
    await sql.unsafe(`
      insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes)
      select '${world.repoId}', object_id, 1, content_offset, size_bytes
      from bench_ready order by object_id collate "C" on conflict do nothing`);
  });
  const [{ rows }] = await sql`select count(*)::int as rows from musehub_object_refs`;
  if (rows !== objects) throw new Error(`The bare inserts wrote ${rows} rows, not ${objects}`);
  await sql.unsafe("drop table bench_ready");
  return seconds;
}

async function largeObjects(world: BenchWorld, sizeBytes: number): Promise<Row[]> {
  const pack = await world.make({ objects: Math.round(sizeBytes / 262_144), size: "256KiB" });
  const before = await hashSpeed(sizeBytes / 2);
  const wasm = await indexed(world, pack);
  const after = await hashSpeed(sizeBytes / 2);
  await world.empty();
  const native = await indexed(world, pack, { MPACK_HASH: "native" });
  await world.empty();
  const limit = (before + after) / 2, ours = pack.sizeBytes / MB / wasm.seconds;
  const fast = pack.sizeBytes / MB / native.seconds;
  const against = `hash-wasm in memory: ${limit.toFixed(0)} MB/s`;
  return [
    {
      what: `${(pack.sizeBytes / MB).toFixed(0)} MB of 256 KiB objects, folder`,
      ours: `${ours.toFixed(0)} MB/s`,
      against,
      ratio: ours / limit,
      aim: "0.95",
    },
    {
      what: "the same, MPACK_HASH=native",
      ours: `${fast.toFixed(0)} MB/s`,
      against,
      ratio: fast / limit,
      aim: "",
    },
  ];
}

async function smallObjects(world: BenchWorld, objects: number): Promise<Row[]> {
  const pack = await world.make({ objects, size: "200" });
  await world.empty();
  const first = await indexed(world, pack);
  const again = await indexed(world, pack);
  const bare = await bareInserts(world, objects);
  await world.empty();
  const rate = (seconds: number) => `${(objects / seconds / 1000).toFixed(0)}k objects/s`;
  return [
    {
      what: `${objects.toLocaleString("en-US")} objects of 200 B, empty tables, whole job`,
      ours: rate(first.seconds),
      against: `two bare inserts: ${rate(bare)}`,
      ratio: bare / first.seconds,
      aim: "0.75",
    },
    {
      what: "the publish statement of that job alone",
      ours: rate(first.value.phases_ms.publish / 1000),
      against: `two bare inserts: ${rate(bare)}`,
      ratio: bare / (first.value.phases_ms.publish / 1000),
      aim: "",
    },
    {
      what: "the same pack again, all known",
      ours: rate(again.seconds),
      against: `the first run: ${rate(first.seconds)}`,
      ratio: first.seconds / again.seconds,
      aim: "2",
    },
  ];
}

async function concurrentJobs(world: BenchWorld, objects: number): Promise<Row[]> {
  const packs: Pack[] = [];
  for (let seed = 11; seed < 16; seed++) {
    packs.push(await world.make({ objects, size: "7000", seed }));
  }
  await world.empty();
  const one = await indexed(world, packs[0]);
  const four = await timed(() =>
    Promise.all(packs.slice(1).map((pack) => indexMpack(world.options(pack))))
  );
  await world.empty();
  const speed = (count: number, seconds: number) =>
    `${(count * packs[0].sizeBytes / MB / seconds).toFixed(0)} MB/s`;
  return [{
    what: `4 jobs at once, ${objects.toLocaleString("en-US")} objects of 7 kB each`,
    ours: speed(4, four.seconds),
    against: `one: ${speed(1, one.seconds)}`,
    ratio: 4 * one.seconds / four.seconds,
    aim: "1.3",
  }];
}

const program = new Command("bench")
  .description("How fast mpackd is, as ratios to limits measured in the same run.")
  .option("--quick", "an eighth of the data")
  .option("--json", "print the rows as one JSON document")
  .parse();
const flags = program.opts<{ quick?: boolean; json?: boolean }>();
const share = flags.quick ? 1 / 8 : 1;

await using world = await openBenchWorld();
const rows = [
  ...await largeObjects(world, share * 2 * 1024 ** 3),
  ...await smallObjects(world, share * 1_000_000),
  ...await concurrentJobs(world, share * 40_000),
];
const machine = `${navigator.hardwareConcurrency} cores, load average ${
  Deno.loadavg().map((load) => load.toFixed(1)).join(" ")
}, Deno ${Deno.version.deno}, PostgreSQL ${world.version}`;
if (flags.json) console.log(JSON.stringify({ machine, rows }));
else {
  console.log(machine);
  console.log("\n| what | mpackd | against | ratio | aim |\n| --- | --- | --- | --- | --- |");
  for (const { what, ours, against, ratio, aim } of rows) {
    console.log(`| ${what} | ${ours} | ${against} | ${ratio.toFixed(2)} | ${aim} |`);
  }
}
