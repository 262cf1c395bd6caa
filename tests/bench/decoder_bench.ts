/**
 * The decoder beside its peers, on the same objects: `deno bench -A tests/bench/decoder_bench.ts`.
 *
 * Only ours checks the grammar and duplicate keys; the peers build values, or (the CAR) read
 * another format. Chunks of one byte are fed
 * of the smallest pack only.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { CarIndexer } from "@ipld/car/indexer";
import { CarWriter } from "@ipld/car/writer";
import { decode, decodeAsync } from "@msgpack/msgpack";
import { unpack } from "msgpackr";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { create } from "multiformats/hashes/digest";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { MpackDecoder } from "../../src/stream/mpack_decoder.ts";
import { concat } from "../support/mpacks.ts";
import { readWhole } from "../support/whole_document.ts";

const KIB = 1024, MIB = 1024 * KIB;
const SHA2_256 = 0x12;
const SHARED = new URL("../../../shared/corpus/", import.meta.url);
const SAMPLES = new URL("../corpus/samples/", import.meta.url);

interface Contender {
  readonly name: string;
  readonly pack: Uint8Array;
  readonly car: Uint8Array;
}

async function generate(objects: number, sizeBytes: number): Promise<Uint8Array> {
  const size = { kind: "range", minBytes: sizeBytes, maxBytes: sizeBytes } as const;
  const shape: Partial<MpackShape> = { objects, size, commits: 1, snapshots: 1, paths: 1 };
  const chunks = [];
  for await (const chunk of makeMpack(shape)) chunks.push(chunk.slice());
  return concat(chunks);
}

/** A CAR with the pack's contents under CIDs made of its ids. */
async function carOf(pack: Uint8Array): Promise<Uint8Array> {
  const verdict = readWhole(pack);
  if (!verdict.accepted) throw new RangeError(`Cannot write a CAR: ${verdict.code}`);
  const { writer, out } = CarWriter.create([]);
  const chunks: Uint8Array[] = [];
  const collected = (async () => {
    for await (const chunk of out) chunks.push(chunk);
  })();
  for (const { objectId, contentOffset, sizeBytes } of verdict.rows) {
    const digest = create(SHA2_256, Uint8Array.fromHex(objectId.slice(-64)));
    const bytes = pack.subarray(contentOffset, contentOffset + sizeBytes);
    await writer.put({ cid: CID.createV1(raw.code, digest), bytes });
  }
  await writer.close();
  await collected;
  return concat(chunks);
}

function ours(pack: Uint8Array, chunkBytes: number): number {
  const decoder = new MpackDecoder();
  let rows = 0;
  for (let at = 0; at < pack.length; at += chunkBytes) {
    decoder.write(pack.subarray(at, at + chunkBytes));
    if (decoder.rowsReady >= 10_000) rows += decoder.take().objectIds.length;
  }
  decoder.end();
  return rows + decoder.take().objectIds.length;
}

async function* chunksOf(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

async function indexCar(car: Uint8Array, chunkBytes: number): Promise<number> {
  let rows = 0;
  for await (const _ of await CarIndexer.fromIterable(chunksOf(car, chunkBytes))) rows++;
  return rows;
}

async function contender(name: string, pack: Uint8Array): Promise<Contender> {
  return { name, pack, car: await carOf(pack) };
}

const CONTENDERS = [
  await contender("sample delta", await Deno.readFile(new URL("delta.mpack", SAMPLES))),
  await contender("20,000 x 200 B", await generate(20_000, 200)),
  await contender("2,000 x 7 KB", await generate(2_000, 7_000)),
  await contender("100 x 256 KiB", await generate(100, 256 * KIB)),
];
for (const name of ["synth.prefixed", "synth-slim.prefixed"]) {
  const file = new URL(`${name}.mpack`, SHARED);
  if (existsSync(file)) CONTENDERS.push(await contender(name, await Deno.readFile(file)));
}

for (const { name, pack, car } of CONTENDERS) {
  for (const chunkBytes of [1, KIB, 64 * KIB, MIB]) {
    const isTiny = chunkBytes === 1;
    // A byte at a time, megabytes take the peers minutes.
    if (isTiny && pack.length > 16 * KIB) continue;
    const group = `${name}, chunks of ${chunkBytes} B`;
    Deno.bench({ group, name: "mpackd", baseline: true, fn: () => void ours(pack, chunkBytes) });
    Deno.bench({
      group,
      name: "@msgpack/msgpack decodeAsync",
      fn: async () => void await decodeAsync(chunksOf(pack, chunkBytes)),
    });
    if (name !== "synth-slim.prefixed") {
      Deno.bench({
        group,
        name: "@ipld/car CarIndexer (a CAR)",
        fn: async () => void await indexCar(car, chunkBytes),
      });
    }
    // These two need the whole pack in memory, and have it.
    Deno.bench({ group, name: "@msgpack/msgpack decode, whole", fn: () => void decode(pack) });
    Deno.bench({ group, name: "msgpackr unpack, whole", fn: () => void unpack(pack) });
  }
}
