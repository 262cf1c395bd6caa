/**
 * Thousands of jobs through one worker process, whose memory and handles are watched from outside.
 *
 * @module
 */

import assert from "node:assert/strict";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { createRepo } from "../../src/db/repos.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { startWorkerProcess } from "../support/process/mpackd_process.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import type { ProfileOptions } from "./report.ts";
import { freePort } from "../support/process/free_port.ts";
import { until } from "../support/until.ts";

const REPOS = 20;
const SAMPLE_MS = 100;
const LARGE_OBJECT_BYTES = 64 * 1024;

/** Slices of time that are compared: the first quarter warms up. */
const SLICES = 8;
/** The memory of a young process still grows by code that is compiled and heaps that settle. */
const TOLERANCE = 1.25;
/** A pool fills as jobs meet. What leaks with each job leaks hundreds. */
const SPARE_HANDLES = 8;
/** Four jobs, a heartbeat, a claim, and the connection that listens. */
const MOST_CONNECTIONS = 7;

/** What the worker held while it did one share of the work. */
interface Slice {
  /** Jobs done. */
  readonly jobs: number;
  /** How long they took. */
  readonly seconds: number;
  /** Resident memory in megabytes: the median of the samples. */
  readonly rssMb: number;
  /** … and the highest. */
  readonly rssPeakMb: number;
  /** Open files and sockets at most. */
  readonly handles: number;
  /** Threads at most. */
  readonly threads: number;
  /** Its connections to the database at most. */
  readonly connections: number;
  /** How long `/healthz`, which asks no service, took to answer: the median in milliseconds. */
  readonly lagMs: number;
  /** … and the 99th percentile. */
  readonly lagP99Ms: number;
}

type Sample = Record<"rssMb" | "handles" | "threads" | "lagMs", number>;

/**
 * Puts thousands of jobs through one worker. Its memory, handles, threads and connections must not
 * grow with the jobs it has done. Linux only.
 */
export async function soak({ tally, share }: ProfileOptions): Promise<Record<string, number>> {
  const slices = await measure(share, (slice) => tally.note(JSON.stringify(slice)));
  const early = together(slices.slice(2, 4)), late = together(slices.slice(-2));
  assert.ok(
    late.handles <= early.handles + SPARE_HANDLES,
    `${early.handles} to ${late.handles} handles`,
  );
  assert.ok(
    late.threads <= early.threads + SPARE_HANDLES,
    `${early.threads} to ${late.threads} threads`,
  );
  assert.ok(late.connections <= MOST_CONNECTIONS, `${late.connections} connections`);
  assert.ok(late.rssMb <= TOLERANCE * early.rssMb, `${early.rssMb} to ${late.rssMb} MB`);
  const rounded = (slice: Slice, when: string) =>
    Object.entries(slice).map(([name, value]) => [`${name} ${when}`, Math.round(10 * value) / 10]);
  return Object.fromEntries([...rounded(early, "early"), ...rounded(late, "late")]);
}

async function measure(share: number, onSlice: (slice: Slice) => void): Promise<Slice[]> {
  const smallJobs = Math.round(10_000 * share), largeJobs = Math.max(8, Math.round(20 * share));
  const largeBytes = Math.round(256 * 1024 ** 2 * share), slices = SLICES;
  await using fixture = await createFixture();
  const { db } = fixture;
  const repoIds: string[] = [];
  for (let i = 0; i < REPOS; i++) {
    repoIds.push((await createRepo(db, { owner: "soak", slug: `repo-${i}` })).repo.repoId);
  }
  const large = await makeLarge(fixture, largeBytes);
  const port = freePort();
  await using worker = startWorkerProcess({
    ...fixture,
    env: { MPACK_LOG_LEVEL: "warning" },
    args: ["--http-port", String(port)],
  });
  await isUp(port);
  const found: Slice[] = [];
  let small = 0, larges = 0, jobs = 0;
  for (let slice = 1; slice <= slices; slice++) {
    const keys: { repoId: string; key: string }[] = [];
    for (; larges < Math.round(largeJobs * slice / slices); larges++) {
      // The same bytes for each repo: its own blob, its own refs.
      keys.push({ repoId: repoIds[larges % REPOS], key: await large(repoIds[larges % REPOS]) });
    }
    for (; small < Math.round(smallJobs * slice / slices); small++) {
      const repoId = repoIds[small % REPOS];
      keys.push({ repoId, key: await putSmall(fixture, repoId, small) });
    }
    const startedAt = performance.now(), samples: Sample[] = [];
    for (const { repoId, key } of keys) {
      const payload = { mpack_key: key };
      // A large one that is there already is indexed again.
      await enqueue(db, { repoId, jobType: "mpack.index", payload, evenIfOpen: true });
    }
    jobs += keys.length;
    let connections = 0;
    await until(`${jobs} jobs are done`, async () => {
      samples.push(await sampleOf(worker.pid, port));
      const { done, failed, connected } = await look(fixture);
      if (failed > 0) throw new Error(`${failed} jobs failed`);
      connections = Math.max(connections, connected);
      return done === jobs;
    }, { everyMs: SAMPLE_MS, withinMs: 60 * 60_000, found: () => look(fixture) });
    const seconds = (performance.now() - startedAt) / 1000;
    found.push(sliceOf({ jobs: keys.length, seconds, connections, samples }));
    onSlice(found[found.length - 1]);
  }
  return found;
}

async function makeLarge(fixture: TestFixture, bytes: number) {
  const path = `${fixture.folder}/large.mpack`;
  const objects = Math.max(1, Math.round(bytes / LARGE_OBJECT_BYTES));
  const shape = { objects, size: parseSize(String(LARGE_OBJECT_BYTES)), seed: 61 };
  await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
  const { stdout } = await new Deno.Command("sha256sum", { args: [path] }).output();
  const key = `sha256:${new TextDecoder().decode(stdout).slice(0, 64)}`;
  return async (repoId: string) => {
    const folder = `${fixture.folder}/mpacks/${repoId}`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.link(path, `${folder}/${key}`).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
    return key;
  };
}

async function putSmall(fixture: TestFixture, repoId: string, seed: number): Promise<string> {
  const content = (i: number) => sampleBytes(16 + (97 * i + seed) % 500, 10 * seed + i + 1);
  const objects = Array.from({ length: 10 }, (_, i) => object({ content: content(i) }));
  const bytes = buildMpack({ objects }), key = mpackKey(bytes);
  const folder = `${fixture.folder}/mpacks/${repoId}`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeFile(`${folder}/${key}`, bytes);
  return key;
}

async function sampleOf(pid: number, port: number): Promise<Sample> {
  const askedAt = performance.now();
  await (await fetch(`http://127.0.0.1:${port}/healthz`)).text();
  const lagMs = performance.now() - askedAt;
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const number = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]);
  let handles = 0;
  for await (const _ of Deno.readDir(`/proc/${pid}/fd`)) handles++;
  return { lagMs, handles, threads: number("Threads"), rssMb: number("VmRSS") * 1024 / 1e6 };
}

/** How far the queue is, and how many connections others than we have. */
async function look({ db }: TestFixture) {
  const [row] = await db.sql<{ done: number; failed: number; connected: number }[]>`
    select count(*) filter (where status = 'done')::int as done,
      count(*) filter (where status = 'failed')::int as failed,
      (select count(*)::int from pg_stat_activity where datname = current_database()
        and backend_type = 'client backend') as connected
    from musehub_background_jobs`;
  return { ...row, connected: row.connected - db.sockets.size };
}

function sliceOf(
  { samples, ...rest }: Pick<Slice, "jobs" | "seconds" | "connections"> & {
    readonly samples: readonly Sample[];
  },
): Slice {
  const at = (name: keyof Sample, share: number) => {
    const sorted = samples.map((sample) => sample[name]).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  };
  return {
    ...rest,
    rssMb: at("rssMb", 0.5),
    rssPeakMb: at("rssMb", 1),
    handles: at("handles", 1),
    threads: at("threads", 1),
    lagMs: at("lagMs", 0.5),
    lagP99Ms: at("lagMs", 0.99),
  };
}

async function isUp(port: number): Promise<void> {
  await until("the worker answers", async () => {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    await response?.text();
    return response?.ok === true;
  }, { everyMs: SAMPLE_MS });
}

/** The slices as one: the highest of each, but the median memory and the median lag. */
function together(slices: readonly Slice[]): Slice {
  const most = (name: keyof Slice) => Math.max(...slices.map((slice) => slice[name]));
  const sum = (name: keyof Slice) => slices.reduce((total, slice) => total + slice[name], 0);
  const middle = (name: keyof Slice) =>
    slices.map((slice) => slice[name]).sort((a, b) => a - b)[slices.length >> 1];
  return {
    jobs: sum("jobs"),
    seconds: sum("seconds"),
    rssMb: middle("rssMb"),
    rssPeakMb: most("rssPeakMb"),
    handles: most("handles"),
    threads: most("threads"),
    connections: most("connections"),
    lagMs: middle("lagMs"),
    lagP99Ms: most("lagP99Ms"),
  };
}
