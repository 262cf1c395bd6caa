/**
 * What a worker says of itself; logs, metrics and traces are made of it.
 *
 * @module
 */

import type { IndexProgress } from "../index/context.ts";
import type { Outcome } from "../attempt/run_attempt.ts";
import type { Job } from "../queue/job.ts";

/** Something that happened in a worker. */
export type WorkerEvent =
  /** Jobs were claimed, one or more. */
  | { readonly type: "claimed"; readonly jobs: readonly Job[] }
  /** An attempt is over. */
  | {
    readonly type: "ended";
    readonly job: Job;
    readonly outcome: Outcome<unknown>;
    readonly elapsedMs: number;
  }
  /** A handler got further. */
  | { readonly type: "progress"; readonly job: Job; readonly progress: IndexProgress }
  /** An attempt could not use the checkpoint of the one before. */
  | { readonly type: "start-over"; readonly job: Job; readonly reason: string }
  /** The queue could not be asked. */
  | { readonly type: "trouble"; readonly error: Error }
  /** LISTEN works (again), or was found broken. */
  | { readonly type: "listener"; readonly error?: Error }
  /** No more claims; so many jobs still run, for so long at most. */
  | { readonly type: "draining"; readonly running: number; readonly drainMs: number }
  /** Running jobs are being given back. */
  | { readonly type: "giving-back"; readonly running: number };

/** Is told what happens; must not throw. */
export type Observer = (event: WorkerEvent) => void;
