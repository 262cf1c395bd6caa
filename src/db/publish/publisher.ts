/**
 * Publishes the packs of many jobs: small ones that are ready at the same time go together.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import type { Lease } from "../lease.ts";
import { publish, PUBLISH_DEADLINE_MS, type PublishOutcome } from "./publish.ts";
import type { PublishPack } from "./publish_pack.ts";
import { isSmallPack, publishTogether, type SmallPack } from "./publish_together.ts";
import { Suspects } from "./optimistic_insert.ts";

/** Few enough for the statement to be short, whatever waits. */
const MAX_PACKS = 64;
/** Packs with more rows gain nothing by company. */
const MAX_ROWS = 1_000;
/**
 * Who waits for a statement that takes longer waits no more: it may be held up by a large pack that
 * has an id in common with one of its own.
 */
const PATIENCE_MS = 50;

/**
 * A second statement beside one that runs pays once so many packs wait: 10 to 15% more of them a
 * second. With fewer in each, what the statements cost for themselves took that back.
 */
const SECOND_PACKS = 12;

/** How to publish one pack. */
export interface PublisherOptions {
  /** Milliseconds the statement may take. */
  readonly deadlineMs?: number;
  /** Called right before the statement is sent. */
  readonly onSend?: () => void;
}

interface Waiting extends SmallPack {
  readonly options: PublisherOptions;
  readonly answer: PromiseWithResolvers<PublishOutcome>;
}

/**
 * A group commit: the first pack goes at once, and what becomes ready before its answer is there
 * makes the next statement. So nobody waits for company, and a lone pack is published as ever.
 */
export class Publisher {
  readonly #db: Database;
  readonly #suspects = new Suspects();
  #waiting: Waiting[] = [];
  /** Statements that others wait for. */
  #running = 0;

  /** Sends to this database. */
  constructor(db: Database) {
    this.#db = db;
  }

  /** As {@link publish}; throws what that throws. */
  publish(
    lease: Lease,
    pack: PublishPack,
    options: PublisherOptions = {},
  ): Promise<PublishOutcome> {
    const answer = Promise.withResolvers<PublishOutcome>();
    const waiting = { lease, pack, options, answer };
    if (pack.objects > MAX_ROWS || !isSmallPack(waiting)) return this.#alone(waiting);
    this.#waiting.push(waiting);
    this.#next();
    return answer.promise;
  }

  #next(): void {
    const waiting = this.#waiting.length;
    if (waiting === 0 || this.#running > 1 || this.#running === 1 && waiting < SECOND_PACKS) return;
    const group = this.#takeGroup();
    this.#running++;
    let isAwaited = true;
    const goOn = () => {
      if (!isAwaited) return;
      isAwaited = false;
      this.#running--;
      this.#next();
    };
    const timer = setTimeout(goOn, PATIENCE_MS);
    this.#send(group).finally(() => {
      clearTimeout(timer);
      goOn();
    });
  }

  /** Those that wait the longest, but of one mpack key only one. */
  #takeGroup(): Waiting[] {
    const group = new Map<string, Waiting>(), rest: Waiting[] = [];
    for (const waiting of this.#waiting) {
      const { mpackKey } = waiting.pack;
      if (group.size < MAX_PACKS && !group.has(mpackKey)) group.set(mpackKey, waiting);
      else rest.push(waiting);
    }
    this.#waiting = rest;
    return [...group.values()];
  }

  /** Settles every answer of the group; never throws. */
  async #send(group: readonly Waiting[]): Promise<void> {
    const [first, ...others] = group;
    if (others.length === 0) {
      return await this.#alone(first).then(first.answer.resolve, first.answer.reject);
    }
    for (const { options } of group) options.onSend?.();
    const { deadlineMs = PUBLISH_DEADLINE_MS } = first.options;
    try {
      const published = await publishTogether(this.#db, group, {
        deadlineMs,
        suspects: this.#suspects,
      });
      for (const waiting of group) {
        const outcome = published.get(waiting.lease.jobId);
        // What was left out is judged on its own, and holds up nobody.
        waiting.answer.resolve(outcome ?? this.#alone(waiting));
      }
    } catch (error) {
      for (const { answer } of group) answer.reject(error);
    }
  }

  #alone({ lease, pack, options: { onSend, ...options } }: Waiting): Promise<PublishOutcome> {
    onSend?.();
    return publish(this.#db, lease, pack, options);
  }
}
