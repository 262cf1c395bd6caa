/**
 * How long one owner's job waits while another owner's ten thousand are pending.
 *
 * @module
 */

import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { sleep } from "../../src/lib/sleep.ts";
import { completeJob } from "../../src/jobs/queue/complete_job.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { Listener } from "../../src/jobs/worker/listener.ts";
import { Worker } from "../../src/jobs/worker/worker.ts";

const TYPE = "noop", LONE = "lone";
const FLOOD_JOBS = 10_000;
/** With four slots the flood lasts longer than the samples. */
const JOB_MS = 40;
const PAUSE_MS = 250;
/** Between two jobs of other owners. They are short: alone they fill no slot. */
const OTHERS_MS = 50;

/** Milliseconds from the call that adds the lone job until it begins. */
export interface Waits {
  readonly p50: number;
  readonly max: number;
}

/**
 * The waits without a flood, and with one of ten thousand jobs in so many repos of one owner.
 *
 * Other owners may add a job each now and then, before the flood and beside it.
 */
export async function loneWaits(
  url: string,
  { floodRepos, others, samples }: {
    readonly floodRepos: number;
    readonly others: number;
    readonly samples: number;
  },
): Promise<{ readonly alone: Waits; readonly flooded: Waits }> {
  const db = connectDatabase(url, { maxConnections: 8, isForWorker: true });
  await migrate(db);
  await db.sql`insert into musehub_repos (repo_id, owner, slug) values (${LONE}, ${LONE}, ${LONE})`;
  const stop = new AbortController();
  let begun = () => {};
  const worker = new Worker({
    db,
    handlers: {
      [TYPE]: async (job) => {
        if (job.repoId === LONE) begun();
        else if (job.repoId.startsWith("flood")) await sleep(JOB_MS, stop.signal).catch(() => {});
        await completeJob(db, job, {});
        return {};
      },
    },
    worker: "bench",
    leaseMs: 30_000,
    concurrency: 4,
    perRepo: 2,
    pollMs: 5_000,
    drainMs: 10_000,
    signal: stop.signal,
  });
  const listening = Promise.withResolvers<void>();
  await using _listener = new Listener({
    connect: (options) => connectDatabase(url, options),
    onWake: () => worker.wake(),
    onChange: () => listening.resolve(),
  });
  const running = worker.run();
  await listening.promise;
  const adding = others > 0 ? addOthers(db, others, stop.signal) : undefined;
  const waits = () => measure(db, samples, (onBegun) => begun = onBegun);
  const alone = await waits();
  await flood(db, floodRepos);
  const flooded = await waits();
  const [{ left }] = await db.sql`select count(*)::int as left from musehub_background_jobs
    where status = 'pending'`;
  if (left === 0) throw new Error("The flood ended before the last sample");
  stop.abort();
  await adding;
  await running;
  await db.close();
  return { alone, flooded };
}

/** Adds a job of one of the others, each in its turn, until the signal. */
async function addOthers(db: Database, others: number, signal: AbortSignal): Promise<void> {
  await db.sql`insert into musehub_repos (repo_id, owner, slug)
    select 'other-' || i, 'other-' || i, 'repo' from generate_series(0, ${others - 1}::int) i`;
  for (let i = 0; !signal.aborted; i++) {
    const payload = { mpack_key: crypto.randomUUID() };
    await enqueue(db, { repoId: `other-${i % others}`, jobType: TYPE, payload });
    await sleep(OTHERS_MS, signal).catch(() => {});
  }
}

async function flood(db: Database, repos: number): Promise<void> {
  await db.sql`insert into musehub_repos (repo_id, owner, slug)
    select 'flood-' || i, 'flood', 'repo-' || i from generate_series(1, ${repos}::int) i`;
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    select 'flood-' || i, 'flood-' || 1 + i % ${repos}::int, ${TYPE},
      json_build_object('mpack_key', i::text), 'pending', now() - interval '1 hour', 0
    from generate_series(1, ${FLOOD_JOBS}::int) i`;
}

async function measure(
  db: Database,
  samples: number,
  onBegin: (begun: () => void) => void,
): Promise<Waits> {
  const found: number[] = [];
  for (let i = 0; i < samples; i++) {
    await sleep(PAUSE_MS);
    const { promise, resolve } = Promise.withResolvers<void>();
    onBegin(resolve);
    const at = performance.now();
    const payload = { mpack_key: crypto.randomUUID() };
    await enqueue(db, { repoId: LONE, jobType: TYPE, payload });
    await promise;
    found.push(performance.now() - at);
  }
  found.sort((a, b) => a - b);
  return { p50: found[Math.floor(samples / 2)], max: found[samples - 1] };
}
