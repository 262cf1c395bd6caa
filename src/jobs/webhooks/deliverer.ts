/**
 * Delivers what webhooks are to be told, beside the worker's jobs: with places of its own, so that no
 * receiver keeps a pack from being indexed.
 *
 * Each event is delivered at least once, in no promised order. A worker that is killed leaves a lease
 * that ends, and another one sends again, with the same id.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import {
  claimDeliveries,
  type ClaimedDelivery,
  failDelivery,
  finishDelivery,
  purgeDeliveries,
  releaseDelivery,
} from "../../db/webhooks/deliveries.ts";
import { type SendOptions, sendWebhook, type Sent } from "./send_webhook.ts";

/** Deliveries at once in one process. */
const CONCURRENCY = 16;
/** Longer than an attempt may take, with time to record it. */
const LEASE_MS = 60_000;
const SECOND_MS = 1_000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS;
/** Before each further attempt: nine attempts in 23 h 35 min. */
const DELAYS_MS: readonly number[] = [
  5 * SECOND_MS,
  MINUTE_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  8 * HOUR_MS,
  8 * HOUR_MS,
];
/** Each wait is longer by up to a tenth, so that what failed together does not come together. */
const JITTER = 0.1;
const PURGE_EVERY_MS = HOUR_MS;
/** How long the log of an ended delivery is kept. */
const KEEP_MS = 30 * 24 * HOUR_MS;
const RETRY_MS = 5_000;

/** How to deliver. */
export interface DelivererOptions extends Omit<SendOptions, "signal"> {
  readonly db: Database;
  /** Longest time between two looks at the outbox without a wake-up, in milliseconds. */
  readonly pollMs: number;
  /** Stops the claims; what is on its way may end. */
  readonly signal: AbortSignal;
  /** Aborts what is on its way; another worker sends it again. */
  readonly force?: AbortSignal;
  /** Whether to return when nothing is due. */
  readonly untilEmpty?: boolean;
  /** Told of each attempt. */
  readonly onAttempt?: (delivery: ClaimedDelivery, sent: Sent) => void;
  /** Told when the database cannot be used. */
  readonly onError?: (error: Error) => void;
}

/** Claims and sends deliveries. One `run()` is its whole life. */
export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #running = new Set<Promise<void>>();
  readonly #stop: AbortSignal;
  #purgeAt = 0;
  #isWoken = false;
  #endPause: (() => void) | undefined;

  constructor(options: DelivererOptions) {
    this.#options = options;
    this.#stop = options.force ?? new AbortController().signal;
  }

  /** Makes it look now. */
  wake(): void {
    this.#isWoken = true;
    this.#endPause?.();
  }

  /** Delivers until `signal` fires or, with `untilEmpty`, until nothing is due. Never throws. */
  async run(): Promise<void> {
    const { db, signal, pollMs, untilEmpty = false } = this.#options;
    const wake = () => this.wake();
    signal.addEventListener("abort", wake);
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        await this.#purge();
        const sending = this.#running.size, limit = CONCURRENCY - sending;
        const claimed = limit > 0 ? await claimDeliveries(db, { limit, leaseMs: LEASE_MS }) : [];
        for (const delivery of claimed) this.#start(delivery);
        // What was on its way then may have had the places of what is due.
        if (untilEmpty && claimed.length === 0 && sending === 0) break;
        await this.#pause(pollMs * (0.5 + Math.random() / 2));
      } catch (error) {
        this.#options.onError?.(error as Error);
        if (untilEmpty) break;
        await this.#pause(RETRY_MS);
      }
    }
    await Promise.all(this.#running);
    signal.removeEventListener("abort", wake);
  }

  #start(delivery: ClaimedDelivery): void {
    const running = this.#deliver(delivery)
      // Not recorded: its lease ends, and it is sent again.
      .catch((error) => this.#options.onError?.(error))
      .finally(() => {
        this.#running.delete(running);
        this.wake();
      });
    this.#running.add(running);
  }

  async #deliver(delivery: ClaimedDelivery): Promise<void> {
    const { db, onAttempt } = this.#options, { attempt } = delivery;
    const sent = await sendWebhook(delivery, { ...this.#options, signal: this.#stop });
    if (sent.error !== null && this.#stop.aborted) return await releaseDelivery(db, delivery);
    onAttempt?.(delivery, sent);
    const { retryAfterMs = 0, ...entry } = sent;
    if (sent.error === null) return await finishDelivery(db, delivery, entry);
    const waitMs = attempt > DELAYS_MS.length ? null : DELAYS_MS[attempt - 1];
    const isDisabled = await failDelivery(db, delivery, entry, {
      delayMs: waitMs === null
        ? null
        : Math.max(waitMs * (1 + JITTER * Math.random()), Math.min(retryAfterMs, 8 * HOUR_MS)),
      // As the specification asks for.
      ...(sent.status === 410 ? { disableFor: "the receiver answered 410 Gone" } : {}),
    });
    if (isDisabled) this.#purgeAt = 0;
  }

  async #purge(): Promise<void> {
    if (performance.now() < this.#purgeAt) return;
    this.#purgeAt = performance.now() + PURGE_EVERY_MS;
    await purgeDeliveries(this.#options.db, { olderThanMs: KEEP_MS });
  }

  #pause(ms: number): Promise<void> {
    if (this.#isWoken) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#endPause?.(), ms);
      this.#endPause = () => {
        clearTimeout(timer);
        this.#endPause = undefined;
        resolve();
      };
    });
  }
}
