/**
 * Packs of 200-byte objects: PostgreSQL is the limit.
 *
 * @module
 */

import type { Database } from "../../mod.ts";
import { count, median, rateText, timed } from "./measure.ts";
import type { Part, Row } from "./row.ts";
import type { BenchResources, Pack } from "./resources.ts";

const TABLES = ["musehub_objects", "musehub_object_refs"] as const;

const SIZE = { kind: "range", minBytes: 200, maxBytes: 200 } as const;

/** The sides take turns, and the medians count: the first to write a WAL file also makes it. */
const ROUNDS = 3;

/** A million objects into empty tables, and once more. */
export async function smallObjects(resources: BenchResources, share: number): Promise<Part> {
  const pack = await resources.make({ objects: Math.round(share * 1_000_000), size: SIZE });
  await resources.empty();
  const before = await footprint(resources.db);
  await resources.index(pack);
  const written = await footprint(resources.db, before);
  await resources.index(pack);
  const rewritten = await footprint(resources.db, before);
  await keepReady(resources.db);
  const seconds: Record<"bare" | "first" | "publish" | "again", number[]> = {
    bare: [],
    first: [],
    publish: [],
    again: [],
  };
  for (let round = 0; round < ROUNDS; round++) {
    await resources.empty();
    seconds.bare.push(await bareInserts(resources.db, resources.repoId, pack));
    await resources.empty();
    const first = await resources.index(pack);
    seconds.first.push(first.seconds);
    seconds.publish.push(first.value.phases_ms.publish / 1000);
    seconds.again.push((await resources.index(pack)).seconds);
  }
  await resources.db.sql.unsafe("drop table bench_ready");
  await resources.empty();
  const first = median(seconds.first), bare = median(seconds.bare);
  return {
    name: "small",
    rows: [
      ratioRow(pack, "into empty tables", first, bare, 0.75),
      {
        ...ratioRow(pack, "the publish statement of that job alone", median(seconds.publish), bare),
        aim: undefined,
      },
      againRow(pack, "the same pack again, all known", median(seconds.again), first),
      ...footprintRows(pack, "empty tables", written),
      walRow(pack, "the same pack again", rewritten.wal - written.wal),
    ],
    details: { seconds },
  };
}

/** The same into tables that hold ten times as many others. */
export async function amongOthers(resources: BenchResources, share: number): Promise<Part> {
  const others = Math.round(share * 10_000_000);
  const pack = await resources.make({ objects: Math.round(share * 1_000_000), size: SIZE });
  await resources.empty();
  await resources.index(pack);
  await keepReady(resources.db);
  await resources.empty();
  await fill(resources.db, others);
  // Every contender begins with a copy of the same files.
  const ours = await resources.copy("bench_ours");
  const before = await footprint(ours.db);
  const first = await resources.index(pack, { db: ours.db });
  const written = await footprint(ours.db, before);
  const again = await resources.index(pack, { db: ours.db });
  await ours.drop();
  const theirs = await resources.copy("bench_theirs");
  const bare = await bareInserts(theirs.db, resources.repoId, pack);
  await theirs.drop();
  await resources.db.sql.unsafe("drop table bench_ready");
  await resources.empty();
  const among = `into tables of ${count(others)} others`;
  return {
    name: "others",
    rows: [
      ratioRow(pack, among, first.seconds, bare, 0.6),
      againRow(pack, "among those, the same pack again", again.seconds, first.seconds),
      ...footprintRows(pack, `tables of ${count(others)} others`, written),
    ],
  };
}

function ratioRow(pack: Pack, how: string, seconds: number, bare: number, atLeast = 0): Row {
  return {
    what: `${count(pack.objects)} objects of 200 B, ${how}`,
    ours: rateText(pack.objects / seconds),
    against: `two bare inserts: ${rateText(pack.objects / bare)}`,
    value: bare / seconds,
    aim: { atLeast },
  };
}

function againRow(pack: Pack, what: string, seconds: number, first: number): Row {
  return {
    what,
    ours: rateText(pack.objects / seconds),
    against: `the first run: ${rateText(pack.objects / first)}`,
    value: first / seconds,
    aim: { atLeast: 2 },
  };
}

interface Footprint {
  /** Bytes of WAL. */
  readonly wal: number;
  /** Bytes of each table, then of its indexes. */
  readonly tables: Readonly<Record<typeof TABLES[number], readonly [heap: number, index: number]>>;
}

/** What the server has written since `before`; since it was made, without. */
async function footprint({ sql }: Database, before?: Footprint): Promise<Footprint> {
  const [{ wal }] = await sql.unsafe("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') as wal");
  const tables: Record<string, readonly [number, number]> = {};
  for (const table of TABLES) {
    const [{ heap, index }] = await sql.unsafe(
      `select pg_relation_size('${table}') as heap, pg_indexes_size('${table}') as index`,
    );
    const [heap0, index0] = before?.tables[table] ?? [0, 0];
    tables[table] = [heap - heap0, index - index0];
  }
  return { wal: Number(wal) - (before?.wal ?? 0), tables: tables as Footprint["tables"] };
}

function footprintRows(pack: Pack, where: string, { wal, tables }: Footprint): Row[] {
  const rows = TABLES.map((table): Row => {
    const [heap, index] = tables[table].map((bytes) => bytes / pack.objects);
    return {
      what: `bytes per object in ${table}, ${where}`,
      ours: `row ${heap.toFixed(0)}, index ${index.toFixed(0)}`,
      against: "nothing",
      value: heap + index,
      unit: "bytes",
    };
  });
  return [...rows, walRow(pack, where, wal)];
}

function walRow(pack: Pack, where: string, wal: number): Row {
  const value = wal / pack.objects;
  const ours = `${count(wal / 1e6)} MB in all`;
  return { what: `WAL per object, ${where}`, ours, against: "nothing", value, unit: "bytes" };
}

/** Keeps a pack's rows as a table that the bare inserts read from. */
async function keepReady({ sql }: Database): Promise<void> {
  await sql.unsafe(`
    create table bench_ready as
      select object_id, content_offset, size_bytes from musehub_object_refs`);
  await sql.unsafe("analyze bench_ready");
}

/** Seconds of the two inserts with nothing around them. */
async function bareInserts({ sql }: Database, repoId: string, pack: Pack): Promise<number> {
  const { seconds } = await timed(async () => {
    await sql.unsafe(`
      insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
      select object_id, 'mpack://${pack.mpackKey}', size_bytes, content_offset
      from bench_ready order by object_id collate "C" on conflict do nothing`);
    await sql.unsafe(`
      insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes)
      select '${repoId}', object_id, 1, content_offset, size_bytes
      from bench_ready order by object_id collate "C" on conflict do nothing`);
  });
  const [{ rows }] = await sql.unsafe(
    `select count(*)::int as rows from musehub_object_refs where repo_id = '${repoId}'`,
  );
  if (rows !== pack.objects) {
    throw new Error(`The bare inserts wrote ${rows} rows, not ${pack.objects}`);
  }
  return seconds;
}

/** Fills both tables with other objects of another repo; the keys are built afterwards. */
async function fill({ sql }: Database, others: number): Promise<void> {
  const keys = {
    musehub_objects: "object_id",
    musehub_object_refs: "repo_id, object_id",
  };
  for (const table of Object.keys(keys)) {
    await sql.unsafe(`alter table ${table} drop constraint ${table}_pkey`);
  }
  const others_ = `generate_series(1, ${others}) as n,
    lateral (select 'sha256:' || encode(sha256(n::text::bytea), 'hex') as id) as o`;
  await sql.unsafe(`
    insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
    select id, 'mpack://sha256:' || repeat('0', 64), 200, n * 300::bigint from ${others_}`);
  await sql.unsafe(`
    insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes)
    select 'sha256:' || repeat('f', 64), id, 0, n * 300::bigint, 200 from ${others_}`);
  for (const [table, columns] of Object.entries(keys)) {
    await sql.unsafe(`alter table ${table} add primary key (${columns})`);
  }
  await sql.unsafe("vacuum analyze");
  await sql.unsafe("checkpoint");
}
