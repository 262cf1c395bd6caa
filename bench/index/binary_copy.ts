/**
 * The harder limit of small objects: binary COPY of the same sorted rows into the same two tables with
 * their indexes, on the same server, and where its time goes.
 *
 * @module
 */

import { count, median, rateText } from "./measure.ts";
import type { Part, Row } from "./row.ts";
import type { BenchResources, Pack } from "./resources.ts";

const SIZE = { kind: "range", minBytes: 200, maxBytes: 200 } as const;
const ROUNDS = 3;

/** What is copied, by table. */
const COLUMNS = {
  musehub_objects: "object_id, storage_uri, size_bytes, content_offset",
  musehub_object_refs: "repo_id, object_id, mpack_id, content_offset, size_bytes",
} as const;

type Table = keyof typeof COLUMNS;
const TABLES = Object.keys(COLUMNS) as Table[];

/**
 * COPY into tables that do a little more each time: the difference to the one before is the time of
 * that step.
 */
const STEPS = {
  parse: "rows read and dropped (where false)",
  heap: "written to the tables, without WAL and indexes",
  "heap's WAL": "logged",
  "index and its WAL": "with the two primary keys",
} as const;

type Step = keyof typeof STEPS;

/** A million objects: the whole job beside two binary COPYs. */
export async function binaryCopy(resources: BenchResources, share: number): Promise<Part> {
  const pack = await resources.make({ objects: Math.round(share * 1_000_000), size: SIZE });
  const copy = new Copy(resources);
  await resources.empty();
  await resources.index(pack);
  await copy.save();
  const ours: number[] = [], steps: Record<string, number[]> = {};
  let wal = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await resources.empty();
    ours.push((await resources.index(pack)).seconds);
    for (const step of Object.keys(STEPS) as Step[]) {
      const figure = await copy.run(step);
      (steps[step] ??= []).push(figure.seconds);
      wal = figure.walBytes;
    }
  }
  await resources.empty();
  const until = Object.fromEntries(
    Object.entries(steps).map(([step, figures]) => [step, median(figures)]),
  ) as Record<Step, number>;
  return { name: "copy", rows: rowsOf(pack, median(ours), until, wal), details: { ours, steps } };
}

function rowsOf(pack: Pack, ours: number, until: Record<Step, number>, wal: number): Row[] {
  const whole = until["index and its WAL"], names = Object.keys(STEPS) as Step[];
  const shares = names.map((step, i): Row => {
    const seconds = until[step] - (i === 0 ? 0 : until[names[i - 1]]);
    return {
      what: `… of that COPY: ${step}`,
      ours: `${seconds.toFixed(2)} s`,
      against: `all of it: ${whole.toFixed(2)} s`,
      value: seconds / whole,
    };
  });
  return [
    {
      what: `${count(pack.objects)} objects of 200 B, the whole job`,
      ours: rateText(pack.objects / ours),
      against: `binary COPY of the same rows: ${rateText(pack.objects / whole)}`,
      value: whole / ours,
    },
    ...shares,
    {
      what: "… its WAL per object",
      ours: `${count(wal / 1e6)} MB in all`,
      against: "nothing",
      value: wal / pack.objects,
      unit: "bytes",
    },
  ];
}

/** Copies by psql, whose own timing counts: the driver has no COPY of its own. */
class Copy {
  readonly #resources: BenchResources;

  constructor(resources: BenchResources) {
    this.#resources = resources;
  }

  /** Saves the rows of both tables as files, sorted as the job inserts them. */
  async save(): Promise<void> {
    for (const table of TABLES) {
      const rows = `select ${COLUMNS[table]} from ${table} order by object_id collate "C"`;
      await this.#psql(`\\copy (${rows}) to '${this.#file(table)}' with (format binary)\n`);
    }
  }

  async run(step: Step): Promise<{ seconds: number; walBytes: number }> {
    const { db } = this.#resources;
    await this.#resources.empty();
    const names = Object.fromEntries(TABLES.map((table) => [table, `bench_${table}`]));
    const isReal = step === "index and its WAL";
    const kind = step === "heap's WAL" ? "" : "unlogged";
    if (!isReal) {
      for (const table of TABLES) {
        await db.sql.unsafe(
          `create ${kind} table ${names[table]} (like ${table} including defaults)`,
        );
      }
      await db.sql.unsafe("checkpoint");
    }
    const where = step === "parse" ? " where false" : "";
    const at = async () => {
      const [{ wal }] = await db.sql.unsafe(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') as wal",
      );
      return Number(wal);
    };
    const before = await at();
    const output = await this.#psql(
      "\\timing on\n" +
        TABLES.map((table) =>
          `\\copy ${isReal ? table : names[table]} (${COLUMNS[table]}) from '${
            this.#file(table)
          }' ` +
          `with (format binary)${where}\n`
        ).join(""),
    );
    const walBytes = await at() - before;
    if (!isReal) await db.sql.unsafe(`drop table ${Object.values(names).join(", ")}`);
    const times = output.matchAll(/^Time: ([\d.]+) ms/gm).map(([, ms]) => Number(ms) / 1000);
    return { seconds: times.reduce((sum, seconds) => sum + seconds, 0), walBytes };
  }

  #file(table: Table): string {
    return `${this.#resources.folder}/${table}.copy`;
  }

  async #psql(script: string): Promise<string> {
    const path = `${this.#resources.folder}/copy.sql`;
    await Deno.writeTextFile(path, script);
    const { stdout, stderr, code } = await new Deno.Command("psql", {
      args: [
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--file",
        path,
        this.#resources.env.DATABASE_URL,
      ],
    }).output();
    if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  }
}
