/**
 * Renews one job's lease by a timer, and gives the job up before the lease can have lapsed.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { CancelledError, LeaseLostError } from "../../errors.ts";
import { LinkedAbort } from "../../lib/abort.ts";
import type { AttemptScope } from "./handler.ts";
import type { Job } from "../queue/job.ts";
import { renewLease } from "../queue/renew_lease.ts";

/** Three heartbeats may be missed before the lease lapses. */
const BEATS_PER_LEASE = 4;
/** By its own clock the worker gives up this part of the lease early. */
const MARGIN = 0.1;

/** How to keep a lease. */
interface LeaseKeeperOptions {
  /** Length of the lease in milliseconds, 1,000 or more. */
  readonly leaseMs: number;
  /** Fires when the worker stops. */
  readonly signal: AbortSignal;
  /** `performance.now()` before the claim was sent. Default: now. */
  readonly claimedAt?: number;
}

/** The heartbeat of one attempt, and the scope of its handler. */
export class LeaseKeeper implements AttemptScope, Disposable {
  /** Fires with the reason why the work must stop. */
  readonly signal: AbortSignal;
  readonly #db: Database;
  readonly #job: Job;
  readonly #leaseMs: number;
  readonly #stop: LinkedAbort;
  #renewedAt: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isRenewing = false;
  #isCancelled = false;

  /** Starts the heartbeat; dispose of it. */
  constructor(db: Database, job: Job, options: LeaseKeeperOptions) {
    this.#renewedAt = options.claimedAt ?? performance.now();
    this.#db = db;
    this.#job = job;
    this.#leaseMs = options.leaseMs;
    this.#stop = new LinkedAbort(options.signal);
    this.signal = this.#stop.signal;
    this.#timer = setInterval(() => this.#beat(), options.leaseMs / BEATS_PER_LEASE / 2);
  }

  /** Whether the job was cancelled. */
  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  renewed(sentAt: number): void {
    this.#renewedAt = Math.max(this.#renewedAt, sentAt);
  }

  finishing(): void {
    this.stop();
  }

  /** Stops the heartbeat; the lease stays as it is. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Stops the heartbeat, and stops following the worker's signal. */
  [Symbol.dispose](): void {
    this.stop();
    this.#stop[Symbol.dispose]();
  }

  #beat(): void {
    // The monotonic clock goes on in a stopped process: once continued, it gives up at once.
    const ageMs = performance.now() - this.#renewedAt;
    if (ageMs >= this.#leaseMs * (1 - MARGIN)) {
      return this.#giveUp(
        new LeaseLostError(
          `Cannot go on with job ${this.#job.jobId}: its lease of ${this.#leaseMs} ms was not renewed in time`,
        ),
      );
    }
    if (ageMs >= this.#leaseMs / BEATS_PER_LEASE && !this.#isRenewing) this.#renew();
  }

  async #renew(): Promise<void> {
    this.#isRenewing = true;
    const sentAt = performance.now();
    try {
      const { cancelRequested } = await renewLease(this.#db, this.#job, { leaseMs: this.#leaseMs });
      this.renewed(sentAt);
      if (cancelRequested) {
        this.#isCancelled = true;
        this.#giveUp(
          new CancelledError(`Cannot go on with job ${this.#job.jobId}: it was cancelled`),
        );
      }
    } catch (error) {
      // Other errors may be transient; #beat() decides when it is too late.
      if (error instanceof LeaseLostError) this.#giveUp(error);
    } finally {
      this.#isRenewing = false;
    }
  }

  #giveUp(reason: Error): void {
    if (this.#timer === undefined) return;
    this.stop();
    this.#stop.abort(reason);
  }
}
