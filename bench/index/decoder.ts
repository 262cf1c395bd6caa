/**
 * The decoder alone beside its peers, on the same objects and the same chunks.
 *
 * @module
 */

import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { cut, MPACKD, type Peer, PEERS, type Sample, samplesOf } from "./decoder_peers.ts";
import { count, MB, speedText } from "./measure.ts";
import type { Part, Row } from "./row.ts";

const KIB = 1024, MIB = 1024 * KIB;
const CHUNKS: readonly [number, string][] = [
  [KIB, "1 KiB"],
  [64 * KIB, "64 KiB"],
  [MIB, "1 MiB"],
];
const SHARED = new URL("../../../shared/corpus/", import.meta.url);
const SAMPLES = new URL("../../tests/corpus/samples/", import.meta.url);
/** The best of so many runs, or of what fits the time. */
const RUNS = 5, ENOUGH_MS = 400;

/** MB/s of each reader. */
export interface Figure {
  /** The pack. */
  readonly sample: string;
  /** Length of a chunk. */
  readonly chunkBytes: number;
  /** Ours, then the peers'. */
  readonly megabytesPerSecond: Record<string, number>;
}

/** For each chunk size the worst ratio over all packs, to what streams and to what does not. */
export async function decoder(share: number): Promise<Part> {
  const samples = await gather(share);
  const figures: Figure[] = [];
  for (const sample of samples) {
    for (const [chunkBytes] of CHUNKS) {
      figures.push(await compare(sample, chunkBytes));
    }
  }
  const rows: Row[] = [];
  for (const [chunkBytes, chunk] of CHUNKS) {
    const here = figures.filter((figure) => figure.chunkBytes === chunkBytes);
    for (const isStreaming of [true, false]) rows.push(worst(here, chunk, isStreaming));
  }
  rows.push(largeContents(figures), await linear(share));
  return { name: "decoder", rows, details: figures };
}

/** Every figure as a Markdown table. */
export function decoderTable(figures: readonly Figure[]): string {
  const names = [MPACKD, ...PEERS].map(({ name }) => name);
  const lines = figures.map(({ sample, chunkBytes, megabytesPerSecond }) => [
    sample,
    CHUNKS.find(([bytes]) => bytes === chunkBytes)![1],
    ...names.map((name) => {
      const speed = megabytesPerSecond[name];
      return speed === undefined ? "" : speed < 10 ? speed.toFixed(2) : count(speed);
    }),
  ]);
  const head = ["decoder alone, MB/s", "chunks", ...names];
  return [head, head.map(() => "---"), ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

async function gather(share: number): Promise<Sample[]> {
  const real: [string, URL][] = [["sample delta", new URL("delta.mpack", SAMPLES)]];
  for (const name of ["synth.prefixed", "synth-fetch.prefixed", "synth-slim.prefixed"]) {
    real.push([name, new URL(`${name}.mpack`, SHARED)]);
  }
  const samples: Sample[] = [];
  for (const [name, file] of real) {
    const pack = await Deno.readFile(file).catch(() => undefined);
    if (pack) samples.push(...await samplesOf(name, pack));
  }
  const shapes: [number, number, string][] = [
    [1_500, 200, "200 B"],
    [share * 80_000, 200, "200 B"],
    [share * 8_000, 7_000, "7 kB"],
    [share * 400, 256 * KIB, "256 KiB"],
  ];
  for (const [objects, sizeBytes, size] of shapes) {
    const pack = await generate(Math.round(objects), sizeBytes);
    samples.push(...await samplesOf(`${count(objects)} x ${size}`, pack));
  }
  return samples;
}

async function generate(objects: number, sizeBytes: number): Promise<Uint8Array> {
  const size = { kind: "range", minBytes: sizeBytes, maxBytes: sizeBytes } as const;
  const shape: Partial<MpackShape> = { objects, size, commits: 1, snapshots: 1, paths: 1 };
  return new Uint8Array(await new Response(ReadableStream.from(makeMpack(shape))).arrayBuffer());
}

async function compare(sample: Sample, chunkBytes: number): Promise<Figure> {
  const megabytesPerSecond: Record<string, number> = {};
  for (const peer of [MPACKD, ...PEERS]) {
    const speed = await speedOf(peer, sample, chunkBytes);
    if (speed !== undefined) megabytesPerSecond[peer.name] = speed;
  }
  return { sample: sample.name, chunkBytes, megabytesPerSecond };
}

async function speedOf(
  peer: Peer,
  sample: Sample,
  chunkBytes: number,
): Promise<number | undefined> {
  const bytes = sample[peer.format];
  if (bytes === undefined) return undefined;
  const input = cut(bytes, chunkBytes);
  // Of the same objects: the pack's bytes count, whatever the format.
  return sample.pack.length / MB / await bestSeconds(() => peer.run(input));
}

async function bestSeconds(work: () => void | Promise<void>): Promise<number> {
  let best = Infinity;
  const endsAt = performance.now() + ENOUGH_MS;
  // Small packs get many runs, so that every reader has been compiled.
  for (let run = 0; run < RUNS || performance.now() < endsAt; run++) {
    const startedAt = performance.now();
    await work();
    best = Math.min(best, performance.now() - startedAt);
    if (run > 0 && performance.now() > endsAt + 4 * ENOUGH_MS) break;
  }
  return best / 1000;
}

function worst(figures: readonly Figure[], chunk: string, isStreaming: boolean): Row {
  let found: { figure: Figure; name: string; ratio: number } | undefined;
  for (const figure of figures) {
    for (const { name } of PEERS.filter((peer) => peer.isStreaming === isStreaming)) {
      const ratio = figure.megabytesPerSecond[MPACKD.name] / figure.megabytesPerSecond[name];
      if (ratio < (found?.ratio ?? Infinity)) found = { figure, name, ratio };
    }
  }
  const { figure, name, ratio } = found!, { megabytesPerSecond: speeds } = figure;
  return {
    what: `decoder, chunks of ${chunk}, worst of all packs (${figure.sample})`,
    ours: speedText(speeds[MPACKD.name]),
    against: `${isStreaming ? "streaming" : "joined first"}: ${name} ${speedText(speeds[name])}`,
    value: ratio,
    aim: { atLeast: 1 },
  };
}

function largeContents(figures: readonly Figure[]): Row {
  const speeds = figures
    .filter(({ sample, chunkBytes }) => sample.endsWith("256 KiB") && chunkBytes >= 64 * KIB)
    .map(({ megabytesPerSecond }) => megabytesPerSecond[MPACKD.name]);
  const slowest = Math.min(...speeds);
  return {
    what: "decoder, contents of 256 KiB in chunks of 64 KiB and more",
    ours: speedText(slowest),
    against: "nothing",
    value: slowest,
    unit: "MB/s",
    aim: { atLeast: 2000 },
  };
}

/** Eight times the input for eight times the time. */
async function linear(share: number): Promise<Row> {
  const once = await generate(Math.round(share * 20_000), 200);
  const eightfold = await generate(Math.round(share * 160_000), 200);
  const speed = async (pack: Uint8Array) => {
    const input = cut(pack, 64 * KIB);
    return pack.length / MB / await bestSeconds(() => MPACKD.run(input));
  };
  const [few, many] = [await speed(once), await speed(eightfold)];
  return {
    what: "decoder, eight times as many objects",
    ours: speedText(many),
    against: `the eighth part: ${speedText(few)}`,
    value: many / few,
    aim: { atLeast: 0.8 },
  };
}
