/**
 * Publishes the packs of many jobs: small ones that are ready at the same time go together.
 *
 * @module
 */

import { DatabaseError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import type { Lease } from "../lease.ts";
import { leaseLost } from "../lease.ts";
import { OptimisticInsert } from "./optimistic_insert.ts";
import {
  BATCH_ROWS,
  isInMemory,
  publish,
  PUBLISH_DEADLINE_MS,
  type PublishOptions,
} from "./publish.ts";
import type { PublishOutcome } from "./publish_outcome.ts";
import type { PublishPack } from "./publish_pack.ts";
import {
  isOverQuota,
  type LeasedPack,
  publishPacks,
  type PublishPacksOptions,
} from "./publish_packs.ts";
import { hasSqlState } from "./sql_state.ts";

/** Few enough for the statement to be short, however many packs wait. */
const MAX_PACKS = 64;
/** A pack with more rows gains nothing from sharing a statement. */
const MAX_PACK_ROWS = 1_000;
/** A statement that takes longer does not hold back the next one: it may wait for a lock. */
const SLOW_MS = 50;
/**
 * A second statement beside one that runs pays once so many packs wait: 10 to 15% more of them a
 * second. With fewer packs in each, the cost of the statement itself takes that back.
 */
const SECOND_PACKS = 12;
/**
 * How long a group waits for a lock. A pack may have an id in common with a large pack of its own
 * repo that is being published; the group's packs of other repos need not wait for that.
 */
const LOCK_TIMEOUT_MS = 250;
/** @see {@link https://www.postgresql.org/docs/current/errcodes-appendix.html | SQLSTATE codes} */
const LOCK_NOT_AVAILABLE = "55P03";

interface Waiting extends LeasedPack {
  readonly options: PublishOptions;
  readonly answer: PromiseWithResolvers<PublishOutcome>;
}

/** Waits for a connection that the publisher may use, until the result is disposed of. */
export type EnterPublish = (signal?: AbortSignal) => Promise<Disposable>;

/**
 * A group commit: the first pack is sent at once, and all that become ready before its answer comes
 * make the next statement. So no pack is held back to fill a group.
 */
export class Publisher {
  readonly #db: Database;
  readonly #enter: EnterPublish | undefined;
  readonly #optimistic = new OptimisticInsert();
  #waiting: Waiting[] = [];
  /** Statements that the next one waits for. */
  #running = 0;

  /** Sends to this database; with `enter`, each statement waits for that first. */
  constructor(db: Database, enter?: EnterPublish) {
    this.#db = db;
    this.#enter = enter;
  }

  /** As {@link publish}; throws what that throws. */
  async publish(
    lease: Lease,
    pack: PublishPack,
    options: PublishOptions = {},
  ): Promise<PublishOutcome> {
    if (!isInMemory(pack) || pack.objects + recordsOf(pack) > MAX_PACK_ROWS) {
      using _place = await this.#enter?.(options.signal);
      return await publish(this.#db, lease, pack, options);
    }
    const answer = Promise.withResolvers<PublishOutcome>();
    const waiting = { lease, pack, options, answer };
    this.#waiting.push(waiting);
    this.#next();
    // Only a publisher that waits for its connections lets packs wait for long.
    const signal = this.#enter && options.signal;
    const giveUp = () => {
      const at = this.#waiting.indexOf(waiting);
      // Otherwise its statement has been sent.
      if (at >= 0) reject(this.#waiting.splice(at, 1), signal!.reason);
    };
    signal?.addEventListener("abort", giveUp);
    try {
      return await answer.promise;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  #next(): void {
    const waiting = this.#waiting.length;
    if (waiting === 0 || this.#running > 1 || this.#running === 1 && waiting < SECOND_PACKS) return;
    this.#running++;
    let isAwaited = true;
    const goOn = () => {
      if (!isAwaited) return;
      isAwaited = false;
      this.#running--;
      this.#next();
    };
    this.#sendNext(goOn).finally(goOn);
  }

  async #sendNext(goOn: () => void): Promise<void> {
    // Those that come meanwhile go with it.
    using _place = this.#enter && await this.#enter();
    const timer = setTimeout(goOn, SLOW_MS);
    try {
      await this.#send(this.#takeGroup());
    } finally {
      clearTimeout(timer);
    }
  }

  /** The packs that wait the longest, but only one of each mpack key, and not too many rows. */
  #takeGroup(): Waiting[] {
    const group = new Map<string, Waiting>(), rest: Waiting[] = [];
    let rows = 0;
    for (const waiting of this.#waiting) {
      const { mpackKey, objects } = waiting.pack, packRows = objects + recordsOf(waiting.pack);
      if (group.size < MAX_PACKS && rows + packRows <= BATCH_ROWS && !group.has(mpackKey)) {
        group.set(mpackKey, waiting);
        rows += packRows;
      } else rest.push(waiting);
    }
    this.#waiting = rest;
    return [...group.values()];
  }

  /** Settles the answer of each pack in the group; never throws. */
  async #send(group: readonly Waiting[]): Promise<void> {
    if (group.length === 0) return;
    for (const { options } of group) options.onSend?.();
    const repos = Map.groupBy(group, ({ pack }) => pack.repoId);
    try {
      await this.#settle(group, repos.size > 1 ? { lockTimeoutMs: LOCK_TIMEOUT_MS } : {});
    } catch (error) {
      if (group.length > 1 && (isOverQuota(error) || isAboutData(error))) {
        // One by one: together they would take as many connections.
        for (const pack of group) {
          await this.#settle([pack], {}).catch((error) => reject([pack], error));
        }
      } else if (repos.size > 1 && hasSqlState(error, LOCK_NOT_AVAILABLE)) {
        await Promise.all(
          [...repos.values()].map((packs) =>
            this.#settle(packs, {}).catch((error) => reject(packs, error))
          ),
        );
      } else reject(group, error);
    }
  }

  async #settle(
    group: readonly Waiting[],
    options: Pick<PublishPacksOptions, "lockTimeoutMs">,
  ): Promise<void> {
    const { deadlineMs = PUBLISH_DEADLINE_MS } = group[0].options;
    const published = await publishPacks(this.#db, group, {
      ...options,
      deadlineMs,
      // A lone pack gains nothing: its rows are few.
      ...(group.length > 1 && { optimistic: this.#optimistic }),
    });
    for (const { lease, answer } of group) {
      const outcome = published.get(lease.jobId);
      if (outcome === undefined) answer.reject(leaseLost("publish a pack", lease));
      else answer.resolve(outcome);
    }
  }
}

/** Records in a pack; infinite if it has tags, whose count is that of the whole statement. */
function recordsOf({ history }: PublishPack): number {
  if (history === undefined) return 0;
  const { rows: { commits, snapshots, tags }, graph } = history;
  return tags.length > 0 ? Infinity : commits.length + snapshots.length + graph.length;
}

/** Whether the values of one pack may be the reason, so that the others must not fail with it. */
function isAboutData(error: unknown): boolean {
  const { code } = ((error as DatabaseError).cause ?? {}) as { readonly code?: unknown };
  return error instanceof DatabaseError && typeof code === "string" && /^2[123]/.test(code);
}

function reject(group: readonly Waiting[], error: unknown): void {
  for (const { answer } of group) answer.reject(error);
}
