/**
 * The whole job, as processes: beside the usual way in Python, and beside git on the same contents.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { writePackfile } from "./packfile.ts";
import { count, MB, rateText, speedText } from "./measure.ts";
import { type ProcessRun, runMain, runProcess } from "./process.ts";
import type { Part, Row } from "./row.ts";
import type { BenchResources, Pack } from "./resources.ts";

const USUAL_WAY = fileURLToPath(import.meta.resolve("./usual_way.py"));
const PACKAGES = "python3-msgpack python3-psycopg2";
const ENGINES = ["wasm", "native"] as const;
type Engine = typeof ENGINES[number];

const LARGE = 256 * 1024, SMALL = 200;

interface Contest {
  readonly pack: Pack;
  readonly name: string;
  readonly isLarge: boolean;
}

async function packs(resources: BenchResources, share: number): Promise<Contest[]> {
  const make = async (objects: number, bytes: number, name: string) => {
    const size = { kind: "range", minBytes: bytes, maxBytes: bytes } as const;
    const pack = await resources.make({ objects: Math.round(objects), size, seed: 31 });
    return { pack, name: `${count(pack.objects)} objects of ${name}`, isLarge: bytes === LARGE };
  };
  return [
    await make(share * 1.5e9 / LARGE, LARGE, "256 KiB"),
    await make(share * 500_000, SMALL, "200 B"),
  ];
}

async function ours(resources: BenchResources, pack: Pack, engine: Engine): Promise<ProcessRun> {
  await resources.empty();
  const args = ["index", pack.mpackKey, "--repo", "bench/bench", "--json"];
  return await runMain(args, { ...resources.env, MPACK_HASH: engine });
}

function speed({ pack, isLarge }: Contest, seconds: number): string {
  return isLarge ? speedText(pack.sizeBytes / MB / seconds) : rateText(pack.objects / seconds);
}

/** A Python that has the packages: Debian's are for its own. */
async function findPython(): Promise<string | undefined> {
  for (const python of ["/usr/bin/python3", "python3"]) {
    const args = ["-c", "import msgpack, psycopg2"];
    const isThere = runProcess(python, args, { isMeasured: false }).then(() => true, () => false);
    if (await isThere) return python;
  }
  return undefined;
}

/** Against the usual way: time and memory. */
export async function usualWay(resources: BenchResources, share: number): Promise<Part> {
  const name = "usual";
  const python = await findPython();
  if (python === undefined) {
    return { name, rows: [], missing: `not installed: apt install python3 ${PACKAGES}` };
  }
  const aims = { wasm: [1, 3], native: [2.5, 3] } as const;
  const rows: Row[] = [];
  for (const contest of await packs(resources, share)) {
    const { pack } = contest;
    await resources.empty();
    const usual = await runProcess(python, [
      USUAL_WAY,
      pack.path,
      resources.env.DATABASE_URL,
      resources.repoId,
    ]);
    const { peak_bytes } = JSON.parse(usual.stdout) as { peak_bytes: number };
    for (const engine of ENGINES) {
      const job = await ours(resources, pack, engine);
      rows.push(
        {
          what: `whole job, ${contest.name}, ${engine}`,
          ours: speed(contest, job.seconds),
          against: `the usual way: ${speed(contest, usual.seconds)}`,
          value: usual.seconds / job.seconds,
          aim: { atLeast: aims[engine][contest.isLarge ? 0 : 1] },
        },
        {
          what: `its peak memory, ${contest.name}, ${engine}`,
          ours: `${count(job.peakBytes / MB)} MB`,
          against: `the usual way: ${count(peak_bytes / MB)} MB`,
          value: job.peakBytes / peak_bytes,
          // A twentieth is asked of where the usual way holds 3 GB.
          ...(contest.isLarge && share === 1 && { aim: { atMost: 0.05 } }),
        },
      );
    }
  }
  await resources.empty();
  return { name, rows };
}

/** Against `git index-pack`, which hashes each object and writes an index, without a database. */
export async function gitIndexPack(resources: BenchResources, share: number): Promise<Part> {
  const rows: Row[] = [];
  for (const contest of await packs(resources, share)) {
    const folder = await Deno.makeTempDir({ dir: resources.folder });
    const packfile = await writePackfile(contest.pack, `${folder}/made`);
    const repo = `${folder}/indexed`;
    await runProcess("git", ["init", "--quiet", "--bare", repo], { isMeasured: false });
    const git = await runProcess("sh", [
      "-c",
      'exec git -C "$0" index-pack --stdin <"$1" >&2',
      repo,
      packfile,
    ]);
    for (const engine of ENGINES) {
      const job = await ours(resources, contest.pack, engine);
      rows.push({
        what: `whole job, ${contest.name}, ${engine}`,
        ours: speed(contest, job.seconds),
        against: `git index-pack: ${speed(contest, git.seconds)}, ${
          count(git.peakBytes / MB)
        } MB of memory`,
        value: git.seconds / job.seconds,
        ...(contest.isLarge && { aim: { atLeast: 1 } }),
      });
    }
    await Deno.remove(folder, { recursive: true });
  }
  await resources.empty();
  return { name: "git", rows };
}
