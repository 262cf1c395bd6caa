/**
 * The workers that say that they are alive.
 *
 * @module
 */

import type { Database } from "./client/database.ts";

/** A worker that has not been seen for so long is gone, in milliseconds. */
const WORKER_GONE_MS = 60_000;

/** What a worker says of itself. */
export interface WorkerState {
  /** Its name in the `locked_by` of jobs. */
  readonly worker: string;
  /** The release it runs. */
  readonly version: string;
  /** Jobs it may run at once. */
  readonly concurrency: number;
  /** Jobs it runs now. */
  readonly running: number;
  /** Whether it is stopping. */
  readonly isDraining: boolean;
}

/** A worker as the database knows it. */
export interface WorkerRow extends WorkerState {
  /** When it began. */
  readonly startedAt: Date;
  /** When it last said that it is alive. */
  readonly seenAt: Date;
}

/**
 * Records that a worker is alive, and removes those that have been gone for a day.
 *
 * @returns Whether the database has shards.
 */
export async function seeWorker(db: Database, state: WorkerState): Promise<boolean> {
  const { worker, version, concurrency, running, isDraining } = state;
  const [row] = await db.query<{ has_shards: boolean }>("record a worker")`
    with gone as (
      delete from mpackd_workers
      where seen_at < now() - interval '1 day' and worker <> ${worker}
    )
    insert into mpackd_workers as w (worker, version, concurrency, running, is_draining)
    values (${worker}, ${version}, ${concurrency}::integer, ${running}::integer, ${isDraining})
    on conflict (worker) do update set seen_at = now(), version = excluded.version,
      concurrency = excluded.concurrency, running = excluded.running,
      is_draining = excluded.is_draining
    returning exists (select from mpackd_shards) as has_shards`;
  return row.has_shards;
}

/** Removes a worker that has ended. */
export async function forgetWorker(db: Database, worker: string): Promise<void> {
  await db.query("forget a worker")`delete from mpackd_workers where worker = ${worker}`;
}

/** Lists the workers seen within a minute, by name. */
export function listWorkers(db: Database): Promise<WorkerRow[]> {
  return db.query<WorkerRow>("list workers")`
    select worker, version, concurrency, running, is_draining as "isDraining",
      started_at as "startedAt", seen_at as "seenAt"
    from mpackd_workers
    where seen_at > now() - ${WORKER_GONE_MS}::float8 * interval '1 ms'
    order by worker`;
}

/** The workers of several shards: one process may work for all of them. */
export function mergeWorkers(lists: readonly (readonly WorkerRow[])[]): WorkerRow[] {
  const byName = new Map<string, WorkerRow>();
  for (const worker of lists.flat()) {
    const known = byName.get(worker.worker);
    byName.set(
      worker.worker,
      known === undefined ? worker : { ...worker, running: known.running + worker.running },
    );
  }
  return [...byName.values()].sort((a, b) => a.worker < b.worker ? -1 : 1);
}
