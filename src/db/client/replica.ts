/**
 * Reads on a standby, for those who say how old what they see may be.
 *
 * @module
 */

import type { BuildStatement, Database, RunSql, StatementOptions } from "./database.ts";
import { DatabaseError } from "../../errors.ts";

/** A standby that takes longer to say how far it is is not asked. */
const ASK_MS = 500;
/** A standby that has failed is left alone for so long. */
const PAUSE_MS = 5_000;
const LSN = /^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i;

/** Whether a text is a position in PostgreSQL's log, such as `0/16B3748`. */
export function isLsn(text: string): boolean {
  return LSN.test(text);
}

/** The position in the log behind everything that was committed before. */
export async function currentLsn(db: Database): Promise<string> {
  const [{ lsn }] = await db.query<{ lsn: string }>("read the log's position")`
    select pg_current_wal_insert_lsn()::text as lsn`;
  return lsn;
}

/** What a standby says of itself. */
interface Standing {
  /** Whether it is one, and has what it has to have. */
  readonly has: boolean;
  /** How old its state may be. */
  readonly behind_ms: number | null;
}

/** Where to read. */
export interface Reading {
  readonly db: Database;
  /** How old the state may be, in milliseconds; undefined: it is the primary. */
  readonly behindMs?: number;
}

/** A standby of a database. */
export class Replica {
  readonly #primary: Database;
  readonly #replica: Database;
  readonly #reading: Database;
  #pausedUntil = -Infinity;

  /** `replica` is a pool on the standby, whose owner closes it. */
  constructor({ primary, replica }: { readonly primary: Database; readonly replica: Database }) {
    this.#primary = primary;
    this.#replica = replica;
    this.#reading = { ...primary, ...this.#statements() };
  }

  /**
   * A database to read from: the standby if it has replayed what was committed at this position, else
   * the primary. A statement that fails there, because it writes or the standby goes away, is sent to
   * the primary.
   *
   * @param lsn As {@link currentLsn} gave it; `0/0`: however old the state is.
   */
  async reading(lsn: string): Promise<Reading> {
    const standing = await this.#ask(lsn);
    if (!standing?.has) return { db: this.#primary };
    return { db: this.#reading, behindMs: standing.behind_ms ?? 0 };
  }

  async #ask(lsn: string): Promise<Standing | undefined> {
    if (performance.now() < this.#pausedUntil) return undefined;
    const ask = this.#replica.query<Standing>("ask a standby", { deadlineMs: ASK_MS });
    try {
      // One that was promoted is no standby of this primary any more. One that has all it was sent is
      // as new as its connection.
      const [standing] = await ask`
        select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn as has,
          case
            when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
              and exists (select from pg_stat_wal_receiver) then 0
            else greatest(0, extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())
              * 1000)::float8
          end as behind_ms`;
      return standing;
    } catch (error) {
      this.#pause(error);
      return undefined;
    }
  }

  #pause(error: unknown): void {
    const isAway = error instanceof DatabaseError && error.retryable;
    if (isAway) this.#pausedUntil = performance.now() + PAUSE_MS;
  }

  #statements(): Pick<Database, "query" | "run" | "build"> {
    const primary = this.#primary, replica = this.#replica;
    const orPrimary = async <T>(there: () => Promise<T>, here: () => Promise<T>): Promise<T> => {
      try {
        return await there();
      } catch {
        return await here();
      }
    };
    return {
      query<Row>(action: string, options?: StatementOptions): RunSql<Row> {
        return (text, ...values) =>
          orPrimary(
            () => replica.query<Row>(action, options)(text, ...values),
            () => primary.query<Row>(action, options)(text, ...values),
          );
      },
      run: <Row>(action: string, text: string, parameters: readonly string[]) =>
        orPrimary(
          () => replica.run<Row>(action, text, parameters),
          () => primary.run<Row>(action, text, parameters),
        ),
      build: <Row>(action: string, build: BuildStatement<Row>, options?: StatementOptions) =>
        orPrimary(
          () => replica.build<Row>(action, build, options),
          () => primary.build<Row>(action, build, options),
        ),
    };
  }
}
