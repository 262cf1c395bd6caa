/**
 * `deno task bench:reads`: what reading through refs and checking costs over bare GETs, on Swift.
 *
 * Both sides are measured in one run, in turns, so that a busy machine slows them alike; what
 * counts are the ratios.
 *
 * @module
 */

import { S3Client as S3LiteClient } from "@bradenmacdonald/s3-lite-client";
import { Command } from "commander";
import { openFolderSink } from "../src/cli/export/folder.ts";
import { openTarSink } from "../src/cli/export/tar.ts";
import { connectDatabase } from "../src/db/client/connect.ts";
import { openEmbedded } from "../src/db/embedded/open_embedded.ts";
import { migrate } from "../src/db/schema/migrate.ts";
import { createRepo } from "../src/db/repos.ts";
import { indexMpack } from "../src/jobs/index/index_mpack.ts";
import { readObject } from "../src/objects/read_object.ts";
import { type ObjectEntry, readObjects } from "../src/objects/read_objects.ts";
import { openS3Store } from "../src/stream/store/s3/s3_store.ts";
import { makeMpack, type MpackShape } from "../scripts/make_mpack.ts";
import { parseSize } from "../scripts/mpack/shape.ts";
import { keyOfPack } from "../tests/support/mpack/pack_key.ts";
import { startSwift } from "../scripts/swift.ts";

const { reads, megabytes, rounds, json } = new Command("bench_reads")
  .option("--reads <n>", "objects read one by one, of each size", Number, 500)
  .option("--megabytes <n>", "size of the pack that is exported", Number, 500)
  .option("--rounds <n>", "how often each object is read, and each export made", Number, 5)
  .option("--json", "print the figures as one JSON document", false)
  .parse(Deno.args, { from: "user" })
  .opts<{ reads: number; megabytes: number; rounds: number; json: boolean }>();

const OBJECT_BYTES = 256 * 1024;
const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
await Deno.chmod(folder, 0o755);
await using resources = new AsyncDisposableStack();
resources.defer(() => Deno.remove(folder, { recursive: true }));
const engine = resources.use(await startSwift());
const server = await openEmbedded({ dataDir: `${folder}/pg` });
resources.defer(() => server.close());

const { endpoint, region, accessKeyId, secretAccessKey } = engine;
const bare = new S3LiteClient({
  endPoint: endpoint,
  region,
  bucket: "bench",
  accessKey: accessKeyId,
  secretKey: secretAccessKey,
});
await bare.makeBucket("bench");
const store = openS3Store({ bucket: "bench", endpoint, region, accessKeyId, secretAccessKey });
const db = connectDatabase(server.url, { maxConnections: 4 });
resources.defer(() => db.close());
await migrate(db);

/** Makes a pack, uploads and indexes it into a repo of its own. */
async function prepare(slug: string, shape: Partial<MpackShape>) {
  const { repo: { repoId } } = await createRepo(db, { owner: "bench", slug });
  const mpackKey = await keyOfPack(makeMpack(shape));
  const blobKey = `mpacks/${repoId}/${mpackKey}`;
  const { sizeBytes } = await store.put(blobKey, makeMpack(shape));
  await indexMpack({ db, store, repoId, mpackKey });
  return { repoId, sizeBytes, blobKey };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** One by one: a bare ranged GET of an object's bytes, then the same object by its id. */
async function benchOne(name: string, shape: Partial<MpackShape>) {
  const { repoId, blobKey } = await prepare(name, shape);
  const rows = await db.sql<{ id: string; at: number; size: number }[]>`
    select object_id as id, content_offset as at, size_bytes as size from musehub_object_refs
    where repo_id = ${repoId} and size_bytes > 0 order by md5(object_id) limit ${reads}`;
  const times = { bare: [] as number[], readObject: [] as number[] };
  const bareGet = async ({ at, size }: typeof rows[0]) => {
    await (await bare.getPartialObject(blobKey, { offset: at, length: size })).arrayBuffer();
  };
  const byId = async ({ id }: typeof rows[0]) => {
    const { stream } = await readObject({ db, store, repoId, objectId: id });
    await new Response(stream).arrayBuffer();
  };
  for (const row of rows.slice(0, 20)) await bareGet(row).then(() => byId(row));
  // The p99 of one round would depend on three reads.
  for (const [i, row] of Array.from({ length: rounds }, () => rows).flat().entries()) {
    // The second reader finds the bytes in a cache.
    const isBareFirst = i % 2 === 0;
    if (isBareFirst) times.bare.push(await timed(() => bareGet(row)));
    times.readObject.push(await timed(() => byId(row)));
    if (!isBareFirst) times.bare.push(await timed(() => bareGet(row)));
  }
  return [["p50", 0.5], ["p99", 0.99]].map(([label, share]) => ({
    what: `${name}, ${label}`,
    bare_ms: percentile(times.bare, share as number),
    ours_ms: percentile(times.readObject, share as number),
  }));
}

/** All at once: a bare GET of the pack, then its export. */
async function benchAll() {
  const objects = Math.round(megabytes * 1e6 / OBJECT_BYTES);
  const shape = { objects, size: parseSize(String(OBJECT_BYTES)), seed: 9 };
  const { repoId, blobKey } = await prepare("export", shape);
  const out = `${folder}/out`;
  const all = () => readObjects({ db, store, repoId });
  const exportTo = async (open: typeof openTarSink) => {
    const sink = await open(out.concat(open === openTarSink ? ".tar" : ""));
    for await (const entry of all()) await sink.write(entry);
    await sink.commit();
  };
  const ways: Record<string, () => Promise<void>> = {
    "bare, dropped": async () => {
      for await (const _chunk of (await bare.getObject(blobKey)).body!);
    },
    "bare, to a file": async () => {
      const file = await Deno.open(out, { write: true, create: true, truncate: true });
      await (await bare.getObject(blobKey)).body!.pipeTo(file.writable);
    },
    "readObjects(), dropped": async () => {
      for await (const entry of all()) await drop(entry);
    },
    "export to a tar": () => exportTo(openTarSink),
    "export to a folder": () => exportTo(openFolderSink),
  };
  const times: Record<string, number[]> = {};
  for (let round = 0; round <= rounds; round++) {
    for (const [name, work] of Object.entries(ways)) {
      const ms = await timed(work);
      // The first round warms up.
      if (round > 0) (times[name] ??= []).push(ms);
      for (const path of [out, `${out}.tar`]) await empty(path, `${folder}/old`);
    }
  }
  const median = (name: string) => percentile(times[name], 0.5);
  const pairs = [
    ["readObjects(), dropped", "bare, dropped"],
    ["export to a tar", "bare, dropped"],
    ["export to a tar", "bare, to a file"],
    ["export to a folder", "bare, dropped"],
    ["export to a folder", "bare, to a file"],
  ];
  return pairs.map(([ours, theirs]) => ({
    what: `${ours} : ${theirs}`,
    bare_ms: median(theirs),
    ours_ms: median(ours),
  }));
}

/**
 * Moves the written files away and truncates them. They are deleted at the end: ext4 does not reuse
 * an inode that was freed lately but looks at each of them, so later exports would take up to twice
 * as long as the first.
 */
async function empty(path: string, to: string): Promise<void> {
  const info = await Deno.stat(path).catch(() => undefined);
  if (info === undefined) return;
  if (info.isFile) await Deno.truncate(path);
  else for await (const { name } of Deno.readDir(path)) await Deno.truncate(`${path}/${name}`);
  await Deno.mkdir(to, { recursive: true });
  await Deno.rename(path, `${to}/${crypto.randomUUID()}`);
}

async function drop(entry: ObjectEntry): Promise<void> {
  if (entry.content === undefined) { for await (const _chunk of entry.chunks()); }
}

const size = (text: string) => ({ size: parseSize(text), seed: 7, objects: Math.max(50, reads) });
const figures = [
  ...await benchOne("objects of 4 KiB", size("4096")),
  ...await benchOne("objects of 256 KiB", size(String(OBJECT_BYTES))),
  ...await benchAll(),
].map((figure) => ({ ...figure, ratio: figure.ours_ms / figure.bare_ms }));

if (json) console.log(JSON.stringify(figures));
else {
  console.log(
    `Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, ` +
      `load ${Deno.loadavg()[0].toFixed(1)}, ${reads} reads, ${megabytes} MB, ${rounds} rounds`,
  );
  console.table(Object.fromEntries(figures.map(({ what, ...row }) => [
    what,
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Number(value.toFixed(2))])),
  ])));
}
