/**
 * A cap on the connections of many pools together.
 *
 * A statement waits for a slot before it is sent. postgres.js opens a connection only for a statement
 * that finds none idle, so a pool has no more connections than it has had slots. Each pool always has
 * one: a busy or dead server never takes another's last connection.
 *
 * @module
 */

import { DatabaseError } from "../../errors.ts";
import { startDeadline } from "../../lib/deadline.ts";
import type { SocketPool } from "./sockets.ts";

/** Connections that pools share, besides the one that each of them has. */
export class ConnectionBudget {
  readonly #pools = new Set<StatementSlots>();
  /** The most of one pool: the others get at least a quarter, also while it waits for its server. */
  readonly #mostOfOne: number;
  #spare: number;

  /** @param shared The shared connections, 0 or more. */
  constructor(shared: number) {
    this.#spare = shared;
    this.#mostOfOne = 1 + Math.ceil(shared * 3 / 4);
  }

  /** Makes the slots of one more pool. */
  open(): StatementSlots {
    const slots: StatementSlots = new StatementSlots({
      most: this.#mostOfOne,
      take: () => this.#take(),
      release: (count) => {
        this.#spare += count;
        this.wake();
      },
      forget: () => this.#pools.delete(slots),
    });
    this.#pools.add(slots);
    return slots;
  }

  #take(): boolean {
    if (this.#spare === 0) {
      for (const pool of this.#pools) this.#spare += pool.surplus();
    }
    if (this.#spare === 0) {
      for (const pool of this.#pools) pool.closeIdle();
      return false;
    }
    this.#spare--;
    return true;
  }

  /** Sends what waits in any pool, as far as there is room. To be called when a connection closes. */
  wake(): void {
    for (const pool of this.#pools) {
      pool.admit();
      if (!pool.isWaiting) continue;
      // The next one to be asked is another pool.
      this.#pools.delete(pool);
      this.#pools.add(pool);
      break;
    }
  }
}

interface Budget {
  readonly most: number;
  /** Takes a shared connection; false if there is none. */
  take(): boolean;
  /** Gives so many back. */
  release(count: number): void;
  /** Counts the pool no more. */
  forget(): void;
}

/** The right to send statements to one pool: so many at once as it may have connections. */
export class StatementSlots {
  readonly #budget: Budget;
  readonly #waiting: (() => void)[] = [];
  #sockets: SocketPool | undefined;
  /** Connections that the pool may have. */
  #owned = 1;
  #running = 0;
  /** A server that has not answered gets no second connection to wait for. */
  #isAnswering = false;
  #isClosing = false;

  /** @internal Made by {@link ConnectionBudget.open}. */
  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Says which sockets are counted. */
  watch(sockets: SocketPool): void {
    this.#sockets = sockets;
  }

  /** Whether a statement waits. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Takes a slot, at once if one is free. `give()` gives it back.
   *
   * @throws {DatabaseError} If none was free in time; nothing was sent.
   */
  take(deadlineMs: number, cannot: string): Promise<void> | undefined {
    if (!this.isWaiting && this.#tryTake()) return undefined;
    return new Promise((resolve, reject) => {
      const begin = () => {
        stop();
        resolve();
      };
      const stop = startDeadline(deadlineMs, () => {
        this.#waiting.splice(this.#waiting.indexOf(begin), 1);
        reject(
          new DatabaseError(
            `${cannot}: all connections were busy for ${deadlineMs} ms; raise MPACK_DB_CONNECTIONS ` +
              "if the server has room",
          ),
        );
      });
      this.#waiting.push(begin);
    });
  }

  #tryTake(): boolean {
    if (this.#isClosing) return false;
    if (this.#running >= this.#owned) {
      if (!this.#isAnswering || this.#owned >= this.#budget.most || !this.#budget.take()) {
        return false;
      }
      this.#owned++;
    }
    this.#running++;
    return true;
  }

  /** Gives a slot back. */
  give({ isAnswered }: { readonly isAnswered: boolean }): void {
    this.#running--;
    this.#isAnswering = isAnswered;
    this.admit();
    const released = isAnswered ? 0 : this.surplus();
    // The last statement of a pool has ended: another may want its connections.
    if (released > 0 || this.#running === 0) this.#budget.release(released);
  }

  /** Gives everything back, when the pool is closed. */
  close(): void {
    this.#budget.forget();
    this.#budget.release(this.#owned - 1);
    this.#owned = 1;
  }

  /** Sends what waits, as far as there is room. */
  admit(): void {
    while (this.#waiting.length > 0 && this.#tryTake()) this.#waiting.shift()!();
  }

  /** Gives up the right to connections that are not open; returns how many. */
  surplus(): number {
    if (this.#isClosing) return 0;
    const used = Math.max(1, this.#running, this.#sockets?.size ?? 0);
    const count = Math.max(0, this.#owned - used);
    this.#owned -= count;
    return count;
  }

  /** Closes the connections of a pool that runs nothing, so that others may open theirs. */
  closeIdle(): void {
    if (this.#running > 0 || this.#owned === 1 || this.#isClosing) return;
    this.#isClosing = true;
    const closed = this.#sockets?.closeAll() ?? Promise.resolve();
    closed.then(() => {
      this.#isClosing = false;
      this.admit();
      this.#budget.release(this.surplus());
    });
  }
}
