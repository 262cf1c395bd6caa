import { counted } from "../../lib/numbers.ts";
import type { Database } from "../../db/client/database.ts";
import { readWalkPage, type WalkKind, writeWalkPage } from "../../db/history/walk_ids.ts";
import { DatabaseError } from "../../errors.ts";

/** Ids per page. */
export const PAGE_IDS = 5_000;

/** Rows in an order, or ids: those that are too many for memory are in the database. */
export interface Pages<T> {
  /** How many there are. */
  readonly size: number;
  /** They in pages of 5,000. */
  pages(): AsyncIterable<readonly T[]>;
}

/** Pages in memory. */
export function pagesInMemory<T>(rows: readonly T[]): Pages<T> {
  return {
    size: rows.length,
    async *pages() {
      for (let at = 0; at < rows.length; at += PAGE_IDS) {
        yield await Promise.resolve(rows.slice(at, at + PAGE_IDS));
      }
    },
  };
}

/** Pages in the database, whose rows are read when it is their turn. */
export function pagesInDatabase<T>(
  db: Database,
  { walkId, kind, size, read }: {
    readonly walkId: string;
    readonly kind: WalkKind;
    readonly size: number;
    /** Reads the rows of a page of ids. */
    read(ids: readonly string[]): Promise<readonly T[]>;
  },
): Pages<T> {
  return {
    size,
    async *pages() {
      let done = 0;
      for (let page = 0; done < size; page++) {
        const ids = await readWalkPage(db, { walkId, kind, page });
        if (ids.length === 0) throw lost(done, size);
        done += ids.length;
        yield await read(ids);
      }
    },
  };
}

/** The error for ids that a crash of the database has taken. */
export function lost(found: number, written: number): DatabaseError {
  return new DatabaseError(
    `Cannot go on with a walk over the history: the database has ${found} of its ${
      counted(written, "id")
    }; ` +
      "start over",
  );
}

/** How many ids to keep, and where the others go. */
export interface IdsOptions {
  readonly db: Database;
  readonly walkId: string;
  readonly kind: WalkKind;
  readonly maxIds: number;
  /** Called before the first id goes to the database. */
  onSpill(): void;
}

/** Collects ids: each once while they are in memory, else perhaps several times. */
export class Ids {
  readonly #options: IdsOptions;
  readonly #ids = new Set<string>();
  #page = 0;
  #written = 0;

  constructor(options: IdsOptions) {
    this.#options = options;
  }

  /** Whether there were too many for memory. */
  get isSpilled(): boolean {
    return this.#page > 0;
  }

  /** The ids, unless there were too many. */
  inMemory(): Iterable<string> {
    return this.#ids;
  }

  async add(ids: Iterable<string>): Promise<void> {
    for (const id of ids) {
      this.#ids.add(id);
      if (this.#ids.size >= this.#options.maxIds) await this.#spill();
    }
  }

  /** Moves the last ids to the database; returns how many are there. */
  async spillAll(): Promise<number> {
    await this.#spill();
    return this.#written;
  }

  async #spill(): Promise<void> {
    const { db, walkId, kind, onSpill } = this.#options, ids = [...this.#ids];
    this.#ids.clear();
    onSpill();
    for (let at = 0; at < ids.length; at += PAGE_IDS) {
      const page = ids.slice(at, at + PAGE_IDS);
      await writeWalkPage(db, { walkId, kind, page: this.#page++ }, page);
      this.#written += page.length;
    }
  }
}
