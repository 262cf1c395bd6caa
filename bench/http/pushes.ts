/**
 * Packs pushed in one request each, and `index FILE`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { concat } from "../../tests/support/mpack/mpacks.ts";
import { Bench } from "../jobs/measure.ts";
import { runPacks } from "../jobs/packs.ts";
import { count, MB, timed } from "../index/measure.ts";
import { runMain, runProcess } from "../index/process.ts";
import type { Pack } from "../index/resources.ts";
import type { Part } from "../index/row.ts";
import { type HttpBench, inTurns } from "./contest.ts";

const LARGE_OBJECTS = 4_096;
const SMALL_OBJECTS = 200_000;
const PACKS = 4_000, CLIENTS = 64;

/** 1 GiB of 256 KiB objects through push/stream, beside a server that stores and hashes the body. */
export async function largePush(bench: HttpBench): Promise<Part> {
  const { resources, api } = bench;
  const objects = Math.round(bench.share * LARGE_OBJECTS);
  const pack = await resources.make({ objects, size: parseSize("256KiB"), seed: 3 });
  const path = await moved(bench, pack);
  await using bare = await bench.bare(pack);
  const measured = async (server: typeof api, work: () => Promise<unknown>) => {
    const before = await server.cpuSeconds();
    const { seconds } = await timed(work);
    return { seconds, cpu: await server.cpuSeconds() - before };
  };
  const { ours, theirs } = await inTurns(
    bench.rounds,
    async () => {
      await forgotten(bench, pack);
      return await measured(api, () => push(bench, path, pack.mpackKey));
    },
    async () => {
      await forgotten(bench, pack);
      return await measured(bare, () => upload(path, `${bare.url}/upload/body`));
    },
  );
  const speed = (seconds: number) => pack.sizeBytes / MB / seconds;
  return {
    name: "push",
    rows: [{
      what: `push/stream, ${count(pack.sizeBytes / MB)} MB of 256 KiB objects`,
      ours: `${count(speed(ours.seconds))} MB/s`,
      against: `stored and hashed, nothing else: ${count(speed(theirs.seconds))} MB/s`,
      value: theirs.seconds / ours.seconds,
      aim: { atLeast: 0.85 },
    }, {
      what: "… the server's processor time",
      ours: `${ours.cpu.toFixed(1)} s`,
      against: `the same: ${theirs.cpu.toFixed(1)} s`,
      value: theirs.cpu / ours.cpu,
      aim: { atLeast: 0.85 },
    }],
  };
}

/** 200,000 objects of 2 KB: pushed, indexed as a file, and by key when the store has it. */
export async function smallPush(bench: HttpBench): Promise<Part> {
  const { resources } = bench;
  const objects = Math.round(bench.share * SMALL_OBJECTS);
  const pack = await resources.make({ objects, size: parseSize("2000"), seed: 4 });
  const path = await moved(bench, pack);
  const index = async (source: string) => {
    const args = ["index", source, "--repo", "bench/bench", "--json"];
    return { seconds: (await runMain(args, resources.env, false)).seconds };
  };
  const fresh = async (isStored: boolean) => {
    await resources.empty();
    if (isStored) await Deno.copyFile(path, pack.path);
    else await Deno.remove(pack.path).catch(() => {});
    // Both find the pages in memory, and the disk at rest.
    await runProcess("sync", [], { isMeasured: false });
  };
  const byKey = async () => {
    await fresh(true);
    return await index(pack.mpackKey);
  };
  const pushed = await inTurns(bench.rounds, async () => {
    await fresh(false);
    return { seconds: (await timed(() => push(bench, path, pack.mpackKey))).seconds };
  }, byKey);
  const file = await inTurns(bench.rounds, async () => {
    await fresh(false);
    return await index(path);
  }, byKey);
  const row = (what: string, { ours, theirs }: typeof file, atMost: number) => ({
    what: `${what}, ${count(objects)} objects of 2 KB`,
    ours: `${ours.seconds.toFixed(1)} s`,
    against: `index KEY: ${theirs.seconds.toFixed(1)} s`,
    value: ours.seconds / theirs.seconds,
    aim: { atMost },
  });
  return {
    name: "index",
    rows: [row("push/stream", pushed, 1.2), row("index FILE", file, 1.25)],
  };
}

/** Packs of 20 objects from 64 clients, beside the same as jobs of one worker. */
export async function smallPacks(bench: HttpBench): Promise<Part> {
  const { resources, api, authorization } = bench, packs = Math.round(bench.share * PACKS);
  const jobs = new Bench(resources.env.DATABASE_URL);
  const { perSecond: byJob } = await runPacks(await jobs.database(), {
    packs,
    concurrency: CLIENTS,
  });
  await jobs.close();
  const bodies = await Array.fromAsync({ length: packs }, async (_, i) => {
    const size = { kind: "range", minBytes: 16, maxBytes: 2_000 } as const;
    const shape = { objects: 20, size, seed: 1_000_000 + i, commits: 1, snapshots: 1 };
    const body = concat(await Array.fromAsync(makeMpack(shape), (chunk) => chunk.slice()));
    const key = `sha256:${createHash("sha256").update(body).digest("hex")}`;
    return { body: body as Uint8Array<ArrayBuffer>, key };
  });
  let next = 0;
  const client = async () => {
    for (let i = next++; i < packs; i = next++) {
      const { body, key } = bodies[i];
      const response = await fetch(`${api.url}/bench/bench/push/stream`, {
        method: "POST",
        headers: { authorization, "x-mpack-key": key },
        body,
      });
      if (!response.ok) throw new Error(await response.text());
      await response.body!.cancel();
    }
  };
  const { seconds } = await timed(() => Promise.all(Array.from({ length: CLIENTS }, client)));
  return {
    name: "packs",
    rows: [{
      what: `push/stream, ${count(packs)} packs of 20 objects, ${CLIENTS} clients`,
      ours: `${count(packs / seconds)} packs/s`,
      against: `jobs of one worker: ${count(byJob)} packs/s`,
      value: packs / seconds / byJob,
      aim: { atLeast: 0.5 },
    }],
  };
}

/** Takes a pack out of the store: a push brings it. */
async function moved({ resources }: HttpBench, pack: Pack): Promise<string> {
  const path = `${resources.folder}/${pack.mpackKey}`;
  await Deno.rename(pack.path, path);
  // `bare()` opens a pack where it was made.
  await Deno.copyFile(path, pack.path);
  return path;
}

/**
 * Both sides write a new file, into pages of memory that were in use a moment ago: pages that a virtual
 * machine has given back to its host take ten times as long to fill, and either side could get them.
 */
async function forgotten({ resources: { folder, empty } }: HttpBench, pack: Pack): Promise<void> {
  await empty();
  for (const path of [pack.path, `${folder}/body`]) await Deno.remove(path).catch(() => {});
  const warm = `${folder}/warm`;
  await Deno.copyFile(`${folder}/${pack.mpackKey}`, warm);
  await runProcess("sync", [], { isMeasured: false });
  await Deno.remove(warm);
}

function push({ api, authorization }: HttpBench, path: string, key: string): Promise<void> {
  const url = `${api.url}/bench/bench/push/stream`;
  return upload(path, url, [`Authorization: ${authorization}`, `X-Mpack-Key: ${key}`]);
}

/** POSTs a file by curl, whose processor time is small. */
async function upload(path: string, url: string, headers: readonly string[] = []): Promise<void> {
  const fields = headers.flatMap((header) => ["--header", header]);
  await runProcess("curl", [
    ...["--silent", "--show-error", "--fail-with-body", "--request", "POST"],
    ...["--header", "Expect:", "--header", "Content-Type: application/octet-stream", ...fields],
    ...["--upload-file", path, url],
  ], { isMeasured: false });
}
