/**
 * The ghost guard over a whole pack: which ids do its snapshots name that are neither in the pack
 * nor the repo's? In memory that is bounded however many ids there are.
 *
 * A pack may name its ids before it brings them, so neither side can be dropped before the end.
 * Both collect here, and what outgrows the memory goes to an unlogged table, where one statement
 * settles the difference.
 *
 * @module
 */

import { DatabaseError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import {
  deleteGuard,
  ghostPage,
  type SettledGuard,
  settleGuard,
  spillHeld,
  spillNamed,
} from "./guard_rows.ts";
import { missingRefs } from "../refs.ts";

/** About 3 MB of ids of each kind. */
const MAX_IDS = 20_000;
/** Ids in one statement, and in one page of ghosts. */
const PAGE_IDS = 5_000;

/** For whom to guard. */
export interface GuardOptions {
  /** The database. */
  readonly db: Database;
  /** The repo that is pushed to; only its refs count. */
  readonly repoId: string;
  /** How many ids of each kind stay in memory. Default 20,000. */
  readonly maxIds?: number;
}

/** Rows of the pack that are staged already, so that they need not be held a second time. */
export interface StagedIds {
  /** The job that staged them. */
  readonly jobId: string;
  /** How many rows it staged; a crash of the database loses them, which must not go unnoticed. */
  readonly rows: number;
}

/** The ids that a push names and that nobody has brought. */
export interface Ghosts {
  /** How many there are. */
  readonly count: number;
  /** Them, sorted, each once, a page at a time; until the guard is disposed of. */
  pages(): AsyncIterable<readonly string[]>;
}

/**
 * Collects what one pack names and what it holds. Between chunks, `await guard.flush()` where
 * `guard.isDue`; at the end, before the publish, `await guard.ghosts()`. Dispose of it afterwards.
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
  readonly #guardId = crypto.randomUUID();
  readonly #named = new Set<string>();
  #held: string[] = [];
  /** What lies in the table. */
  readonly #spilled = { batches: 0, named: 0, held: 0 };

  /** Starts with nothing named and nothing held; writes nothing until there is too much. */
  constructor({ db, repoId, maxIds = MAX_IDS }: GuardOptions) {
    this.#db = db;
    this.#repoId = repoId;
    this.#maxIds = maxIds;
  }

  /** A snapshot names this id, which has to be well-formed. */
  name(objectId: string): void {
    this.#named.add(objectId);
  }

  /** The pack brings these. */
  hold(objectIds: readonly string[]): void {
    // Not push(...ids): a hundred thousand arguments are too many.
    for (const objectId of objectIds) this.#held.push(objectId);
  }

  /** Whether memory is full, so that `flush()` should be called before more comes. */
  get isDue(): boolean {
    return this.#named.size >= this.#maxIds || this.#held.length >= this.#maxIds;
  }

  /**
   * Makes room: named ids that the repo has are forgotten, the others and the held ones move out.
   *
   * @throws {DatabaseError} If the database is unavailable.
   */
  async flush(): Promise<void> {
    const named = [...this.#named], held = this.#held;
    this.#named.clear();
    this.#held = [];
    const to = { guardId: this.#guardId, repoId: this.#repoId };
    for (let at = 0; at < named.length; at += PAGE_IDS) {
      const ids = named.slice(at, at + PAGE_IDS);
      this.#spilled.named += await spillNamed(this.#db, { ...to, batch: this.#nextBatch(), ids });
    }
    for (let at = 0; at < held.length; at += PAGE_IDS) {
      const ids = held.slice(at, at + PAGE_IDS);
      await spillHeld(this.#db, { ...to, batch: this.#nextBatch(), ids });
      this.#spilled.held += ids.length;
    }
  }

  /**
   * Settles it: the ids that were named, but neither held nor staged nor the repo's.
   *
   * @throws {DatabaseError} If the database is unavailable, or has lost what was kept there.
   */
  async ghosts(options: { readonly staged?: StagedIds } = {}): Promise<Ghosts> {
    const { staged } = options;
    if (this.#spilled.batches === 0 && (staged?.rows ?? 0) === 0) return await this.#inMemory();
    await this.flush();
    const settled = await settleGuard(this.#db, {
      guardId: this.#guardId,
      repoId: this.#repoId,
      jobId: staged?.jobId ?? "",
      pageIds: PAGE_IDS,
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

  /** Forgets everything, and deletes what was written. */
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
      const missing = await missingRefs(this.#db, this.#repoId, ids, { isDamagedMissing: false });
      for (const id of missing) ghosts.push(id);
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

  /** Fewer names than were kept would let ghosts pass; fewer held ids would make some up. */
  #checkComplete({ named, held, stagedRows }: SettledGuard, staged?: StagedIds): void {
    const isComplete = named === this.#spilled.named && held === this.#spilled.held &&
      stagedRows === (staged?.rows ?? 0);
    if (isComplete) return;
    throw new DatabaseError(
      `Cannot check the pack's ids: ${named} of ${this.#spilled.named} named and ${held} of ` +
        `${this.#spilled.held} held ids are in the database, ${stagedRows} of ` +
        `${staged?.rows ?? 0} rows are staged; start over`,
    );
  }

  #nextBatch(): number {
    return this.#spilled.batches++;
  }
}
