/**
 * Claims jobs from the queue and runs several at once, until it is stopped.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { CancelledError } from "../../errors.ts";
import { orAborted } from "../../lib/abort.ts";
import { runAttempt } from "../attempt/run_attempt.ts";
import type { JobHandlers } from "../handlers.ts";
import { MAX_PREFETCHED, type PrefetchedJob, PrefetchedJobs } from "./prefetched_jobs.ts";
import { claimJobs } from "../queue/claim_jobs.ts";
import { hasDueJobs } from "../queue/has_due_jobs.ts";
import { type Pauses, readPauses } from "../schedules/pauses.ts";
import type { Job } from "../queue/job.ts";
import { releaseJob } from "../queue/release_job.ts";
import { postponeForwarding } from "../shards/forwarded_jobs.ts";
import type { Backoff } from "../attempt/retry_policy.ts";
import { Slots, type SlotShare } from "./slots.ts";
import type { Observer } from "./worker_event.ts";

/** How long releasing the running jobs may take. After that their leases are left to lapse. */
const RELEASE_MS = 10_000;
/** How often an `untilEmpty` worker without jobs looks whether a job has become due. */
const EMPTY_POLL_MS = 250;
const MAX_RETRY_MS = 5_000;
/** Claims for which no place is free get a fifth of the time. */
const EXTRA_CLAIM_PAUSE = 4;
/** How long what is paused may be out of date. */
const PAUSES_MS = 1_000;
/** A worker that knows no shards leaves their jobs to those that do. */
const NO_FORWARD_MS = 10_000;

/** How a worker runs. */
export interface WorkerOptions {
  /** The database; a pool of `concurrency` connections and two more is enough. */
  readonly db: Database;
  /** Which job types it claims, and what runs them. */
  readonly handlers: JobHandlers;
  /** The name left on the rows of its jobs. */
  readonly worker: string;
  /** Length of a lease in milliseconds, 1,000 or more. */
  readonly leaseMs: number;
  /** Jobs at once, 1 or more. */
  readonly concurrency: number;
  /** The places for its jobs, shared with other workers. Default: `concurrency` of its own. */
  readonly slots?: Slots;
  /** Jobs of one repo at once over all workers, 1 or more. */
  readonly perRepo: number;
  /** Longest time between two claims without a wake-up, in milliseconds. */
  readonly pollMs: number;
  /** How long running jobs may go on after `signal` has fired, in milliseconds. */
  readonly drainMs: number;
  /** Stops the claims; running jobs may end within `drainMs`. */
  readonly signal: AbortSignal;
  /** Releases running jobs at once; their attempts are not counted. */
  readonly force?: AbortSignal;
  /** Whether to return when no job is due. Default false: wait for more. */
  readonly untilEmpty?: boolean;
  /** Takes over claimed jobs of repos that live in a shard. It must not throw. */
  readonly forward?: (jobs: readonly Job[]) => Promise<void>;
  /** Reads what is paused. Default: what `db` says. */
  readonly readPauses?: () => Promise<Pauses>;
  readonly observe?: Observer;
  /** Delays by error. Default: `backoffOf()`. */
  readonly backoff?: (error: Error) => Backoff;
}

/** Claims and runs jobs. One `run()` is its whole life. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #observe: Observer;
  readonly #running = new Map<Job, Promise<void>>();
  /** Running jobs by tenant. */
  readonly #runningOf = new Map<number, number>();
  readonly #share: SlotShare;
  readonly #prefetched = new PrefetchedJobs((jobs) => this.#release(jobs));
  readonly #releasing = new Set<Promise<unknown>>();
  /** Aborts the running jobs, which are then released. */
  readonly #stop = new AbortController();
  #isWoken = false;
  /** Whether somebody said, since the last claim, that there may be new jobs. */
  #hasNews = false;
  /** When a claim may be made for which no place is free. */
  #extraClaimAt = 0;
  #endPause: (() => void) | undefined;
  #polledAt = performance.now();
  #pauses: Pauses = { isAll: false, types: [], repoIds: [] };
  #pausesReadAt = -Infinity;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#observe = options.observe ?? (() => {});
    const { slots = new Slots(options.concurrency) } = options;
    this.#share = slots.share(() => {
      this.#fillSlots();
      this.#look();
    });
  }

  /** Number of running jobs. */
  get running(): number {
    return this.#running.size;
  }

  /** Milliseconds since its last claim; 0 while it needs no jobs. */
  get silentMs(): number {
    return this.#wanted() === 0 ? 0 : performance.now() - this.#polledAt;
  }

  /**
   * Says that there are new jobs. It claims now, if a place is free or jobs are prefetched: those of an
   * owner who has none here do not wait for the prefetched ones of others.
   */
  wake(): void {
    this.#hasNews = true;
    this.#look();
  }

  /** Makes it look now whether it wants jobs. */
  #look(): void {
    this.#isWoken = true;
    this.#endPause?.();
  }

  /** Works until `signal` fires or, with `untilEmpty`, until no job is due. Never throws. */
  async run(): Promise<void> {
    const { signal, force, untilEmpty = false, pollMs } = this.#options;
    const look = () => this.#look();
    signal.addEventListener("abort", look);
    const stop = () => this.#releaseRunning();
    force?.addEventListener("abort", stop);
    let errors = 0;
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        const wanted = this.#wanted();
        const taken = wanted > 0 ? await this.#claim(wanted) : 0;
        if (untilEmpty && taken === 0 && this.#isIdle() && !await this.#isDue()) break;
        if (errors > 0) this.#observe({ type: "queue-works" });
        errors = 0;
        if (taken > 0 && taken === wanted) continue;
        const isBusy = this.#wanted() === 0;
        if (isBusy || this.#prefetched.size > 0) this.#share.wait();
        // While every slot is busy only a wake-up ends the wait, or the next extra claim.
        if (isBusy) await this.#pause(this.#untilExtraMs());
        else if (untilEmpty && this.#isIdle()) await this.#pause(EMPTY_POLL_MS);
        else await this.#pause(pollMs * (0.5 + Math.random() / 2));
      } catch (error) {
        // While the server is away no place is kept for it: the next statement reserves none.
        this.#pausesReadAt = -Infinity;
        this.#observe({ type: "queue-error", error: error as Error });
        const limitMs = Math.min(MAX_RETRY_MS, 100 * 2 ** errors++);
        await this.#pause(limitMs * (0.5 + Math.random() / 2));
      }
    }
    await this.#drain();
    this.#share[Symbol.dispose]();
    signal.removeEventListener("abort", look);
    force?.removeEventListener("abort", stop);
  }

  #isIdle(): boolean {
    return this.#running.size === 0 && this.#prefetched.size === 0;
  }

  /** How many jobs to claim: one per free slot, and some to prefetch if jobs are short. */
  #wanted(): number {
    const target = this.#prefetched.target(this.#share.fairPart);
    const { size } = this.#prefetched, free = this.#share.available - size;
    if (free > 0 || size < target / 2) return Math.max(0, free + target);
    const isExtra = this.#hasNews && size > 0 && size < MAX_PREFETCHED &&
      performance.now() >= this.#extraClaimAt;
    return isExtra ? Math.max(1, free + target) : 0;
  }

  /** Milliseconds until news may be claimed beside prefetched jobs; undefined: there is none. */
  #untilExtraMs(): number | undefined {
    const { size } = this.#prefetched;
    const isWaiting = this.#hasNews && size > 0 && size < MAX_PREFETCHED;
    return isWaiting ? Math.max(0, this.#extraClaimAt - performance.now()) : undefined;
  }

  async #claim(limit: number): Promise<number> {
    const { db, handlers, worker, leaseMs, perRepo } = this.#options;
    const { isAll, types, repoIds: pausedRepos } = await this.#readPauses();
    const jobTypes = isAll ? [] : Object.keys(handlers).filter((type) => !types.includes(type));
    const claimedAt = performance.now();
    if (jobTypes.length === 0) {
      this.#share.giveBack();
      this.#polledAt = claimedAt;
      return 0;
    }
    const which = { worker, jobTypes, leaseMs, limit, perRepo, pausedRepos };
    this.#hasNews = false;
    this.#share.reserve(limit);
    const jobs = await claimJobs(db, which).catch((error) => {
      this.#share.giveBack();
      throw error;
    });
    const polledAt = this.#polledAt = performance.now();
    this.#extraClaimAt = polledAt + EXTRA_CLAIM_PAUSE * (polledAt - claimedAt);
    if (jobs.length > 0) this.#observe({ type: "claimed", jobs });
    this.#prefetched.push(jobs.filter(({ shard }) => shard === undefined), claimedAt);
    this.#fillSlots();
    this.#forward(jobs.filter(({ shard }) => shard !== undefined));
    this.#share.giveBack();
    return jobs.length;
  }

  /** Reads what is paused: at most once a second while nothing is. */
  async #readPauses(): Promise<Pauses> {
    const now = performance.now();
    const { isAll, types, repoIds } = this.#pauses;
    const isSomethingPaused = isAll || types.length > 0 || repoIds.length > 0;
    if (isSomethingPaused || now - this.#pausesReadAt >= PAUSES_MS) {
      const { db, readPauses: read = () => readPauses(db) } = this.#options;
      this.#pauses = await read();
      this.#pausesReadAt = now;
    }
    return this.#pauses;
  }

  /** Runs prefetched jobs in the free slots. */
  #fillSlots(): void {
    if (this.#options.signal.aborted) return;
    while (this.#prefetched.size > 0 && this.#share.start()) {
      const next = this.#prefetched.shift(this.#runningOf)!;
      this.#count(next.job, 1);
      this.#running.set(next.job, this.#run(next));
    }
  }

  #count({ tenant }: Job, jobs: 1 | -1): void {
    const running = (this.#runningOf.get(tenant) ?? 0) + jobs;
    if (running > 0) this.#runningOf.set(tenant, running);
    else this.#runningOf.delete(tenant);
  }

  #release(jobs: readonly PrefetchedJob[]): void {
    // If this fails, the job is claimed again after its lease has lapsed.
    for (const { job } of jobs) this.#awaitEnd(releaseJob(this.#options.db, job).catch(() => {}));
  }

  /** Passes jobs on; they take no slot. */
  #forward(jobs: readonly Job[]): void {
    if (jobs.length === 0) return;
    const { forward = (jobs) => postponeForwarding(this.#options.db, jobs, NO_FORWARD_MS) } =
      this.#options;
    this.#awaitEnd(forward(jobs).catch(() => {}));
  }

  #awaitEnd(work: Promise<unknown>): void {
    const ended = work.finally(() => this.#releasing.delete(ended));
    this.#releasing.add(ended);
  }

  async #isDue(): Promise<boolean> {
    const { db, handlers } = this.#options;
    const { isAll, types, repoIds: pausedRepos } = await this.#readPauses();
    const jobTypes = Object.keys(handlers).filter((type) => !isAll && !types.includes(type));
    return jobTypes.length > 0 && await hasDueJobs(db, { jobTypes, pausedRepos });
  }

  async #run({ job, claimedAt }: PrefetchedJob): Promise<void> {
    const { db, handlers, leaseMs, backoff } = this.#options;
    const startedAt = performance.now();
    const outcome = await runAttempt(db, job, handlers[job.jobType], {
      leaseMs,
      claimedAt,
      backoff,
      signal: this.#stop.signal,
    });
    const elapsedMs = performance.now() - startedAt;
    this.#prefetched.learn(elapsedMs);
    this.#observe({ type: "ended", job, outcome, elapsedMs });
    this.#running.delete(job);
    this.#count(job, -1);
    this.#share.end();
    this.#fillSlots();
    // Now a slot is free, and jobs that waited for this one may be due: duplicates of it, and jobs of
    // a repo that had reached its limit.
    this.#look();
  }

  /** Waits for `ms`, or until woken. */
  #pause(ms?: number): Promise<void> {
    if (this.#isWoken) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(() => this.#endPause?.(), ms);
      this.#endPause = () => {
        clearTimeout(timer);
        this.#endPause = undefined;
        resolve();
      };
    });
  }

  /** Lets running jobs end within `drainMs`, then releases them. */
  async #drain(): Promise<void> {
    this.#share.giveBack();
    this.#release(this.#prefetched.clear());
    await Promise.all(this.#releasing);
    if (this.#running.size === 0) return;
    const { drainMs, force } = this.#options;
    this.#observe({ type: "draining", running: this.#running.size, drainMs });
    const ended = Promise.all(this.#running.values());
    using timers = new DisposableStack();
    if (force?.aborted) this.#releaseRunning();
    timers.adopt(setTimeout(() => this.#releaseRunning(), drainMs), clearTimeout);
    await orAborted(ended, this.#stop.signal).catch(() => {});
    if (this.#running.size === 0) return;
    const timeUp = Promise.withResolvers<void>();
    timers.adopt(setTimeout(timeUp.resolve, RELEASE_MS), clearTimeout);
    await Promise.race([ended, timeUp.promise]);
  }

  #releaseRunning(): void {
    if (this.#stop.signal.aborted) return;
    this.#observe({ type: "releasing", running: this.#running.size });
    this.#stop.abort(new CancelledError("Cannot go on: the worker is stopping"));
  }
}
