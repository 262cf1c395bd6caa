/**
 * One pack and one `main.ts index`, killed again and again where it hurts. Linux only: /proc says
 * how far the process has read, and SIGSTOP holds it while the database is looked at.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import type { Database } from "../../src/db/client/database.ts";
import { BUFFER_BYTES, BUFFERS } from "../../src/hash/sha256.ts";
import type { IndexResult } from "../../src/jobs/index/result.ts";
import { keyOfPack } from "../support/mpack/pack_key.ts";
import { mpackKey } from "../support/mpack/mpacks.ts";
import { runMain } from "../support/process/main.ts";
import { type MpackdProcess, startProcess } from "../support/process/mpackd_process.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { drain } from "../support/store/blobs.ts";
import type { ProfileOptions } from "./report.ts";
import { until } from "../support/until.ts";

const MIB = 1024 ** 2;

/** A pack, and the result of indexing it where nothing goes wrong. */
interface Reference extends AsyncDisposable {
  readonly path: string;
  readonly key: string;
  readonly result: IndexResult;
  /** How long the process took. */
  readonly wholeMs: number;
  /** What readers see afterwards. */
  readonly view: string;
}

/** Where to kill: called again and again, true when it is time. */
type Aim = (process: MpackdProcess) => boolean | Promise<boolean>;

/** A database and a store on which `index` is run and killed. */
class Target implements AsyncDisposable {
  readonly #options: ProfileOptions;

  private constructor(
    readonly fixture: TestFixture,
    readonly reference: Reference,
    /** Arguments of `main.ts`. */
    readonly args: readonly string[],
    readonly env: Readonly<Record<string, string>>,
    /** Whether `index` reads a file, and not the store. */
    readonly isUpload: boolean,
    options: ProfileOptions,
  ) {
    this.#options = options;
  }

  /** Makes one; the pack is in its store, unless `index` is to bring it there. */
  static async create(
    reference: Reference,
    options: ProfileOptions,
    { env = {}, args, upload = false }: {
      env?: Record<string, string>;
      args?: readonly string[];
      upload?: boolean;
    },
  ): Promise<Target> {
    const fixture = await createFixture();
    if (!upload) await link(reference.path, fixture, reference.key);
    const pack = upload ? reference.path : reference.key;
    const all = ["index", pack, "--repo", "me/repo", "--json", ...args ?? []];
    return new Target(fixture, reference, all, { ...envOf(fixture), ...env }, upload, options);
  }

  /** Path of the pack in the store. */
  get blobPath(): string {
    return this.fixture.blobPath(this.reference.key);
  }

  /**
   * Starts `index`, stops it when it is time, lets `look` look at it, and kills it.
   *
   * @returns What `look` found; undefined if `index` ended first.
   */
  async kill<T>(aim: Aim, look: (process: MpackdProcess) => T | Promise<T>) {
    await using process = startProcess(this.args, this.env);
    if (!await process.stopWhen(() => aim(process))) {
      const { code, stderr } = await process.ended;
      assert.equal(code, 0, stderr);
      return undefined;
    }
    const found = await look(process);
    process.kill("SIGKILL");
    await process.ended;
    this.#options.tally.fault("index killed", String(found));
    // The server may still be at work on what the dead process had sent.
    await isQuiet(this.fixture.db);
    return { found };
  }

  /** Runs `index` to its end and compares what readers see with the reference. */
  async finish(): Promise<IndexResult> {
    const { code, stdout, stderr } = await runMain(this.args, this.env);
    assert.equal(code, 0, stderr);
    const result: IndexResult = JSON.parse(stdout);
    assert.equal(result.hashed_bytes, result.size_bytes - result.resumed_from_byte);
    if (this.isUpload) await this.#buryDead();
    assert.equal(await this.fixture.staged(), 0);
    assert.equal(await viewOf(this.fixture.db), this.reference.view);
    return result;
  }

  /** A file is read by one process: when it is dead, a worker ends its job after the lease. */
  async #buryDead(): Promise<void> {
    await this.fixture.db.sql`update musehub_background_jobs
      set lease_expires_at = now() where status = 'running'`;
    const { code, stderr } = await runMain(["worker", "--drain"], this.env);
    assert.equal(code, 0, stderr);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.fixture[Symbol.asyncDispose]());
  }
}

/** Where a kill fell, by what the database and the kernel say of the stopped process. */
const PHASES = [
  "before the job runs",
  "before the first batch",
  "streaming",
  "read to the end, publish not sent",
  "publish in flight",
  "published, answer not read",
] as const;
type Phase = typeof PHASES[number];

/** The phases aimed at, in turn: seven of ten kills fall before the end of the publish. */
const AIMS = "early stream publish stream early stream after stream early publish".split(" ");

/**
 * Kills `index FILE` in each phase. After a kill readers see nothing or everything; the next run
 * completes.
 */
export async function killedPhases(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, share } = options, objects = Math.round(100_000 * share);
  const kills = Math.max(6, Math.round(10 * share));
  const shape = { objects, size: parseSize("100"), seed: 31 };
  const env = { MPACK_BATCH_ROWS: "2000" };
  await using reference = await createReference(shape, env);
  await using target = await Target.create(reference, options, { env, upload: true });
  const { fixture } = target, { path, result: { size_bytes, phases_ms } } = reference;
  const untilStreamMs = reference.wholeMs - phases_ms.stream - phases_ms.publish;
  const empty = () =>
    fixture.db.sql.unsafe("truncate musehub_objects, musehub_object_refs, musehub_mpacks");

  const aimAt = (name: string): Aim => {
    const part = random.below(1_000) / 1_000, startedAt = performance.now();
    let fromBytes: number | undefined, sentAt: number | undefined;
    switch (name) {
      case "early":
        return () => performance.now() - startedAt >= part * untilStreamMs;
      case "stream":
        return (process) => {
          const atBytes = process.positionOf(path);
          if (atBytes === undefined) return false;
          fromBytes ??= atBytes;
          return atBytes >= fromBytes + part * (size_bytes - fromBytes);
        };
      case "after":
        return () => isPublishing(fixture.db);
      default:
        return async () => {
          if (sentAt === undefined && !await isPublishing(fixture.db)) return false;
          sentAt ??= performance.now();
          return performance.now() - sentAt >= part * 0.9 * phases_ms.publish;
        };
    }
  };

  const fell: Record<string, number> = {};
  let outran = 0, published = 0;
  for (let kill = 0; kill < kills;) {
    const aim = AIMS[kill % AIMS.length];
    const killed = await target.kill(aimAt(aim), async (process) => {
      // Stopped in the middle of the publish, it does not hear that the server has finished.
      if (aim === "after") await isQuiet(fixture.db);
      return await phaseOf(fixture.db, process.positionOf(path), size_bytes);
    });
    if (killed === undefined) {
      // The process ended before the kill: begin again with empty tables.
      outran++;
      await empty();
      continue;
    }
    kill++;
    const { ofRepo } = await visibleRows(fixture.db), isPublished = ofRepo === objects + 1;
    assert.ok(ofRepo === 0 || isPublished, `${ofRepo} rows after a kill: ${killed.found}`);
    fell[killed.found] = (fell[killed.found] ?? 0) + 1;
    if (!isPublished) continue;
    published++;
    await empty();
  }
  await target.finish();
  const before = kills - (fell[PHASES[5]] ?? 0);
  assert.ok(before >= Math.floor(2 / 3 * kills), `only ${before} kills came before the end`);
  return { objects, kills, "kills outrun": outran, "killed after the publish": published, ...fell };
}

/**
 * Kills `index KEY` of a large pack twenty times. No kill loses more than a checkpoint's distance,
 * and nothing is read twice beyond that.
 */
export async function killedResume(options: ProfileOptions): Promise<Record<string, number>> {
  const { share } = options, kills = 20, objectBytes = 64 * 1024;
  const checkpointBytes = Math.max(MIB, Math.round(64 * MIB * share));
  // A checkpoint falls due at a buffer's end, and is sent when the hasher has got there.
  const mostLost = checkpointBytes + (BUFFERS + 1) * BUFFER_BYTES;
  const objects = Math.round(4096 * MIB * share / objectBytes);
  const shape = { objects, size: parseSize(String(objectBytes)), seed: 41 };
  const env = { MPACK_CHECKPOINT_BYTES: String(checkpointBytes) };
  await using reference = await createReference(shape, env);
  const sizeBytes = reference.result.size_bytes;
  assert.equal(reference.result.objects_written, objects);
  const killAt = async (target: Target, bytes: number) => {
    const { blobPath, fixture } = target;
    const position = (process: MpackdProcess) => process.positionOf(blobPath) ?? 0;
    const killed = await target.kill((process) => position(process) >= bytes, position);
    assert.ok(killed, `index ended before byte ${bytes}`);
    assert.deepEqual(await visibleRows(fixture.db), { ofRepo: 0, shared: 0 });
    return killed.found;
  };

  await using once = await Target.create(reference, options, { env });
  await killAt(once, 0.9 * sizeBytes);
  const { hashed_bytes } = await once.finish();
  assert.ok(hashed_bytes <= 0.1 * sizeBytes + mostLost, `${hashed_bytes} bytes were read again`);

  await using target = await Target.create(reference, options, { env });
  let lost = 0, most = 0;
  for (let kill = 1; kill <= kills; kill++) {
    const diedAt = await killAt(target, kill / (kills + 1) * sizeBytes);
    const lostBytes = diedAt - await checkpointOf(target.fixture.db);
    assert.ok(lostBytes <= mostLost, `kill ${kill} at byte ${diedAt} lost ${lostBytes} bytes`);
    lost += lostBytes;
    most = Math.max(most, lostBytes);
  }
  const from = await checkpointOf(target.fixture.db), { resumed_from_byte } = await target.finish();
  assert.equal(resumed_from_byte, from);
  const [{ attempt }] = await target.fixture.db.sql`select attempt from musehub_background_jobs`;
  assert.equal(attempt, kills + 1);
  return {
    bytes: sizeBytes,
    "read again after a kill at 90%": hashed_bytes,
    [`lost by ${kills} kills`]: lost,
    "lost by one kill at most": most,
  };
}

/** Kills `index --materialize` while it writes blobs. In the end every object has its blob. */
export async function killedMaterialize(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, share } = options, objects = Math.max(900, Math.round(8_000 * share));
  // A large object in the middle: a kill may hit one that is half written.
  const shape = { objects, size: parseSize("0..7000"), hugeBytes: 5 * MIB, seed: 51 };
  const env = {
    MPACK_LEASE_MS: "5000",
    MPACK_BATCH_ROWS: "50",
    MPACK_CHECKPOINT_BYTES: String(MIB),
  };
  const kills = 4;
  await using reference = await createReference(shape, env, ["--materialize"]);
  await using target = await Target.create(reference, options, { env, args: ["--materialize"] });
  const { fixture } = target, prefix = `objects/${fixture.repo.repoId}`;
  for (let kill = 0; kill < kills; kill++) {
    // By the blobs that are there: a time would be too short on one machine, too long on another.
    const enough = (kill + random.below(1_000) / 1_000) * objects / (2 * kills);
    const aim = async () => await blobsIn(`${fixture.folder}/${prefix}`) > enough;
    assert.ok(await target.kill(aim, () => `after ${enough.toFixed(0)} blobs`), `kill ${kill}`);
  }
  const { objects_total } = await target.finish();
  assert.equal(objects_total, objects);
  const refs = await fixture.db.sql`select object_id, size_bytes from musehub_object_refs`;
  assert.equal(refs.length, objects);
  for (const { object_id, size_bytes } of refs) {
    const blob = await drain(await fixture.store.open(`${prefix}/${object_id}`));
    assert.deepEqual([mpackKey(blob), blob.length], [object_id, size_bytes]);
  }
  return { objects, kills };
}

async function createReference(
  shape: Partial<MpackShape>,
  env: Record<string, string>,
  args: readonly string[] = [],
): Promise<Reference> {
  const fixture = await createFixture();
  const path = `${fixture.folder}/made.mpack`, key = await keyOfPack(makeMpack(shape));
  await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
  await link(path, fixture, key);
  const startedAt = performance.now();
  const { code, stdout, stderr } = await runMain(
    ["index", key, "--repo", "me/repo", "--json", ...args],
    { ...envOf(fixture), ...env },
  );
  assert.equal(code, 0, stderr);
  return {
    path,
    key,
    result: JSON.parse(stdout),
    wholeMs: performance.now() - startedAt,
    view: await viewOf(fixture.db),
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

function envOf({ databaseUrl, folder }: TestFixture): Record<string, string> {
  return { DATABASE_URL: databaseUrl, MPACK_STORE: `file://${folder}` };
}

/** Puts a file into the store without copying it. */
async function link(path: string, fixture: TestFixture, key: string): Promise<void> {
  await Deno.mkdir(`${fixture.folder}/mpacks/${fixture.repo.repoId}`, { recursive: true });
  await Deno.link(path, fixture.blobPath(key));
}

async function phaseOf(db: Database, atBytes: number | undefined, size: number): Promise<Phase> {
  if (await isPublishing(db)) return "publish in flight";
  if ((await visibleRows(db)).ofRepo > 0) return "published, answer not read";
  const [job] = await db.sql`
    select exists (select from mpack_staged_objects s where s.job_id = j.job_id) as has_batch
    from musehub_background_jobs j where status in ('pending', 'running')`;
  if (job === undefined || atBytes === undefined) return "before the job runs";
  if (atBytes === size) return "read to the end, publish not sent";
  return job.has_batch ? "streaming" : "before the first batch";
}

/** Whether the server has begun the publish; one whose parameters are still to come has not. */
async function isPublishing({ sql }: Database): Promise<boolean> {
  const [{ found }] = await sql`
    select exists (select from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
        and query like '%mpackd_publish%' and wait_event is distinct from 'ClientRead') as found`;
  return found;
}

/** Waits until the server works on no statement: it finishes what a dead client had sent. */
async function isQuiet({ sql }: Database): Promise<void> {
  const busy = async () =>
    await sql`
      select pid, state, query from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
        and wait_event is distinct from 'ClientRead'`;
  await until("no statement runs", async () => (await busy()).length === 0, { found: busy });
}

/** Rows that a reader of the repo sees, and those of the table that all repos share. */
async function visibleRows({ sql }: Database): Promise<{ ofRepo: number; shared: number }> {
  const [rows] = await sql<{ ofRepo: number; shared: number }[]>`
    select (select count(*) from musehub_object_refs) + (select count(*) from musehub_mpacks)
      as "ofRepo", (select count(*) from musehub_objects) as shared`;
  return rows;
}

/** What readers see, without the names that differ from one database to the next. */
async function viewOf({ sql }: Database): Promise<string> {
  const [row] = await sql`
    select
      (select md5(string_agg(o::text, ',' order by object_id collate "C")) from (
        select object_id, storage_uri, size_bytes, content_offset from musehub_objects) o) as objects,
      (select md5(string_agg(r::text, ',' order by object_id collate "C")) from (
        select object_id, content_offset, size_bytes from musehub_object_refs) r) as refs,
      (select string_agg(p::text, ',' order by mpack_key) from (
        select mpack_key, size_bytes, objects, commits, snapshots, tags from musehub_mpacks) p)
        as packs`;
  return JSON.stringify(row);
}

async function checkpointOf({ sql }: Database): Promise<number> {
  const [{ bytes }] = await sql`
    select (checkpoint->>'offset_bytes')::bigint as bytes from musehub_background_jobs`;
  return bytes ?? 0;
}

async function blobsIn(folder: string): Promise<number> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).length;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
