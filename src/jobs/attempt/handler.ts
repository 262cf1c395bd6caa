import type { Job } from "../queue/job.ts";

/** What a handler gets besides the job. */
export interface AttemptScope {
  /** Fires when the lease is lost, the job is cancelled, or the worker stops. */
  readonly signal: AbortSignal;
  /** To be called when a statement, sent at `sentAt` by `performance.now()`, renewed the lease. */
  renewed(sentAt: number): void;
  /** Stops the heartbeats. To be called before the statement that ends the job: it locks its row. */
  finishing(): void;
}

/** Does the work of a job, and ends the job by its own fenced statement. */
export type JobHandler<Result> = (job: Job, scope: AttemptScope) => Promise<Result>;
