/**
 * The decoder and its peers: other programs that read the same objects from the same chunks.
 *
 * Only our decoder checks the grammar and duplicate keys. A streaming peer builds values. The CAR
 * reader reads another format that has only objects, so our decoder gets a pack of only objects
 * there. A peer that needs the whole document first copies the chunks into memory of the right size.
 * The time to cut the input into chunks is not counted.
 *
 * @module
 */

import { CarIndexer } from "@ipld/car/indexer";
import { CarWriter } from "@ipld/car/writer";
import { decode, decodeAsync } from "@msgpack/msgpack";
import { unpack } from "msgpackr";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { create } from "multiformats/hashes/digest";
import { MpackDecoder, type ObjectColumns, objectIdsOf } from "../../decoder.ts";

const SHA2_256 = 0x12;
const BATCH_ROWS = 10_000;

/** The input of all readers. */
export interface Sample {
  /** Its name in the table. */
  readonly name: string;
  /** An mpack. */
  readonly pack: Uint8Array;
  /** A CAR of the same objects; undefined where the pack has more than objects. */
  readonly car: Uint8Array | undefined;
}

/** Bytes as a stream delivers them. */
export interface Chunks {
  /** Length of all chunks. */
  readonly sizeBytes: number;
  /** In order. */
  readonly chunks: readonly Uint8Array[];
}

/** A reader. */
export interface Peer {
  /** Its name. */
  readonly name: string;
  /** Whether it takes chunks as they come. */
  readonly isStreaming: boolean;
  /** Which format it reads. */
  readonly format: "pack" | "car";
  /** Reads it. */
  run(input: Chunks): void | Promise<void>;
}

/** Ours. */
export const MPACKD: Peer = {
  name: "mpackd",
  isStreaming: true,
  format: "pack",
  run: ({ chunks }) => void decodeRows(chunks),
};

/** The others. */
export const PEERS: readonly Peer[] = [
  {
    name: "@msgpack/msgpack decodeAsync",
    isStreaming: true,
    format: "pack",
    run: async ({ chunks }) => void await decodeAsync(stream(chunks)),
  },
  {
    name: "@ipld/car CarIndexer",
    isStreaming: true,
    format: "car",
    async run({ chunks }) {
      for await (const _ of await CarIndexer.fromIterable(stream(chunks)));
    },
  },
  {
    name: "@msgpack/msgpack decode",
    isStreaming: false,
    format: "pack",
    run: (input) => void decode(joined(input)),
  },
  {
    name: "msgpackr unpack",
    isStreaming: false,
    format: "pack",
    run: (input) => void unpack(joined(input)),
  },
];

/** A pack as a sample; and, if it has more than objects, another one of its objects alone. */
export async function samplesOf(name: string, pack: Uint8Array): Promise<Sample[]> {
  const decoder = new MpackDecoder();
  decoder.write(pack);
  decoder.end();
  const rows = decoder.take();
  if (rows.length === 0) return [{ name, pack, car: undefined }];
  const { offsetBytes, sizeBytes } = decoder.sections.find(({ name }) => name === "objects")!;
  const head = Uint8Array.of(0x81, 0xa7, ...new TextEncoder().encode("objects"));
  const alone = new Uint8Array(head.length + sizeBytes);
  alone.set(head);
  alone.set(pack.subarray(offsetBytes, offsetBytes + sizeBytes), head.length);
  const car = await carOf(pack, rows);
  // The few commits of a synthetic pack are negligible.
  if (sizeBytes > 0.95 * pack.length) return [{ name, pack: alone, car }];
  return [{ name, pack, car: undefined }, { name: `${name}, objects alone`, pack: alone, car }];
}

/** Cuts bytes into chunks. */
export function cut(bytes: Uint8Array, chunkBytes: number): Chunks {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    chunks.push(bytes.subarray(at, at + chunkBytes));
  }
  return { sizeBytes: bytes.length, chunks };
}

function decodeRows(chunks: readonly Uint8Array[]): number {
  const decoder = new MpackDecoder();
  let rows = 0;
  for (const chunk of chunks) {
    decoder.write(chunk);
    if (decoder.rowsReady >= BATCH_ROWS) rows += objectIdsOf(decoder.take()).length;
  }
  decoder.end();
  return rows + objectIdsOf(decoder.take()).length;
}

async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

function joined({ sizeBytes, chunks }: Chunks): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const whole = new Uint8Array(sizeBytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** A CAR with the pack's contents under CIDs made of its ids. */
async function carOf(pack: Uint8Array, rows: ObjectColumns): Promise<Uint8Array> {
  const { writer, out } = CarWriter.create([]);
  const written = new Response(ReadableStream.from(out)).arrayBuffer();
  for (const [i, id] of objectIdsOf(rows).entries()) {
    const digest = create(SHA2_256, Uint8Array.fromHex(id.slice(-64)));
    const at = rows.contentOffsets[i];
    const bytes = pack.subarray(at, at + rows.sizesBytes[i]);
    await writer.put({ cid: CID.createV1(raw.code, digest), bytes });
  }
  await writer.close();
  return new Uint8Array(await written);
}
