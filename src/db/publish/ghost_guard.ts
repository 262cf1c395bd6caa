/**
 * The ghost guard finds ghosts: ids that a pack's snapshots name, but that are neither in the pack
 * nor the repo's. Its memory is bounded, however many ids there are.
 *
 * A pack may name an id before it contains it, so both kinds of ids must be kept until the end of the
 * pack. What does not fit into memory goes to an unlogged table, where one statement compares them.
 *
 * @module
 */

import { DatabaseError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import type { Lease } from "../lease.ts";
import {
  deleteGuard,
  ghostPage,
  rewindGuard,
  type SettledGuard,
  settleGuard,
  spillHeld,
  spillNamed,
} from "./guard_rows.ts";
import { knownRefs } from "../refs.ts";
import { PUBLISH_DEADLINE_MS } from "./publish.ts";

/** Together these take about 3 MB. */
const MAX_IDS = 20_000;
/** Ids in one statement, and in one page of ghosts. */
const PAGE_IDS = 5_000;

/** How to guard a pack. */
export interface GuardOptions {
  /** The database. */
  readonly db: Database;
  /** The repo that is pushed to. Only its refs count. */
  readonly repoId: string;
  /** How many ids of each kind stay in memory. Default 20,000. */
  readonly maxIds?: number;
  /** Milliseconds that the statement which compares all ids may take. Default: an hour. */
  readonly deadlineMs?: number;
  /** The hold on the job whose attempts hand the written ids on. Without one, nobody may. */
  readonly lease?: Lease;
  /** Goes on with the ids that an earlier guard has written, if `canResume()` says that they are there. */
  readonly from?: GuardState;
}

/** What a guard has written, for a later one to go on with. */
export interface GuardState {
  readonly guard_id: string;
  readonly batches: number;
  readonly named: number;
}

/** Rows of the pack that are staged, so that the guard need not keep their ids. */
export interface StagedIds {
  /** The job that staged them. */
  readonly jobId: string;
  /** In its first batches, so many. */
  readonly batches: number;
  /** How many rows it staged. A crash of the database loses them, so they are counted. */
  readonly rows: number;
}

/** The ids that a pack names, and that are neither in it nor the repo's. */
export interface Ghosts {
  /** How many there are. */
  readonly count: number;
  /** The ids, sorted, each once, a page at a time. Ends when the guard is disposed of. */
  pages(): AsyncIterable<readonly string[]>;
}

/**
 * Collects the ids that one pack names and those that it contains. Between chunks, call `flush()` if
 * `isDue`; at the end, before the publish, call `ghosts()`. Dispose of the guard afterwards.
 *
 * @example
 * ```ts ignore
 * await using guard = new GhostGuard({ db, repoId });
 * const decoder = new MpackDecoder({ handler: { manifestId: (id) => guard.name(id) } });
 * for await (const chunk of pack) {
 *   decoder.write(chunk);
 *   guard.hold(decoder.take().objectIds);
 *   if (guard.isDue) await guard.flush();
 * }
 * const { count, pages } = await guard.ghosts();
 * ```
 */
export class GhostGuard implements AsyncDisposable {
  readonly #db: Database;
  readonly #repoId: string;
  readonly #maxIds: number;
  readonly #deadlineMs: number;
  readonly #guardId: string;
  readonly #lease: Lease | undefined;
  readonly #named = new Set<string>();
  #held: string[] = [];
  /** What was written to the table. */
  readonly #spilled = { batches: 0, named: 0, held: 0 };
  #flushing: Promise<unknown> = Promise.resolve();

  /** Writes nothing to the database until memory is full. */
  constructor(options: GuardOptions) {
    const { db, repoId, maxIds = MAX_IDS, deadlineMs = PUBLISH_DEADLINE_MS, from } = options;
    this.#deadlineMs = deadlineMs;
    this.#db = db;
    this.#repoId = repoId;
    this.#maxIds = maxIds;
    this.#lease = options.lease;
    this.#guardId = from?.guard_id ?? crypto.randomUUID();
    if (from) Object.assign(this.#spilled, { batches: from.batches, named: from.named });
  }

  /**
   * Whether the ids of a state are still there; deletes those that were written after it.
   *
   * They are lost after a crash of the database, or a day.
   */
  static async canResume(
    db: Database,
    { guard_id: guardId, batches, named }: GuardState,
    lease: Lease,
  ): Promise<boolean> {
    // Also without a batch: an attempt that went on from here may have written some.
    return await rewindGuard(db, { guardId, batches, lease }) === named;
  }

  /** Notes that a snapshot names this id, which must be well-formed. */
  name(objectId: string): void {
    this.#named.add(objectId);
  }

  /** Notes that the pack contains these. */
  hold(objectIds: readonly string[]): void {
    // push(...ids) would fail: a hundred thousand arguments are too many.
    for (const objectId of objectIds) this.#held.push(objectId);
  }

  /** Whether memory is full. Call `flush()` before the next ids then. */
  get isDue(): boolean {
    return this.#named.size >= this.#maxIds || this.#held.length >= this.#maxIds;
  }

  /**
   * Moves the ids from memory to the table. Named ids that the repo has are dropped.
   *
   * @returns What is written by then: all ids of before the call, and none of after it.
   * @throws {DatabaseError} If the database is unavailable.
   */
  flush(): Promise<GuardState> {
    const named = [...this.#named], held = this.#held;
    this.#named.clear();
    this.#held = [];
    const flushed = this.#flushing.then(() => this.#spill(named, held));
    // One that failed is reported to its caller.
    this.#flushing = flushed.catch(() => {});
    return flushed;
  }

  async #spill(named: readonly string[], held: readonly string[]): Promise<GuardState> {
    const to = { guardId: this.#guardId, repoId: this.#repoId, lease: this.#lease };
    for (let at = 0; at < named.length; at += PAGE_IDS) {
      const ids = named.slice(at, at + PAGE_IDS);
      this.#spilled.named += await spillNamed(this.#db, { ...to, batch: this.#nextBatch(), ids });
    }
    for (let at = 0; at < held.length; at += PAGE_IDS) {
      const ids = held.slice(at, at + PAGE_IDS);
      await spillHeld(this.#db, { ...to, batch: this.#nextBatch(), ids });
      this.#spilled.held += ids.length;
    }
    const { batches, named: total } = this.#spilled;
    return { guard_id: this.#guardId, batches, named: total };
  }

  /**
   * Finds the ids that were named, but are neither in the pack, staged or not, nor the repo's.
   *
   * @throws {DatabaseError} If the database is unavailable, or has lost ids or staged rows.
   */
  async ghosts(options: { readonly staged?: StagedIds } = {}): Promise<Ghosts> {
    const { staged } = options;
    if (this.#spilled.batches === 0 && (staged?.rows ?? 0) === 0) return await this.#inMemory();
    await this.flush();
    const settled = await settleGuard(this.#db, {
      guardId: this.#guardId,
      repoId: this.#repoId,
      jobId: staged?.jobId ?? "",
      batches: staged?.batches ?? 0,
      pageIds: PAGE_IDS,
      deadlineMs: this.#deadlineMs,
    });
    this.#checkComplete(settled, staged);
    const db = this.#db, guardId = this.#guardId;
    return {
      count: settled.ghosts,
      async *pages() {
        for (let page = 0; page * PAGE_IDS < settled.ghosts; page++) {
          yield await ghostPage(db, { guardId, page });
        }
      },
    };
  }

  /** Deletes what was written. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#named.clear();
    this.#held = [];
    if (this.#spilled.batches > 0) await deleteGuard(this.#db, this.#guardId);
  }

  async #inMemory(): Promise<Ghosts> {
    const held = new Set(this.#held);
    const candidates = [...this.#named].filter((id) => !held.has(id));
    const ghosts: string[] = [];
    for (let at = 0; at < candidates.length; at += PAGE_IDS) {
      const ids = candidates.slice(at, at + PAGE_IDS);
      const known = await knownRefs(this.#db, this.#repoId, ids, { isDamagedMissing: false });
      for (const id of ids) if (!known.has(id)) ghosts.push(id);
    }
    ghosts.sort();
    return {
      count: ghosts.length,
      async *pages() {
        for (let at = 0; at < ghosts.length; at += PAGE_IDS) {
          yield await Promise.resolve(ghosts.slice(at, at + PAGE_IDS));
        }
      },
    };
  }

  /** Lost names would hide ghosts; lost ids of the pack would report ghosts that are none. */
  #checkComplete({ named, held, stagedRows }: SettledGuard, staged?: StagedIds): void {
    const isComplete = named === this.#spilled.named && held === this.#spilled.held &&
      stagedRows === (staged?.rows ?? 0);
    if (isComplete) return;
    throw new DatabaseError(
      `Cannot check the pack's ids: ${named} of ${this.#spilled.named} named and ${held} of ` +
        `${this.#spilled.held} held are in the database, and of the rows ${stagedRows} of ` +
        `${staged?.rows ?? 0} are staged; start over`,
    );
  }

  #nextBatch(): number {
    return this.#spilled.batches++;
  }
}
