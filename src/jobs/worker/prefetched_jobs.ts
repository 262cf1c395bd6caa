/**
 * Jobs that a worker has claimed ahead of its hands, so that short jobs need not wait for claims.
 *
 * @module
 */

import type { Job } from "../queue/job.ts";

/** Claim what will be begun within so many milliseconds, if jobs go on taking as long as they do. */
const AHEAD_MS = 100;
const MOST_AHEAD = 200;
/** What was held for so long is given back: the jobs before it were longer than foreseen. */
const HOLD_MS = 1_000;
/** How much a job's duration counts beside those before it. */
const WEIGHT = 0.1;

/** A job, and `performance.now()` before it was claimed. */
export interface HeldJob {
  /** The job. */
  readonly job: Job;
  /** Its lease is no younger. */
  readonly claimedAt: number;
}

/** A first-in first-out store whose content does not get old. */
export class HeldJobs {
  readonly #giveBack: (jobs: readonly HeldJob[]) => void;
  #jobs: HeldJob[] = [];
  #averageMs = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `giveBack` gets the jobs that were held for too long. */
  constructor(giveBack: (jobs: readonly HeldJob[]) => void) {
    this.#giveBack = giveBack;
  }

  /** How many are held. */
  get size(): number {
    return this.#jobs.length;
  }

  /** Notes how long a job took. */
  learn(elapsedMs: number): void {
    this.#averageMs = this.#averageMs === Infinity
      ? elapsedMs
      : (1 - WEIGHT) * this.#averageMs + WEIGHT * elapsedMs;
  }

  /** How many jobs it pays to hold for so many hands; none if jobs are long. */
  worthHolding(hands: number): number {
    return Math.min(MOST_AHEAD, Math.floor(hands * AHEAD_MS / Math.max(1, this.#averageMs)));
  }

  /** Takes jobs in. */
  push(jobs: readonly Job[], claimedAt: number): void {
    for (const job of jobs) this.#jobs.push({ job, claimedAt });
    this.#timer ??= setTimeout(() => this.#sweep(), HOLD_MS);
  }

  /** Hands out the oldest. */
  shift(): HeldJob | undefined {
    return this.#jobs.shift();
  }

  /** Hands out all, and ends its timer. */
  clear(): HeldJob[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#jobs.splice(0);
  }

  #sweep(): void {
    this.#timer = undefined;
    const oldest = performance.now() - HOLD_MS / 2;
    const stale = this.#jobs.filter(({ claimedAt }) => claimedAt < oldest);
    this.#jobs = this.#jobs.filter(({ claimedAt }) => claimedAt >= oldest);
    if (this.#jobs.length > 0) this.#timer = setTimeout(() => this.#sweep(), HOLD_MS);
    if (stale.length === 0) return;
    this.#averageMs = Infinity;
    this.#giveBack(stale);
  }
}
