/**
 * Jobs that a worker has claimed before it has a free slot, so that short jobs do not wait for claims.
 *
 * @module
 */

import type { Job } from "../queue/job.ts";

/** Prefetch the jobs that will start within this time, if jobs keep their average duration. */
const PREFETCH_MS = 100;
/** Most jobs to hold. */
export const MAX_PREFETCHED = 200;
/** A job prefetched for longer is released: the jobs before it take longer than expected. */
const MAX_AGE_MS = 1_000;
/** Weight of a job's duration in the moving average. */
const WEIGHT = 0.1;

/** A claimed job that does not run yet. */
export interface PrefetchedJob {
  readonly job: Job;
  /** `performance.now()` before it was claimed: its lease began then or later. */
  readonly claimedAt: number;
}

/** A queue in memory whose jobs do not get old. */
export class PrefetchedJobs {
  readonly #release: (jobs: readonly PrefetchedJob[]) => void;
  #jobs: PrefetchedJob[] = [];
  #averageMs = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `release` gets the jobs that have waited too long. */
  constructor(release: (jobs: readonly PrefetchedJob[]) => void) {
    this.#release = release;
  }

  get size(): number {
    return this.#jobs.length;
  }

  /** Adds a job's duration to the average. */
  learn(elapsedMs: number): void {
    this.#averageMs = this.#averageMs === Infinity
      ? elapsedMs
      : (1 - WEIGHT) * this.#averageMs + WEIGHT * elapsedMs;
  }

  /** How many jobs to prefetch for this many slots; 0 if jobs are long. */
  target(slots: number): number {
    return Math.min(MAX_PREFETCHED, Math.floor(slots * PREFETCH_MS / Math.max(1, this.#averageMs)));
  }

  push(jobs: readonly Job[], claimedAt: number): void {
    for (const job of jobs) this.#jobs.push({ job, claimedAt });
    this.#timer ??= setTimeout(() => this.#releaseOld(), MAX_AGE_MS);
  }

  /** Removes the oldest of the tenant with the fewest running jobs. */
  shift(running: ReadonlyMap<number, number>): PrefetchedJob | undefined {
    let next = 0, fewest = Infinity, last: number | undefined;
    for (let i = 0; i < this.#jobs.length && fewest > 0; i++) {
      const { tenant } = this.#jobs[i].job;
      // Mostly all are of one tenant.
      if (tenant === last) continue;
      last = tenant;
      const count = running.get(tenant) ?? 0;
      if (count < fewest) [next, fewest] = [i, count];
    }
    return this.#jobs.splice(next, 1)[0];
  }

  /** Removes all, and stops the timer. */
  clear(): PrefetchedJob[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#jobs.splice(0);
  }

  #releaseOld(): void {
    this.#timer = undefined;
    const oldest = performance.now() - MAX_AGE_MS / 2;
    const old = this.#jobs.filter(({ claimedAt }) => claimedAt < oldest);
    this.#jobs = this.#jobs.filter(({ claimedAt }) => claimedAt >= oldest);
    if (this.#jobs.length > 0) this.#timer = setTimeout(() => this.#releaseOld(), MAX_AGE_MS);
    if (old.length === 0) return;
    this.#averageMs = Infinity;
    this.#release(old);
  }
}
