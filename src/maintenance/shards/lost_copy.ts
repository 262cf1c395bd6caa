/**
 * What a move of a shard works on, and how it notices that a server has lost a part of it.
 *
 * A standby that is promoted lacks the replication slots of the server before it, and what had not
 * reached it. The copy cannot go on from there, however it looks, so it is made again.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { readTimeline } from "../../db/shards/move_check.ts";
import { type Move, moveName } from "../../db/shards/move_rows.ts";
import { findHelpers, findSlot, type Slot } from "../../db/shards/move_source.ts";
import { type Copying, readCopying } from "../../db/shards/move_target.ts";
import { ConfigError } from "../../errors.ts";

/** A slot that is missing for so long does not belong to a table that gets ready. */
const LOST_MS = 10_000;

/** The copy cannot go on; it is removed and made again. */
export class LostCopyError extends ConfigError {
  /** `reason` is a clause. */
  constructor(readonly shard: string, readonly reason: string) {
    super(
      `Cannot go on with the move of shard ${shard}: ${reason}; abort it with --abort, and begin again`,
    );
  }
}

/** The copy of one move, on both servers. */
export class Copy {
  readonly #source: Database;
  readonly #target: Database;
  readonly #move: Move;
  /** Tables without the slot that they have to go on from. */
  readonly #missingSince = new Map<number, number>();

  constructor(
    { source, target, move }: {
      readonly source: Database;
      readonly target: Database;
      readonly move: Move;
    },
  ) {
    this.#source = source;
    this.#target = target;
    this.#move = move;
  }

  /** Makes the error that says so. */
  lost(reason: string): LostCopyError {
    return new LostCopyError(this.#move.shard, reason);
  }

  /**
   * Makes sure that both servers are those that the move has begun with.
   *
   * @throws {LostCopyError} If one has failed over.
   */
  async requireServers(): Promise<void> {
    await this.requireTarget();
    const { oldTimeline } = this.#move;
    if (oldTimeline !== null && await readTimeline(this.#source) !== oldTimeline) {
      throw this.lost("the source has failed over to another server");
    }
  }

  /** The same for the target alone. */
  async requireTarget(): Promise<void> {
    const { newTimeline } = this.#move;
    if (newTimeline !== null && await readTimeline(this.#target) !== newTimeline) {
      throw this.lost("the target has failed over to another server");
    }
  }

  /** The move's slot, which has all that the target has not got. */
  async slot(): Promise<Slot> {
    const slot = await findSlot(this.#source, moveName(this.#move));
    if (slot === undefined) throw this.lost("its replication slot is gone");
    if (!slot.is_whole) {
      throw this.lost("the source has removed WAL that the target needs (max_slot_wal_keep_size)");
    }
    return slot;
  }

  /** How far the target is. */
  async copying(): Promise<Copying> {
    const copying = await readCopying(this.#target, moveName(this.#move));
    if (copying === undefined) throw this.lost("its subscription is gone");
    await this.#requireHelpers(copying.catching_up);
    return copying;
  }

  /** Whether a table seems to have lost its slot. */
  get isMissing(): boolean {
    return this.#missingSince.size > 0;
  }

  /** A table whose slot is gone never gets ready, and its worker's failures are counted nowhere. */
  async #requireHelpers(tables: readonly number[]): Promise<void> {
    const { subscriptionOid } = this.#move, now = performance.now();
    if (tables.length === 0 || subscriptionOid === null) return this.#missingSince.clear();
    const there = await findHelpers(this.#source, subscriptionOid);
    for (const table of [...this.#missingSince.keys(), ...tables]) {
      if (there.has(table) || !tables.includes(table)) this.#missingSince.delete(table);
      else if (!this.#missingSince.has(table)) this.#missingSince.set(table, now);
    }
    // One that has just got ready may still look like one that is lost.
    if ([...this.#missingSince.values()].some((since) => now - since > LOST_MS)) {
      throw this.lost("the slot of a table that is being copied is gone");
    }
  }
}
