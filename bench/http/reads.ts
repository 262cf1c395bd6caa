/**
 * Small requests under load: objects read, looked up, known already; uploads presigned.
 *
 * @module
 */

import { parseSize } from "../../scripts/mpack/shape.ts";
import type { Part, Row } from "../index/row.ts";
import { count, MB } from "../index/measure.ts";
import { type HttpBench, inTurns } from "./contest.ts";
import type { Server } from "./servers.ts";
import { heads } from "./heads.ts";
import { type Load, wrk } from "./wrk.ts";

const OBJECTS = 2_000;
const LARGE_OBJECTS = 200;

/** Lua that asks for one of these objects at random. */
export function anyOf(path: string, ids: readonly string[], head = ""): string {
  return `${head}
ids = { ${ids.map((id) => JSON.stringify(id)).join(", ")} }
function request()
  local id = ids[math.random(#ids)]
  return wrk.format(nil, "${path}" .. id)
end`;
}

/** The ids of the repo's objects of one size, the empty one left out. */
export async function idsOf({ resources }: HttpBench, sizeBytes: number): Promise<string[]> {
  const rows = await resources.db.sql<{ id: string }[]>`
    select object_id as id from musehub_object_refs
    where repo_id = ${resources.repoId} and size_bytes = ${sizeBytes}`;
  return rows.map(({ id }) => id);
}

/** Makes a pack of objects of one size and indexes it. */
export async function indexed({ resources }: HttpBench, sizeBytes: number, objects: number) {
  const shape = { objects, size: parseSize(String(sizeBytes)), seed: sizeBytes };
  const pack = await resources.make(shape);
  await resources.index(pack);
  await resources.db.sql.unsafe("vacuum analyze");
  return pack;
}

/** Objects of 4 KiB and 1 MiB, HEAD, 304 and presign, from the folder store. */
export async function reads(bench: HttpBench): Promise<Part> {
  const { api, authorization } = bench;
  const authorized = `wrk.headers["Authorization"] = ${JSON.stringify(authorization)}`;
  const small = await indexed(bench, 4096, OBJECTS), ids = await idsOf(bench, 4096);
  await using bare = await bench.bare(small);
  const load = (server: Server, script: string) => async () => {
    const before = await server.cpuSeconds(), figures = await wrk(server.url, { ...bench, script });
    const cpu = await server.cpuSeconds() - before;
    return { ...figures, cpuMicros: cpu * 1e6 / (figures.perSecond * bench.seconds) };
  };
  const duel = (script: string, theirs: string) =>
    inTurns(bench.rounds, load(api, script), load(bare, theirs));
  const objects = anyOf("/bench/bench/objects/", ids, authorized);
  const lookups = anyOf("/lookup/", ids), rows: Row[] = [];

  const read = await duel(objects, anyOf("/object/", ids));
  rows.push(
    rateRow("GET an object of 4 KiB", "one lookup, one positioned read", read, 0.6),
    {
      what: "… its p99",
      ours: `${read.ours.p99Ms.toFixed(1)} ms`,
      against: `the same: ${read.theirs.p99Ms.toFixed(1)} ms`,
      value: read.ours.p99Ms / read.theirs.p99Ms,
      aim: { atMost: 2 },
    },
    cpuRow(read),
  );
  const lookup = "one lookup";
  const paths = (root: string) => ids.map((id) => `${root}${id}`);
  const head = await inTurns<Load & Record<string, number>>(
    bench.rounds,
    async () => ({
      ...await heads(api.url, paths("/bench/bench/objects/"), authorization, bench),
    }),
    async () => ({ ...await heads(bare.url, paths("/lookup/"), authorization, bench) }),
  );
  rows.push(rateRow("HEAD of an object", lookup, head, 0.5));
  const known = anyOf(
    "/bench/bench/objects/",
    ids,
    `${authorized}\nwrk.headers["If-None-Match"] = "*"`,
  );
  rows.push(rateRow("GET answered 304", lookup, await duel(known, lookups), 0.5));
  const presign = `${authorized}
wrk.method = "POST"
wrk.path = "/bench/bench/push/mpack-presign"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"mpack_key":"sha256:${"ab".repeat(32)}","size_bytes":5}'`;
  const presigned = await duel(presign, lookups);
  rows.push(rateRow("POST mpack-presign", lookup, presigned, 0.5), cpuRow(presigned));

  const large = await indexed(bench, 1024 * 1024, LARGE_OBJECTS);
  const largeIds = await idsOf(bench, 1024 * 1024);
  await using bareLarge = await bench.bare(large);
  const bytes = await inTurns(
    bench.rounds,
    load(api, anyOf("/bench/bench/objects/", largeIds, authorized)),
    load(bareLarge, anyOf("/object/", largeIds)),
  );
  rows.push({
    what: "GET an object of 1 MiB",
    ours: `${count(bytes.ours.bytesPerSecond / MB)} MB/s`,
    against: `one lookup, one positioned read: ${count(bytes.theirs.bytesPerSecond / MB)} MB/s`,
    value: bytes.ours.bytesPerSecond / bytes.theirs.bytesPerSecond,
    aim: { atLeast: 0.8 },
  });
  return { name: "reads", rows };
}

/** A row of requests a second. */
function rateRow(
  what: string,
  against: string,
  { ours, theirs }: { ours: { perSecond: number }; theirs: { perSecond: number } },
  atLeast: number,
): Row {
  return {
    what,
    ours: `${count(ours.perSecond)}/s`,
    against: `${against}: ${count(theirs.perSecond)}/s`,
    value: ours.perSecond / theirs.perSecond,
    aim: { atLeast },
  };
}

/** The server's processor time for each request: other programs change it less than the rate. */
function cpuRow(
  { ours, theirs }: { ours: { cpuMicros: number }; theirs: { cpuMicros: number } },
): Row {
  return {
    what: "… the server's processor time for each",
    ours: `${count(ours.cpuMicros)} µs`,
    against: `the same: ${count(theirs.cpuMicros)} µs`,
    value: theirs.cpuMicros / ours.cpuMicros,
  };
}
