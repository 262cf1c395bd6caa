import type { Database } from "../db/client/database.ts";
import { type GraphRow, readAncestors } from "../db/history/ancestors.ts";

/** A page of a log needs few rows. */
const FIRST_ROWS = 64;
/** A statement of so many rows takes about 50 ms. */
const MAX_ROWS = 4_096;
/** Rows read ahead. Beyond, all are dropped, and read again if they are needed. */
const MAX_KEPT = 50_000;

/**
 * Reads the graph commit by commit. A commit that is not in memory is read together with its nearest
 * ancestors: the more, the longer the walk.
 */
export class GraphReader {
  readonly #db: Database;
  readonly #repoId: string;
  readonly #kept = new Map<string, GraphRow>();
  #rows: number;

  /** @param firstRows Rows of the first statement; each reads twice as many as the one before. */
  constructor(db: Database, repoId: string, firstRows: number = FIRST_ROWS) {
    this.#db = db;
    this.#repoId = repoId;
    this.#rows = firstRows;
  }

  /** The rows of these commits; a commit that the repo does not have is left out. */
  async read(commitIds: readonly string[]): Promise<GraphRow[]> {
    if (this.#kept.size > MAX_KEPT) this.#kept.clear();
    const absent = commitIds.filter((id) => !this.#kept.has(id));
    if (absent.length > 0) await this.#load(absent);
    return commitIds.map((id) => this.#kept.get(id)).filter((row) => row !== undefined);
  }

  /** Forgets a commit that is not read again. */
  forget(commitId: string): void {
    this.#kept.delete(commitId);
  }

  async #load(commitIds: readonly string[]): Promise<void> {
    for (let at = 0; at < commitIds.length; at += MAX_ROWS) {
      const ids = commitIds.slice(at, at + MAX_ROWS);
      const limit = Math.max(this.#rows, ids.length);
      const rows = await readAncestors(this.#db, this.#repoId, ids, limit);
      for (const row of rows) this.#kept.set(row.commitId, row);
    }
    this.#rows = Math.min(2 * this.#rows, MAX_ROWS);
  }
}
