/**
 * Events of a worker, from which its logs, metrics and traces are made.
 *
 * @module
 */

import type { IndexProgress } from "../index/context.ts";
import type { Outcome } from "../attempt/run_attempt.ts";
import type { ClaimedDelivery } from "../../db/webhooks/deliveries.ts";
import type { Job } from "../queue/job.ts";
import type { Sent } from "../webhooks/send_webhook.ts";

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
  /** A handler has made progress. */
  | { readonly type: "progress"; readonly job: Job; readonly progress: IndexProgress }
  /** An attempt started over from the first byte. */
  | { readonly type: "start-over"; readonly job: Job; readonly reason: string }
  /** A webhook was told, or could not be. */
  | { readonly type: "webhook"; readonly delivery: ClaimedDelivery; readonly sent: Sent }
  /** A claim failed. */
  | { readonly type: "queue-error"; readonly error: Error }
  /** Claims that had failed work again. */
  | { readonly type: "queue-works" }
  /** LISTEN works again (no error), or was found broken. */
  | { readonly type: "listener"; readonly error?: Error }
  /** The worker claims no more; its jobs may run on for `drainMs`. */
  | { readonly type: "draining"; readonly running: number; readonly drainMs: number }
  /** Running jobs are being released. */
  | { readonly type: "releasing"; readonly running: number };

/** Gets the events; must not throw. */
export type Observer = (event: WorkerEvent) => void;
