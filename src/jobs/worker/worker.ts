/**
 * The loop that takes jobs from the queue and runs them, many at once, until told to stop.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { CancelledError } from "../../errors.ts";
import { runAttempt } from "../attempt/run_attempt.ts";
import type { Handlers } from "../handlers.ts";
import { type HeldJob, HeldJobs } from "./prefetched_jobs.ts";
import { claimJobs } from "../queue/claim_jobs.ts";
import { hasDueJobs } from "../queue/has_due_jobs.ts";
import type { Job } from "../queue/job.ts";
import { releaseJob } from "../queue/release_job.ts";
import type { Backoff } from "../attempt/retry_policy.ts";
import type { Observer } from "./worker_event.ts";

/** How long jobs may take to be given back before their leases are left to lapse. */
const GIVE_BACK_MS = 10_000;
/** How often a worker that ends with the queue asks whether others have left it something. */
const EMPTY_POLL_MS = 250;
const LAST_RETRY_MS = 5_000;

/** What a worker works with and how. */
export interface WorkerOptions {
  /** The database; a pool of `concurrency` connections and two more is enough. */
  readonly db: Database;
  /** What it can do. */
  readonly handlers: Handlers;
  /** The name left on the jobs it claims, for people. */
  readonly worker: string;
  /** Length of a lease in milliseconds, 1,000 or more. */
  readonly leaseMs: number;
  /** Jobs at once, 1 or more. */
  readonly concurrency: number;
  /** Jobs of one repo at once, those of all other workers included; 1 or more. */
  readonly perRepo: number;
  /** Longest time between two looks at the queue when nobody calls, in milliseconds. */
  readonly pollMs: number;
  /** How long running jobs may go on after `signal` has fired, in milliseconds. */
  readonly drainMs: number;
  /** Ends the claiming; what runs may end within `drainMs`. */
  readonly signal: AbortSignal;
  /** Gives running jobs back at once, uncounted. */
  readonly force?: AbortSignal;
  /** Return when no job is due. Default false: wait for more. */
  readonly untilEmpty?: boolean;
  /** Is told what happens. */
  readonly observe?: Observer;
  /** How long to wait after which failure. Default: by the kind of failure. */
  readonly backoff?: (error: Error) => Backoff;
}

/** Claims and runs jobs. One `run()` is its whole life. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #observe: Observer;
  readonly #running = new Map<Job, Promise<void>>();
  readonly #held = new HeldJobs((jobs) => this.#release(jobs));
  readonly #releasing = new Set<Promise<unknown>>();
  readonly #giveBack = new AbortController();
  #isWoken = false;
  #endRest: (() => void) | undefined;
  #polledAt = performance.now();

  /** Prepares a worker; nothing is claimed yet. */
  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#observe = options.observe ?? (() => {});
  }

  /** How many jobs it runs now. */
  get running(): number {
    return this.#running.size;
  }

  /** Milliseconds since it last heard from the queue; 0 while it has no hand free to ask. */
  get silentMs(): number {
    return this.#wanted() === 0 ? 0 : performance.now() - this.#polledAt;
  }

  /** Makes it look at the queue now. */
  wake(): void {
    this.#isWoken = true;
    this.#endRest?.();
  }

  /** Works until `signal` fires or, if so asked, until no job is due. Never throws. */
  async run(): Promise<void> {
    const { signal, force, untilEmpty = false, pollMs } = this.#options;
    const wake = () => this.wake();
    signal.addEventListener("abort", wake);
    const giveBack = () => this.#giveUp();
    force?.addEventListener("abort", giveBack);
    let failures = 0;
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        const wanted = this.#wanted();
        const taken = wanted > 0 ? await this.#claim(wanted) : 0;
        if (untilEmpty && taken === 0 && this.#running.size === 0 && !await this.#isDue()) break;
        failures = 0;
        if (taken > 0 && taken === wanted) continue;
        const isWaiting = untilEmpty && this.#running.size === 0;
        await this.#rest(isWaiting ? EMPTY_POLL_MS : pollMs * (0.5 + Math.random() / 2));
      } catch (error) {
        this.#observe({ type: "trouble", error: error as Error });
        const limitMs = Math.min(LAST_RETRY_MS, 100 * 2 ** failures++);
        await this.#rest(limitMs * (0.5 + Math.random() / 2));
      }
    }
    await this.#drain();
    signal.removeEventListener("abort", wake);
    force?.removeEventListener("abort", giveBack);
  }

  /** How many jobs to claim: for free hands, and ahead if jobs are short; 0 if there are enough. */
  #wanted(): number {
    const { concurrency } = this.#options;
    const ahead = this.#held.worthHolding(concurrency);
    const free = concurrency - this.#running.size - this.#held.size;
    return free <= 0 && this.#held.size >= ahead / 2 ? 0 : Math.max(0, free + ahead);
  }

  async #claim(limit: number): Promise<number> {
    const { db, handlers, worker, leaseMs, perRepo } = this.#options;
    const claimedAt = performance.now();
    const jobTypes = Object.keys(handlers);
    const jobs = await claimJobs(db, { worker, jobTypes, leaseMs, limit, perRepo });
    this.#polledAt = performance.now();
    if (jobs.length > 0) this.#observe({ type: "claimed", jobs });
    this.#held.push(jobs, claimedAt);
    this.#begin();
    return jobs.length;
  }

  /** Gives held jobs to free hands. */
  #begin(): void {
    while (this.#running.size < this.#options.concurrency && !this.#options.signal.aborted) {
      const held = this.#held.shift();
      if (held === undefined) return;
      this.#running.set(held.job, this.#run(held));
    }
  }

  #release(jobs: readonly HeldJob[]): void {
    for (const { job } of jobs) {
      // What fails here is claimed by somebody when its lease has lapsed.
      const released = releaseJob(this.#options.db, job).catch(() => {})
        .finally(() => this.#releasing.delete(released));
      this.#releasing.add(released);
    }
  }

  #isDue(): Promise<boolean> {
    const { db, handlers } = this.#options;
    return hasDueJobs(db, { jobTypes: Object.keys(handlers) });
  }

  async #run({ job, claimedAt }: HeldJob): Promise<void> {
    const { db, handlers, leaseMs, backoff } = this.#options;
    const startedAt = performance.now();
    const outcome = await runAttempt(db, job, handlers[job.jobType], {
      leaseMs,
      claimedAt,
      backoff,
      signal: this.#giveBack.signal,
    });
    const elapsedMs = performance.now() - startedAt;
    this.#held.learn(elapsedMs);
    this.#observe({ type: "ended", job, outcome, elapsedMs });
    this.#running.delete(job);
    this.#begin();
    // A hand is free, and what waited for this job (its twin, its repo's share) may be, too.
    this.wake();
  }

  /** Waits until woken, or so long; for nothing but a wake-up while every hand is busy. */
  #rest(ms: number): Promise<void> {
    if (this.#isWoken) return Promise.resolve();
    const isBusy = this.#wanted() === 0;
    return new Promise((resolve) => {
      const timer = isBusy ? undefined : setTimeout(() => this.#endRest?.(), ms);
      this.#endRest = () => {
        clearTimeout(timer);
        this.#endRest = undefined;
        resolve();
      };
    });
  }

  async #drain(): Promise<void> {
    this.#release(this.#held.clear());
    await Promise.all(this.#releasing);
    if (this.#running.size === 0) return;
    const { drainMs, force } = this.#options;
    this.#observe({ type: "draining", running: this.#running.size, drainMs });
    if (force?.aborted) this.#giveUp();
    const timer = setTimeout(() => this.#giveUp(), drainMs);
    let lateTimer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      this.#giveBack.signal.addEventListener("abort", () => {
        lateTimer = setTimeout(resolve, GIVE_BACK_MS);
      });
      if (this.#giveBack.signal.aborted) lateTimer = setTimeout(resolve, GIVE_BACK_MS);
    });
    await Promise.race([Promise.all(this.#running.values()), late]);
    clearTimeout(timer);
    clearTimeout(lateTimer);
  }

  #giveUp(): void {
    if (this.#giveBack.signal.aborted) return;
    this.#observe({ type: "giving-back", running: this.#running.size });
    this.#giveBack.abort(new CancelledError("Cannot go on: the worker is stopping"));
  }
}
