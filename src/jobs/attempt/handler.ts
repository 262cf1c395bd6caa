import type { Job } from "../queue/job.ts";

/** What a handler is given beside the job. */
export interface AttemptScope {
  /** Fires when the lease is lost, the job is cancelled, or the worker wants to stop. */
  readonly signal: AbortSignal;
  /** To be told when a statement has renewed the lease, with `performance.now()` before it. */
  renewed(sentAt: number): void;
  /** Ends the heartbeats: the statement that finishes the job holds its row from now on. */
  finishing(): void;
}

/** Does the work of a job and finishes it by a fenced statement of its own. */
export type Handler<Result> = (job: Job, scope: AttemptScope) => Promise<Result>;
