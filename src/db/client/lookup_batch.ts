/**
 * Lookups of several requests in one statement.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { quotedLiteral } from "./array_literal.ts";
import type { Database } from "./database.ts";

/** Lookups in one statement. More that begin at once are several statements. */
const MAX_LOOKUPS = 64;

/** What is looked up. */
export interface Lookup {
  /** The verb phrase after "Cannot" in errors: "find a token". */
  readonly action: string;
  /** Names of the values, all of them texts. */
  readonly asked: readonly string[];
  /** A `select` of at most one row, with the values as `asked.NAME`. It must not wait for a lock. */
  readonly text: string;
}

interface Waiting<Found> {
  readonly values: readonly string[];
  readonly answer: PromiseWithResolvers<Found | undefined>;
}

/**
 * Collects the lookups of one kind that begin in one turn of the event loop, and makes them with one
 * statement.
 *
 * Nothing is kept: each lookup sees what was committed before it began. None waits for a statement
 * that was sent before.
 *
 * Rejected: connections for lookups alone on which statements are pipelined. The server runs those of
 * a connection one after the other, so they wait for a slow one, and cancelling one may hit the next.
 */
export class LookupBatch<Found> {
  readonly #db: Database;
  readonly #action: string;
  readonly #text: string;
  #waiting: Waiting<Found>[] = [];

  constructor(db: Database, { action, asked, text }: Lookup) {
    this.#db = db;
    this.#action = action;
    // `select` hides the lengths of the arrays from the planner: else it plans the statement anew for
    // each short one, which takes longer than the statement. `offset 0` keeps the plan that of a single
    // lookup, by indexes, once for each.
    const arrays = asked.map((_, index) => `(select $${index + 1}::text[])`);
    this.#text = `select asked.number::int, found.*
      from unnest(${arrays}) with ordinality as asked(${asked}, number)
      cross join lateral (${text} offset 0) as found`;
  }

  /**
   * Finds one row; undefined if there is none.
   *
   * @param values As many as `asked` names.
   * @throws As `Database.run`; then the others of the same statement fail, too.
   */
  find(values: readonly string[]): Promise<Found | undefined> {
    const answer = Promise.withResolvers<Found | undefined>();
    const length = this.#waiting.push({ values, answer });
    if (length === 1) setImmediate(() => this.#lookAll());
    if (length === MAX_LOOKUPS) this.#lookAll();
    return answer.promise;
  }

  async #lookAll(): Promise<void> {
    const waiting = this.#waiting;
    // They were too many to wait for the end of the turn.
    if (waiting.length === 0) return;
    this.#waiting = [];
    const parameters = waiting[0].values.map((_, column) =>
      quotedLiteral(waiting.map(({ values }) => values[column]))
    );
    try {
      type Row = Found & { readonly number: number };
      const rows = await this.#db.run<Row>(this.#action, this.#text, parameters);
      for (const row of rows) waiting[row.number - 1].answer.resolve(row);
      for (const { answer } of waiting) answer.resolve(undefined);
    } catch (error) {
      for (const { answer } of waiting) answer.reject(error);
    }
  }
}
