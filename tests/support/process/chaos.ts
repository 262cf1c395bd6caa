/**
 * Many workers, many small jobs, and somebody who kills.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { addRepos } from "../postgres/database.ts";
import { concat, mpackKey } from "../mpack/mpacks.ts";
import { createTestDatabase } from "../postgres/postgres.ts";
import { countEnds, dumpContent, endedTwice, installOracle } from "../postgres/publish_oracle.ts";
import { startWorkerProcess, type WorkerProcess } from "./worker_process.ts";

/** The size of the trouble. */
export interface ChaosOptions {
  /** Workers at once. */
  readonly workers: number;
  /** Jobs; a tenth are a second row for the same pack, a twentieth have a bad pack. */
  readonly jobs: number;
  /** Repos they are spread over. */
  readonly repos: number;
  /** Milliseconds between two kills. */
  readonly killEveryMs: number;
  /** Whether workers are killed. Default true; if not, none may end by itself. */
  readonly kill?: boolean;
  /** Does something else to them, as often as there would be a kill. */
  readonly disturb?: (round: number) => Promise<void>;
  /** Goes on with the trouble for so long, even if the jobs are done before. Default 0. */
  readonly minimumMs?: number;
  /** The database. Default: one on the run's server. */
  readonly databaseUrl?: string;
}

/** What happened. */
export interface ChaosReport {
  /** Workers killed. */
  readonly kills: number;
  /** Attempts that took a job back from a dead worker. */
  readonly rescues: number;
}

interface Pack {
  readonly repoId: string;
  readonly mpackKey: string;
  readonly isBad: boolean;
}

const OBJECTS = 20;

/** Runs it, checks that nothing was lost or doubled, and compares with a sequential run. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { workers, jobs, repos, killEveryMs, disturb, kill = true, minimumMs = 0 } = options;
  const folder = await Deno.makeTempDir({ prefix: "mpackd-chaos-" });
  await using own = await createTestDatabase("chaos");
  await using sequential = await createTestDatabase("sequential");
  const databaseUrl = options.databaseUrl ?? own.url;
  const db = await openWorld(databaseUrl, repos), alone = await openWorld(sequential.url, repos);
  try {
    const packs = await makePacks(folder, jobs, repos);
    await installOracle(db);
    for (const { repoId, mpackKey } of packs) {
      const payload = { mpack_key: mpackKey };
      await enqueue(db, { repoId, jobType: "mpack.index", payload, maxAttempts: 100 });
    }
    await addTwins(db, jobs - packs.length);

    const start = () =>
      startWorkerProcess({
        databaseUrl,
        folder,
        args: ["--concurrency", "3", "--per-repo", "8", "--poll-ms", "500"],
        env: { MPACK_LEASE_MS: "2000", MPACK_LOG_LEVEL: "debug" },
      });
    const report = await rampage(db, { workers, killEveryMs, disturb, start, kill, minimumMs });

    const good = packs.filter(({ isBad }) => !isBad);
    await checkEnds(db, packs, jobs);
    await indexAlone(alone, good, folder);
    assert.equal(await dumpContent(db), await dumpContent(alone));
    const [{ staged }] = await db.sql`select count(*)::int as staged from mpack_staged_objects`;
    assert.equal(staged, 0);
    return report;
  } finally {
    await Promise.all([db.close(), alone.close()]);
    await Deno.remove(folder, { recursive: true });
  }
}

async function openWorld(url: string, repos: number): Promise<Database> {
  const db = connectDatabase(url, { maxConnections: 4 });
  await migrate(db);
  await addRepos(db, ...Array.from({ length: repos }, (_, i) => `repo-${i}`));
  return db;
}

async function makePacks(folder: string, jobs: number, repos: number): Promise<Pack[]> {
  const store = await openFileStore(folder);
  const packs: Pack[] = [];
  for (let i = 0; i < Math.ceil(0.9 * jobs); i++) {
    const repoId = `repo-${i % repos}`, isBad = i % 20 === 7;
    const size = { kind: "range", minBytes: 16, maxBytes: 200 } as const;
    // Sixteen bytes: no two packs have an object in common by chance, so the order cannot matter.
    const shape = { objects: OBJECTS, size, seed: i + 1, empty: false, commits: 1, snapshots: 1 };
    const whole = concat(await Array.fromAsync(makeMpack(shape), (chunk) => chunk.slice()));
    const key = mpackKey(whole), bytes = isBad ? whole.subarray(0, -1) : whole;
    await store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]));
    packs.push({ repoId, mpackKey: key, isBad });
  }
  return packs;
}

/** A second row for packs that have one, as another producer would insert it. */
async function addTwins({ sql }: Database, count: number): Promise<void> {
  await sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt, max_attempts)
    select 'twin-' || job_id, repo_id, job_type, payload, 'pending', created_at, 0, 100
    from (select * from musehub_background_jobs order by job_id limit ${count}) j`;
}

async function rampage(
  db: Database,
  { workers, killEveryMs, disturb, start, kill, minimumMs }: {
    workers: number;
    killEveryMs: number;
    disturb?: (round: number) => Promise<void>;
    start: () => WorkerProcess;
    kill: boolean;
    minimumMs: number;
  },
): Promise<ChaosReport> {
  const living = Array.from({ length: workers }, start);
  let kills = 0, rescues = 0;
  const bury = async (worker: WorkerProcess) => {
    await worker[Symbol.asyncDispose]();
    rescues += worker.lines.filter(({ message }) => / rescued, /.test(message)).length;
  };
  const replace = async (victim: number) => {
    const [dead] = living.splice(victim, 1);
    living.push(start());
    await bury(dead);
    kills++;
  };
  try {
    // The first one in the middle of its first jobs, however fast the machine is.
    await living[0].line(({ message }) => / claimed, /.test(message));
    if (kill) await replace(0);
    const endsAt = performance.now() + minimumMs;
    const isOn = async () => performance.now() < endsAt || await openJobs(db) > 0;
    for (let round = 0; await isOn(); round++) {
      await new Promise((resolve) => setTimeout(resolve, killEveryMs));
      await disturb?.(round);
      if (!kill) continue;
      // Somebody who has work: a worker that is still starting is no loss.
      const victim = living.findIndex(({ lines }) => lines.some(({ job_id }) => job_id));
      if (victim === -1) continue;
      await replace(victim);
    }
    for (const worker of living) worker.kill("SIGTERM");
    for (const worker of living) {
      const { code, signal } = await worker.status;
      // A worker killed while it was starting has no handler yet.
      assert(code === 0 || signal === "SIGTERM", JSON.stringify(worker.lines.slice(-3)));
    }
  } finally {
    await Promise.all(living.map(bury));
  }
  return { kills, rescues };
}

async function openJobs({ sql }: Database): Promise<number> {
  for (;;) {
    try {
      const [{ open }] = await sql`select count(*)::int as open from musehub_background_jobs
        where status in ('pending', 'running')`;
      return open;
    } catch {
      // The server is restarting.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function checkEnds(db: Database, packs: readonly Pack[], jobs: number): Promise<void> {
  const rows = await db.sql<{ key: string; status: string; code: string | null }[]>`
    select payload->>'mpack_key' as key, status, last_error->>'code' as code
    from musehub_background_jobs`;
  assert.equal(rows.length, jobs);
  const bad = new Set(packs.filter(({ isBad }) => isBad).map(({ mpackKey }) => mpackKey));
  assert(bad.size > 0);
  for (const { key, status, code } of rows) {
    assert.deepEqual([status, code], bad.has(key) ? ["failed", "truncated"] : ["done", null]);
  }
  assert.deepEqual(await endedTwice(db), []);
  assert.equal(await countEnds(db), jobs);
}

async function indexAlone(db: Database, packs: readonly Pack[], folder: string): Promise<void> {
  const store = await openFileStore(folder);
  for (const { repoId, mpackKey } of packs) await indexMpack({ db, store, repoId, mpackKey });
}
