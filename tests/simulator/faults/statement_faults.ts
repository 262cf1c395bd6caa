/**
 * Faults of single statements. A fault is drawn first, and hits one of the next statements.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import type { Random } from "../../fuzz/random.ts";
import type { Tally } from "../tally.ts";

/** Errors that the server itself sends, by their codes. */
const SERVER_ERRORS = {
  "statement timeout": "57014",
  "deadlock": "40P01",
  "serialisation failure": "40001",
  "out of disk": "53100",
  "too many connections": "53300",
};

/** `refused` does not reach the server, `lost` is executed without an answer, `hung` gets no answer. */
export const STATEMENT_FAULTS = [
  "refused",
  "lost",
  "hung",
  ...Object.keys(SERVER_ERRORS) as (keyof typeof SERVER_ERRORS)[],
] as const;
type StatementFault = typeof STATEMENT_FAULTS[number];

interface Armed {
  readonly kind: StatementFault;
  /** Statements that are sent unharmed before. */
  passing: number;
}

const MOST_PASSING = 10;

/** The faults of all pools of one run. */
export class StatementFaults {
  readonly #tally: Tally;
  readonly #armed: Armed[] = [];

  /** Counts what it does. */
  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** Draws a fault, for one of the next statements. */
  arm(random: Random): void {
    const kind = random.pick(STATEMENT_FAULTS);
    this.#armed.push({ kind, passing: random.below(MOST_PASSING) });
  }

  /** No more faults. */
  disarm(): void {
    this.#armed.length = 0;
  }

  /** Sends a statement, or lets the fault that is due hit it. */
  async send<T>({ sql }: Database, query: PromiseLike<T>, action: string): Promise<T> {
    handleRejection(query);
    for (const armed of this.#armed) armed.passing--;
    const due = this.#armed.findIndex(({ passing }) => passing < 0);
    if (due === -1) return await query;
    const [{ kind }] = this.#armed.splice(due, 1);
    this.#tally.fault(`statement ${kind}`, action);
    switch (kind) {
      case "refused":
        throw reset();
      case "lost":
        await query;
        throw reset();
      case "hung":
        return await handleRejection(query);
      default:
        await sql.unsafe(
          `do $$ begin raise '${kind}' using errcode = '${SERVER_ERRORS[kind]}'; end $$`,
        );
        throw new Error("the server did not raise");
    }
  }
}

/**
 * Handles the rejection of a statement without sending it. postgres.js sends a statement when it is
 * first awaited; one that is cancelled before that would be an unhandled rejection.
 */
export function handleRejection<T>(query: PromiseLike<T>): Promise<never> {
  const failed = new Promise<never>((_, reject) =>
    Promise.prototype.then.call(query, undefined, reject)
  );
  failed.catch(() => {});
  return failed;
}

/** The error of a connection that was cut. */
export function reset(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
}
